"""Compile here, run there: a compiled program as a folder, run without torch.

`save` writes the folder (it needs torch, as what made the program did); `load` reads it with MAX
and numpy alone. docs/artifacts.md describes the format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fxmax.artifact.reading import Loaded, load, load_all

if TYPE_CHECKING:
    from fxmax.artifact.writing import save

__all__ = ["Loaded", "load", "load_all", "save"]


def __getattr__(name: str) -> Any:
    if name == "save":  # the one part that needs torch
        from fxmax.artifact.writing import save

        return save
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
