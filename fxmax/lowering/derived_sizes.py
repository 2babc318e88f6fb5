"""Input sizes that are derived from others, such as 2·half + 1.

MAX takes plain names in a graph's signature: a derived size enters under a name of its own, and is bound
inside to what it means. Where no input's size is `half` itself, that is how `half` is known.
"""

from __future__ import annotations

import sympy
import torch
from max.graph import Dim
from torch.export import ExportedProgram

from fxmax.core.types import Symbols

Size = int | torch.SymInt


def is_derived(size: Size) -> bool:
    """Whether a size is neither a number nor one symbol."""
    expr = _expression(size)
    return bool(expr.free_symbols) and not expr.is_Symbol


def entry_dim(placeholder: str, axis: int, size: Size, symbols: Symbols) -> Dim:
    """The dim under which a size of an input enters the graph."""
    return _own_name(placeholder, axis) if is_derived(size) else symbols.dim(size)


def solved_symbols(program: ExportedProgram) -> dict[sympy.Symbol, Dim]:
    """The symbols that only a derived size tells of, each in terms of the name under which that enters."""
    sizes = [(*where, _expression(size)) for *where, size in _input_sizes(program)]
    known = {expr for *_, expr in sizes if expr.is_Symbol}
    solved: dict[sympy.Symbol, Dim] = {}
    for placeholder, axis, expr in sizes:
        if len(expr.free_symbols) != 1 or expr.free_symbols & (known | set(solved)):
            continue
        [symbol] = expr.free_symbols
        line = expr.as_poly(symbol)
        if line is not None and line.degree() == 1:
            a, b = map(int, line.all_coeffs())
            solved[symbol] = (_own_name(placeholder, axis) - b) // a
    return solved


def _input_sizes(program: ExportedProgram) -> list[tuple[str, int, Size]]:
    """(placeholder, axis, size) for every size of the user's tensors."""
    names = set(program.graph_signature.user_inputs)
    nodes = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]
    tensors = [n for n in nodes if isinstance(n.meta.get("val"), torch.Tensor)]
    return [(n.name, axis, size) for n in tensors for axis, size in enumerate(n.meta["val"].shape)]


def _own_name(placeholder: str, axis: int) -> Dim:
    return Dim(f"{placeholder}_{axis}")


def _expression(size: Size) -> sympy.Expr:
    return sympy.Integer(size) if isinstance(size, int) else size.node.expr
