"""What a command line names: `package.module:factory`, and sizes that vary."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fxmax.errors import CaptureError

_DYNAMIC = re.compile(
    r"^(?:(?P<input>\w+)\.(?P<axis>\d+):)?(?P<name>[A-Za-z]\w*)=(?P<least>\d+)\.\.(?P<most>\d+)?$"
)


@dataclass
class Target:
    """A module and its example inputs, as a factory gives them."""

    module: torch.nn.Module
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    dynamic_shapes: dict[str, Any] | None = None

    @property
    def call(self) -> tuple[Any, Any, Any]:
        """What `fxmax.lower` and its like take by position."""
        return self.module, self.args, self.kwargs


def given(target: str, dynamic: Sequence[str] = ()) -> Target:
    """Call the factory that `target` names.

    Raises:
        CaptureError: it can't be imported, or returns something else than a module and inputs.
    """
    made = _load(target)
    if callable(made) and not isinstance(made, torch.nn.Module):
        made = made()
    parts = made if isinstance(made, tuple) else (made,)
    module, args, kwargs = (*parts, *((), {})[len(parts) - 1 :]) if len(parts) < 3 else parts
    fits = isinstance(args, (tuple, list)) and isinstance(kwargs, Mapping)
    if not isinstance(module, torch.nn.Module) or not fits:
        raise CaptureError(
            f"{target} gave {_show(made)}; it must return an nn.Module, or (module, args), or "
            "(module, args, kwargs) with args a tuple and kwargs a dict"
        )
    result = Target(module, tuple(args), dict(kwargs))
    result.dynamic_shapes = _dynamic_shapes(result, dynamic)
    return result


def _load(target: str) -> Any:
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise CaptureError(f"{target!r} names no factory; write package.module:factory or file.py:factory")
    try:
        if place.endswith(".py"):
            if not os.path.isfile(place):
                raise CaptureError(f"{place}: no such file")
            sys.path.insert(0, os.path.dirname(os.path.abspath(place)))
            module = importlib.import_module(os.path.basename(place).removesuffix(".py"))
        else:
            sys.path.insert(0, os.getcwd())
            module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise CaptureError(f"{place} can't be imported: {error}. Is it installed, or here?") from None
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise CaptureError(f"{place} has no {name}")
        value = getattr(value, part)
    return value


def _dynamic_shapes(given: Target, dynamic: Sequence[str]) -> dict[str, Any] | None:
    """torch.export's `dynamic_shapes`, by parameter name; None where nothing varies."""
    if not dynamic:
        return None
    inputs = (
        dict(zip(inspect.signature(given.module.forward).parameters, given.args, strict=False)) | given.kwargs
    )
    shapes: dict[str, dict[int, Any]] = {name: {} for name in inputs}
    for text in dynamic:
        found = _DYNAMIC.match(text)
        if found is None:
            raise CaptureError(f"--dynamic {text}: write NAME=MIN..MAX, or INPUT.AXIS:NAME=MIN..MAX")
        most = int(found["most"]) if found["most"] else None
        dim = torch.export.Dim(found["name"], min=int(found["least"]), max=most)
        if found["input"] and found["input"] not in inputs:
            raise CaptureError(f"--dynamic {text}: the inputs are {', '.join(inputs)}")
        for name in [found["input"]] if found["input"] else inputs:
            value, axis = inputs[name], int(found["axis"] or 0)
            if isinstance(value, torch.Tensor) and axis < value.ndim:
                shapes[name][axis] = dim
            elif found["input"]:
                raise CaptureError(f"--dynamic {text}: {name} is no tensor with an axis {axis}")
    return {name: axes if isinstance(inputs[name], torch.Tensor) else None for name, axes in shapes.items()}


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(type(v).__name__ for v in value)})"
    return f"a {type(value).__name__}"
