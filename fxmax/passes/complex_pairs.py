"""Complex tensors inside of a graph as two real ones: MAX has no complex dtype.

Rotary embeddings are often written so. Weights may be complex. Where another complex input comes in or
a complex result goes out, or an op has no form in pairs, the graph is left as it is; the report says at
each complex node which it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.export.graph_signature import InputKind
from torch.fx import Node
from torch.fx.node import map_arg

from fxmax.fx.edit import emit, sizes
from fxmax.fx.schema import arguments
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite

aten = torch.ops.aten


class Pair(NamedTuple):
    """A complex tensor's parts; of a real operand, `imag` is None."""

    real: Any
    imag: Any


Form = Callable[["Pairs", Node], Any]


class Pairs:
    """The parts of each complex node so far."""

    def __init__(self) -> None:
        self.of: dict[Node, Pair] = {}

    def __getitem__(self, value: Any) -> Pair:
        return self.of.get(value, Pair(value, None)) if isinstance(value, Node) else Pair(value, None)

    def part(self, value: Any, which: int) -> Any:
        """An argument with one part of every complex tensor in it."""
        return map_arg(value, lambda node: self[node][which] if node in self.of else node)


def _of_weight(weight: Node) -> Pair:
    first = next(n for n in weight.graph.nodes if n.op != "placeholder")
    both = emit(first, aten.view_as_real.default, (weight,), first)
    return Pair(*(emit(first, aten.select.int, (both, -1, i), first) for i in range(2)))


