"""Example inputs: as a caller gives them, or as an installed package knows them for a class of modules."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import torch

from fxmax.errors import CaptureError

GROUP = "fxmax.example_inputs"


def positional(args: Any) -> tuple[Any, ...]:
    """Inputs by position as a tuple; an array that is given for the tuple is the only one.

    Raises:
        CaptureError: neither an array nor a sequence of inputs.
    """
    if isinstance(args, (torch.Tensor, np.ndarray)):
        return (args,)
    if isinstance(args, Sequence) and not isinstance(args, str):
        return tuple(args)
    instead = "kwargs=inputs, if its keys name the inputs" if isinstance(args, Mapping) else "args=(x,)"
    raise CaptureError(
        f"args is of type {type(args).__name__}; give a tuple of the inputs by position, or {instead}"
    )


def by_name(kwargs: Any) -> dict[str, Any]:
    """Inputs by name as a dict; None is none.

    Raises:
        CaptureError: something else than a mapping, as a second input that was given beside the first.
    """
    if kwargs is None or isinstance(kwargs, Mapping):
        return dict(kwargs or {})
    raise CaptureError(
        f"kwargs is of type {type(kwargs).__name__}; give several inputs as one tuple, "
        "fxmax.lower(module, (x, y)), or by name, kwargs=dict(x=x, y=y)"
    )


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
