"""The user's names for sizes that vary: which symbol of the program each `Dim` has become."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram


def dim_names(
    program: ExportedProgram,
    forward: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dynamic_shapes: Any,
) -> dict[sympy.Symbol, str]:
    """Symbol → the user's `Dim` name, where an input's dim is that symbol or derives from it."""
    names: dict[sympy.Symbol, str] = {}
    if dynamic_shapes is None:
        return names
    specs: list[Any] = []
    for value, spec in _with_specs(forward, args, kwargs, dynamic_shapes):
        _flatten_spec(value, spec, specs)
    placeholders = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    for node_name, spec in zip(program.graph_signature.user_inputs, specs, strict=False):
        node = placeholders.get(node_name) if isinstance(node_name, str) else None
        value = node.meta.get("val") if node is not None else None
        if not isinstance(value, torch.Tensor) or spec is None:
            continue
        for axis, dim in spec.items() if isinstance(spec, dict) else enumerate(spec):
            size = value.shape[axis]
            symbols = size.node.expr.free_symbols if isinstance(size, torch.SymInt) else ()
            if len(symbols) == 1 and (label := _label(dim)):
                names[next(iter(symbols))] = label
    return names


def _label(dim: Any) -> str | None:
    """The name of a user's `Dim`; of a derived one, 2 * half + 1, that of the dim it derives from."""
    root = getattr(dim, "root", dim)
    label = getattr(root, "__name__", None)
    return label if label and not label.startswith("_") and hasattr(root, "min") else None


def _with_specs(
    forward: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], dynamic_shapes: Any
) -> list[tuple[Any, Any]]:
    """Each input with its part of `dynamic_shapes`, which torch matches by name, or in forward's order."""
    signature, specs = inspect.signature(forward), dynamic_shapes
    bound = signature.bind(*args, **kwargs).arguments
    if not isinstance(specs, dict):
        specs = dict(zip(bound, specs, strict=False))
    # As the program has them: positional ones first, then those by name, as they were given.
    pairs = [(bound[name], specs.get(name)) for name in signature.bind_partial(*args).arguments]
    return pairs + [(value, specs.get(name)) for name, value in kwargs.items()]


def _flatten_spec(value: Any, spec: Any, out: list[Any]) -> None:
    """Append one dim spec for each leaf of `value`, following its containers."""
    if isinstance(value, dict):
        for key, item in value.items():
            _flatten_spec(item, spec.get(key) if isinstance(spec, dict) else None, out)
    elif isinstance(value, (list, tuple)):
        inner = spec if isinstance(spec, (list, tuple)) else [None] * len(value)
        for item, one in zip(value, inner, strict=False):
            _flatten_spec(item, one, out)
    else:
        out.append(spec)
