"""Writes to tensors, as an exported program has them, turned into new values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportGraphSignature
from torch.export.graph_signature import InputKind, OutputKind, OutputSpec, TensorArgument
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.fx.node import map_arg

from fxmax.fx.edit import emit, permutation, sizes
from fxmax.fx.schema import arguments
from fxmax.fx.torch_private import OpOverload, op_parts, schema_of, storage_of

aten = torch.ops.aten


class LeftToTorchError(Exception):
    """What a program does that only torch's own functionalization and decomposition handle."""


def functionalize(graph: fx.Graph, signature: ExportGraphSignature) -> None:
    """Rewrite `graph`, in place, so that no node writes; what its inputs end as is returned, before all else.

    Each write becomes its functional op, and a view of what was written is made again from the new
    value where it is read next, as in torch's functionalization (`FunctionalTensorWrapper.cpp`).

    Raises:
        LeftToTorchError: a write through a view that is not in `VIEWS`, to a weight, or with no
            functional op.
    """
    writes = [node for node in graph.nodes if is_write(node)]
    targets = {node: _target(node) for node in writes}
    for node in reversed(writes):  # what it returns is what it wrote to
        node.replace_all_uses_with(targets[node])
    targets = {node: _target(node) for node in writes}

    sharing: dict[int, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node not in targets and _is_dense(node):
            sharing[_storage(node)].append(node)
    memories = [_Memory(sharing[storage]) for storage in dict.fromkeys(map(_storage, targets.values()))]
    memory_of = {node: memory for memory in memories for node in (memory.base, *memory.parents)}

    for node in list(graph.nodes):
        here = _Reader(memory_of, node)
        if node in targets:
            memory_of[targets[node]].write(targets[node], _functional(node, here), node)
        elif node in memory_of and node is not memory_of[node].base:
            memory_of[node].reach(node)
        else:  # what owns its memory may be made of another that was written
            node.args, node.kwargs = map_arg((node.args, node.kwargs), here)
    for node in reversed(writes):
        graph.erase_node(node)
    _return_written(graph, signature, [memory for memory in memories if memory.base.op == "placeholder"])


def is_write(node: Node) -> bool:
    """Whether `node` writes to an argument."""
    return isinstance(node.target, OpOverload) and schema_of(node.target).is_mutable


class _Memory:
    """A tensor that is written, and all views of it."""

    def __init__(self, nodes: list[Node]) -> None:
        """`nodes`, in order, share their storage: the first of them owns it."""
        self.base, *views = nodes
        self.parents: dict[Node, Node] = {}
        self.now = {self.base: self.base}  # node → what it was after …
        self.seen = {self.base: 0}  # … that many writes
        self.writes = 0
        if free_unbacked_symbols(self.base.meta["val"]):
            raise LeftToTorchError(f"{self.base} is written, and has a size that the data decides")
        for node in views:
            parent = node.args[0] if node.args else None
            if node.target not in VIEWS or not (parent is self.base or parent in self.parents):
                raise LeftToTorchError(f"{node} ({node.target}) is a view of {self.base}, which is written")
            self.parents[node] = parent  # type: ignore[assignment]

    def reach(self, node: Node) -> None:
        """Come to where the view `node` is made: from what its argument is by now."""
        node.update_arg(0, self.read(self.parents[node], node))
        self.now[node], self.seen[node] = node, self.writes

    def read(self, node: Node, before: Node) -> Node:
        """What `node` is by now, made again before `before` where something was written since."""
        if self.seen[node] != self.writes:
            args = (self.read(self.parents[node], before), *node.args[1:])
            self.now[node] = emit(before, node.target, args, node, node.kwargs)  # type: ignore[arg-type]
            self.seen[node] = self.writes
        return self.now[node]

    def write(self, node: Node, value: Node, before: Node) -> None:
        """Let `node` be `value` from `before` on, and so what it is a view of."""
        line = [node]
        while line[-1] is not self.base:
            line.append(self.parents[line[-1]])
        olds = [self.read(x, before) for x in line]
        self.writes += 1
        for x, parent in zip(line, [*olds[1:], None], strict=True):
            self.now[x], self.seen[x] = value, self.writes
            if parent is not None:
                value = VIEWS[x.target](before, x, parent, value)  # type: ignore[index]


class _Reader:
    """Node → what it is by now, at one place in the graph."""

    def __init__(self, memory_of: dict[Node, _Memory], before: Node) -> None:
        self.memory_of, self.before = memory_of, before

    def __call__(self, node: Node) -> Node:
        memory = self.memory_of.get(node)
        return node if memory is None else memory.read(node, self.before)


def _return_written(graph: fx.Graph, signature: ExportGraphSignature, memories: list[_Memory]) -> None:
    inputs = {spec.arg.name: spec for spec in signature.input_specs}
    output = graph.output_node()
    nodes, specs = [], []
    for memory in sorted(memories, key=lambda m: list(inputs).index(m.base.name)):
        spec = inputs[memory.base.name]
        if spec.kind == InputKind.USER_INPUT:
            kind, target = OutputKind.USER_INPUT_MUTATION, memory.base.name
        elif spec.kind == InputKind.BUFFER and spec.target is not None:
            kind, target = OutputKind.BUFFER_MUTATION, spec.target
        else:
            raise LeftToTorchError(f"{spec.target or memory.base} is written, which is no buffer")
        nodes.append(memory.read(memory.base, output))
        specs.append(OutputSpec(kind, TensorArgument(nodes[-1].name), target))
    output.args = ((*nodes, *output.args[0]),)  # type: ignore[misc]
    signature.output_specs[:0] = specs


def _is_dense(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.layout == torch.strided


def _storage(node: Node) -> int:
    return storage_of(node.meta["val"])


def _target(node: Node) -> Node:
    """What `node` writes to: its first argument, and nothing else.

    Raises:
        LeftToTorchError: it writes to another, or changes a tensor's sizes.
    """
    op: OpOverload = node.target  # type: ignore[assignment]
    written = [a.name for a in schema_of(op).arguments if a.alias_info and a.alias_info.is_write]
    first = node.args[0]
    if written != ["self"] or torch.Tag.inplace_view in op.tags or not isinstance(first, Node):
        raise LeftToTorchError(f"{node} ({op}) does more than write to one tensor")
    return first


def _functional(node: Node, read: Callable[[Node], Node]) -> Node:
    """What `node` writes, in the dtype of what it writes to; put before it."""
    op: OpOverload = node.target  # type: ignore[assignment]
    if op == aten.copy_.default and _is_whole(node):
        return read(arguments(node)["src"])
    namespace, name, overload = op_parts(op)
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None)
    pure = getattr(packet, overload, None)
    if pure is None or _argument_names(pure) != _argument_names(op):
        raise LeftToTorchError(f"{op} has no functional op")
    args, kwargs = map_arg((node.args, node.kwargs), read)
    value = emit(node, pure, args, node, kwargs)
    if sizes(value) != sizes(_target(node)):
        raise LeftToTorchError(f"{node} ({op}) gives another shape than it writes to")
    dtype = _target(node).meta["val"].dtype
    if value.meta["val"].dtype != dtype:
        value = emit(node, aten._to_copy.default, (value,), node, {"dtype": dtype})
    return value


def _argument_names(op: OpOverload) -> list[str]:
    return [a.name for a in schema_of(op).arguments]


def _is_whole(copy: Node) -> bool:
    """Whether all of a tensor, no view, is replaced by one like it, so that nothing is to be copied."""
    to, src = (arguments(copy)[name] for name in ("self", "src"))
    alike = to.meta["val"].dtype == src.meta["val"].dtype and sizes(to) == sizes(src)
    return alike and to.target not in VIEWS


# What a tensor becomes where a view of it becomes a value: (before, view, tensor, value) → tensor.
Inverse = Callable[[Node, Node, Node, Node], Node]


def _scattered_by(op: OpOverload) -> Inverse:
    def inverse(before: Node, view: Node, tensor: Node, value: Node) -> Node:
        return emit(before, op, (tensor, value, *view.args[1:]), view, view.kwargs)

    return inverse


def _same(before: Node, view: Node, tensor: Node, value: Node) -> Node:
    return value


def _again(before: Node, view: Node, tensor: Node, value: Node) -> Node:
    return emit(before, view.target, (value, *view.args[1:]), view)  # type: ignore[arg-type]


def _permuted_back(before: Node, view: Node, tensor: Node, value: Node) -> Node:
    axes = permutation(view) or []
    return emit(before, aten.permute.default, (value, [axes.index(i) for i in range(len(axes))]), view)


def _reshaped_back(before: Node, view: Node, tensor: Node, value: Node) -> Node:
    shape: list[Any] = [
        size if isinstance(size, int) else emit(before, aten.sym_size.int, (tensor, axis), view)
        for axis, size in enumerate(tensor.meta["val"].shape)
    ]
    return emit(before, aten.reshape.default, (value, shape), view)


VIEWS: dict[OpOverload, Inverse] = {
    aten.alias.default: _same,
    aten.detach.default: _same,
    aten.diagonal.default: _scattered_by(aten.diagonal_scatter.default),
    aten.permute.default: _permuted_back,
    aten.reshape.default: _reshaped_back,
    aten.select.int: _scattered_by(aten.select_scatter.default),
    aten.slice.Tensor: _scattered_by(aten.slice_scatter.default),
    aten.squeeze.dim: _reshaped_back,
    aten.squeeze.dims: _reshaped_back,
    aten.squeeze.default: _reshaped_back,
    aten.t.default: _again,
    aten.transpose.int: _again,
    aten.unsqueeze.default: _reshaped_back,
    aten.view.default: _reshaped_back,
}
