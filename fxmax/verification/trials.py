"""Inputs to prove a compiled graph on, made of the example's: as they are, at other sizes, permuted.

Other sizes repeat the example's data along its axes, so that token ids, masks and positions stay valid.
Permuted data keeps each tensor's values and moves them about: a result that ignores its inputs, or was
folded into a constant, can't pass both calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram

from fxmax.frontend.capture import Captured
from fxmax.frontend.example_data import each_tensor

EXAMPLE = "the example"


@dataclass(frozen=True)
class Trial:
    """Flat inputs of one call, as torch tensors of their own, and what is special about them."""

    name: str
    leaves: list[Any]


def trials(captured: Captured, leaves: Sequence[Any]) -> Iterator[Trial]:
    """The example, the least sizes and other ones (where sizes vary), and permuted data.

    Args:
        leaves: the example's flat inputs, one for each user input of the program.
    """
    yield Trial(EXAMPLE, copied(leaves))
    for sizes in other_sizes(captured, leaves):
        named = ", ".join(f"{captured.dim_names.get(s, s)}={n}" for s, n in sizes.items())
        yield Trial(f"sizes {named}", resized(captured.program, leaves, sizes))
    moved = permuted(leaves)
    if moved is not None:
        yield Trial("permuted data", moved)


def copied(leaves: Sequence[Any]) -> list[Any]:
    """Copies of the tensors; one that is given twice is one tensor in the copy too."""
    return each_tensor(leaves, lambda value: value.detach().cpu().clone())


def permuted(leaves: Sequence[Any]) -> list[Any] | None:
    """The floats (where there are none, the integers) with their elements in another order.

    None where no tensor has two different elements.
    """
    floats = [x for x in leaves if _is_data(x) and (x.is_floating_point() or x.is_complex())]
    chosen = floats or [x for x in leaves if _is_data(x) and x.dtype is not torch.bool]
    if all(bool((x == x.reshape(-1)[0]).all()) for x in chosen):
        return None
    generator = torch.Generator().manual_seed(0)
    moved = copied(leaves)
    done: set[int] = set()
    for value, copy in zip(leaves, moved, strict=True):
        if any(value is x for x in chosen) and id(value) not in done:
            done.add(id(value))
            order = torch.randperm(copy.numel(), generator=generator)
            copy.copy_(copy.reshape(-1)[order].reshape(copy.shape))
    return moved


def _is_data(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() > 1


# -- sizes ------------------------------------------------------------------------------------


def other_sizes(captured: Captured, leaves: Sequence[Any]) -> list[dict[sympy.Symbol, int]]:
    """Values for the sizes that vary: the least that is allowed, and one unlike it and the example's.

    Where nothing at all is allowed, which many a program refuses when it runs, also 1.
    """
    program = captured.program
    now = example_sizes(program, leaves)
    if not now:
        return []
    least, one, other = (dict[sympy.Symbol, int]() for _ in range(3))
    for i, (symbol, example) in enumerate(now.items()):
        low, high = _range(program, symbol)
        least[symbol], one[symbol] = low, max(low, 1)
        wanted = [example // 2 + 1 + i, example + 1 + i, example - 1 - i, example + 2 + i]
        fit = [n for n in wanted if low < n <= high and n != example]
        other[symbol] = fit[0] if fit else int(min(high, example))
    found = [sizes for sizes in (least, one, other) if sizes != now]
    return [sizes for i, sizes in enumerate(found) if sizes not in found[:i]]


def example_sizes(program: ExportedProgram, leaves: Sequence[Any]) -> dict[sympy.Symbol, int]:
    """The symbols of the inputs' shapes, and what they are in the example."""
    known: dict[sympy.Symbol, int] = {}
    derived: list[tuple[sympy.Expr, int]] = []
    for value, shape in zip(leaves, _shapes(program), strict=True):
        for size, expr in zip(value.shape if shape else (), shape, strict=True):
            if isinstance(expr, sympy.Symbol):
                known[expr] = int(size)
            elif isinstance(expr, sympy.Expr) and expr.free_symbols:
                derived.append((expr, int(size)))
    for expr, size in derived:
        unknown = expr.free_symbols - set(known)
        if len(unknown) == 1:
            [symbol] = unknown
            solved = sympy.solve(expr.subs(known) - size, symbol)
            if len(solved) == 1 and solved[0].is_Integer:
                known[symbol] = int(solved[0])
    return known


def resized(program: ExportedProgram, leaves: Sequence[Any], sizes: Mapping[sympy.Symbol, int]) -> list[Any]:
    """The inputs at other sizes: the example's data, repeated along each axis or cut off."""
    result = copied(leaves)
    for i, shape in enumerate(_shapes(program)):
        for axis, expr in enumerate(shape):
            wanted = int(expr.subs(sizes)) if isinstance(expr, sympy.Expr) else int(expr)
            value = result[i]
            if value.shape[axis] != wanted:
                index = torch.arange(wanted) % max(1, value.shape[axis])
                result[i] = value.index_select(axis, index)
    return result


def _shapes(program: ExportedProgram) -> list[tuple[Any, ...]]:
    """For each user input the sizes of its tensor, as ints and expressions; () for what is none."""
    nodes = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    shapes = []
    for spec in program.graph_signature.input_specs:
        if spec.kind.name != "USER_INPUT":
            continue
        node = nodes.get(getattr(spec.arg, "name", ""))
        value = None if node is None else node.meta.get("val")
        sizes = value.shape if isinstance(value, torch.Tensor) else ()
        shapes.append(tuple(s.node.expr if isinstance(s, torch.SymInt) else s for s in sizes))
    return shapes


def _range(program: ExportedProgram, symbol: sympy.Symbol) -> tuple[int, float]:
    bounds = program.range_constraints.get(symbol)
    if bounds is None:
        return 2, math.inf
    low = int(bounds.lower) if bounds.lower.is_Integer else 0
    high = int(bounds.upper) if bounds.upper.is_Integer else math.inf
    return low, high
