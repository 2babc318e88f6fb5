"""Compile here, run there: a compiled program as a folder, written and run without torch.

`writing.save` writes the folder from snapshots, which `fxmax.compiled` makes; `load` reads it with MAX
and numpy alone. docs/artifacts.md describes the format.
"""

from __future__ import annotations

from fxmax.artifact.reading import Loaded, check, load, load_all

__all__ = ["Loaded", "check", "load", "load_all"]