def _is_complex(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.is_complex()


def _obstacle(node: Node) -> str:
    """Why `node` has no form in pairs; "" where it has."""
    if node.op == "placeholder":
        return f"{node.name} is a complex input"
    if node.op == "output":
        return "a result is complex"
    if node.target not in FORMS:
        return f"{node.target} has no form in pairs of real tensors"
    given = arguments(node)
    if any(isinstance(x, complex) for x in given.values()):
        return f"{node.target} by a complex number has no form in pairs of real tensors"
    if given.get("dtype") is not None:
        return f"{node.target} with a dtype has no form in pairs of real tensors"
    if node.target == aten.complex.default and any(sizes(x) != sizes(node) for x in node.all_input_nodes):
        return "aten.complex.default broadcasts one of its parts"
    if node.target in (aten.add.Tensor, aten.sub.Tensor):
        # What adds to one part alone must not make the other one wider.
        wide = [x for x in node.args if isinstance(x, Node) and _is_complex(x) and sizes(x) == sizes(node)]
        if given["alpha"] != 1 or not wide:
            return f"{node.target} broadcasts a complex tensor, or scales one"
    if node.target == aten.div.Tensor and isinstance(node.args[1], Node) and _is_complex(node.args[1]):
        return "aten.div.Tensor by a complex tensor has no form in pairs of real tensors"
    return ""


def _each(pairs: Pairs, node: Node) -> Pair:
    """The same op on each part."""
    return Pair(
        *(
            emit(node, node.target, pairs.part(node.args, i), node, pairs.part(node.kwargs, i))  # type: ignore[arg-type]
            for i in range(2)
        )
    )


def _polar(pairs: Pairs, node: Node) -> Pair:
    size, angle = node.args
    parts = (emit(node, op, (angle,), node) for op in (aten.cos.default, aten.sin.default))
    return Pair(*(emit(node, aten.mul.Tensor, (size, part), node) for part in parts))


def _halves(pairs: Pairs, node: Node) -> Pair:
    return Pair(*(emit(node, aten.select.int, (node.args[0], -1, i), node) for i in range(2)))


def _stacked(pairs: Pairs, node: Node) -> Node:
    return emit(node, aten.stack.default, (list(pairs[node.args[0]]), -1), node)


def _sum(pairs: Pairs, node: Node) -> Pair:
    a, b = (pairs[x] for x in node.args)
    real = emit(node, node.target, (a.real, b.real), node)  # type: ignore[arg-type]
    if b.imag is None:
        return Pair(real, a.imag)
    if a.imag is not None:
        return Pair(real, emit(node, node.target, (a.imag, b.imag), node))  # type: ignore[arg-type]
    negative = node.target == aten.sub.Tensor
    return Pair(real, emit(node, aten.neg.default, (b.imag,), node) if negative else b.imag)


def _product(pairs: Pairs, node: Node) -> Pair:
    a, b = (pairs[x] for x in node.args)

    def times(x: Any, y: Any) -> Node:
        return emit(node, aten.mul.Tensor, (x, y), node)

    if a.imag is None or b.imag is None:
        pair, factor = (a, b.real) if b.imag is None else (b, a.real)
        return Pair(*(times(part, factor) for part in pair))
    real = (times(a.real, b.real), times(a.imag, b.imag))
    imag = (times(a.real, b.imag), times(a.imag, b.real))
    return Pair(emit(node, aten.sub.Tensor, real, node), emit(node, aten.add.Tensor, imag, node))


def _conjugate(pairs: Pairs, node: Node) -> Pair:
    pair = pairs[node.args[0]]
    return Pair(pair.real, emit(node, aten.neg.default, (pair.imag,), node))


EACH = (
    *(aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.expand.default),
    *(aten.unsqueeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.permute.default, aten.transpose.int),
    *(aten.slice.Tensor, aten.select.int, aten.index.Tensor, aten.index_select.default, aten.flip.default),
    *(aten.cat.default, aten.stack.default, aten.repeat.default, aten.clone.default, aten.alias.default),
    *(aten.detach.default, aten.neg.default, aten.sum.dim_IntList, aten.mean.dim, aten.div.Tensor),
)
FORMS: dict[Any, Form] = {
    **dict.fromkeys(EACH, _each),
    aten.polar.default: _polar,
    aten.complex.default: lambda pairs, node: Pair(*node.args),
    aten.view_as_complex.default: _halves,
    aten.view_as_real.default: _stacked,
    aten.real.default: lambda pairs, node: pairs[node.args[0]].real,
    aten.imag.default: lambda pairs, node: pairs[node.args[0]].imag,
    aten.abs.default: lambda pairs, node: emit(node, aten.hypot.default, tuple(pairs[node.args[0]]), node),
    aten.angle.default: lambda pairs, node: emit(node, aten.atan2.default, pairs[node.args[0]][::-1], node),
    aten.add.Tensor: _sum,
    aten.sub.Tensor: _sum,
    aten.mul.Tensor: _product,
    aten._conj.default: _conjugate,
    aten.conj_physical.default: _conjugate,
    aten.resolve_conj.default: lambda pairs, node: pairs[node.args[0]],
}


@rewrite(
    replaces=FORMS,
    emits=(
        *(aten.view_as_real.default, aten.select.int, aten.stack.default, aten.cos.default, aten.sin.default),
        *(aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.neg.default),
        *(aten.hypot.default, aten.atan2.default),
    ),
    after=("items_as_tensors",),
)
def complex_pairs(r: Rewriter) -> None:
    """f(a + bi) → f in a and b, of every complex node or of none."""
    nodes = [n for n in r.graph.nodes if _is_complex(n) or any(map(_is_complex, n.all_input_nodes))]
    specs = r.program.graph_signature.input_specs
    constants = {s.arg.name for s in specs if s.kind == InputKind.CONSTANT_TENSOR}
    obstacles = {n: why for n in nodes if n.name not in r.weights | constants and (why := _obstacle(n))}
    if obstacles:
        first = next(iter(obstacles.values()))
        for node in (n for n in nodes if n.op == "call_function"):
            r.leave(obstacles.get(node, f"complex nodes are rewritten together, and {first}"), node)
        return
    pairs = Pairs()
    for node in nodes:
        if node.op == "placeholder":
            pairs.of[node] = _of_weight(node)
            continue
        made = FORMS[node.target](pairs, node)
        if isinstance(made, Pair):
            pairs.of[node] = made
        else:
            r.replace(node, made)
    for node in reversed(list(pairs.of)):
        if node.op != "placeholder":
            r.erase(node)
