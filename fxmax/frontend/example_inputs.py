"""Example inputs that an installed package knows for a class of modules."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from typing import Any

import torch

from fxmax.errors import CaptureError

GROUP = "fxmax.example_inputs"


def example_inputs(module: torch.nn.Module) -> tuple[Any, ...]:
    """Positional inputs from an entry point of the group `fxmax.example_inputs`.

    An entry point is named for the module's class, `package.module.Class`, and loads a function
    from the module to its positional inputs.

    Raises:
        CaptureError: the forward needs inputs, and nobody knows them.
    """
    for cls in type(module).__mro__:
        for provider in entry_points(group=GROUP, name=f"{cls.__module__}.{cls.__qualname__}"):
            return tuple(provider.load()(module))
    needed = [
        p.name
        for p in inspect.signature(module.forward).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if not needed:
        return ()
    call = ", ".join(f"{p}=torch.zeros(...)" for p in needed)
    raise CaptureError(
        f"{type(module).__name__} needs example inputs to be traced: its forward takes "
        f"({', '.join(needed)}).\n"
        "  Give tensors of the shapes and dtypes you will call it with, for example\n"
        f"    fxmax.lower(module, kwargs=dict({call}))"
    )
