"""What the rewrites share: new nodes with torch's own types, and questions about nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.export import ExportedProgram, ExportGraphSignature
from torch.export.graph_signature import InputKind
from torch.fx import Graph, Node
from torch.fx.node import map_arg

from fxmax.fx.schema import arguments
from fxmax.fx.torch_private import OpOverload, detect_fake_mode, enable_python_dispatcher

aten = torch.ops.aten


def calls(program: ExportedProgram, *targets: OpOverload) -> Iterator[Node]:
    """The nodes that call one of `targets`, in order; the graph may change meanwhile."""
    return (n for n in list(program.graph.nodes) if n.op == "call_function" and n.target in targets)


def emit(
    before: Node,
    target: OpOverload,
    args: tuple[Any, ...],
    like: Node,
    kwargs: Mapping[str, Any] | None = None,
) -> Node:
    """A call put before `before`, typed by torch, that says it comes from where `like` does."""
    kwargs = dict(kwargs or {})
    node = before.graph.create_node("call_function", target, args, kwargs)
    before.prepend(node)
    node.meta = provenance(like)
    values, named = map_arg((args, kwargs), lambda n: n.meta["val"])
    # The dispatcher: before torch 2.13 linear and matmul in C++ refuse symbolic sizes.
    with detect_fake_mode((values, named)), enable_python_dispatcher(), torch.no_grad():  # type: ignore[union-attr]
        node.meta["val"] = target(*values, **named)
    return node


def provenance(node: Node) -> dict[str, Any]:
    """What `node` says of where it comes from, for a node that is made of it."""
    meta = {k: v for k, v in node.meta.items() if k in ("stack_trace", "nn_module_stack", "torch_fn")}
    return meta | {"original_aten": node.meta.get("original_aten", node.target)}


def replace(node: Node, new: Node) -> None:
    """Let `new` stand for `node`, which goes."""
    node.replace_all_uses_with(new)
    node.graph.erase_node(node)


def rename_outputs(graph: Graph, signature: ExportGraphSignature) -> None:
    """Tell the signature the names of the nodes that are returned now."""
    [output] = [n for n in graph.nodes if n.op == "output"]
    for spec, value in zip(signature.output_specs, output.args[0], strict=True):
        if isinstance(value, Node):
            spec.arg.name = value.name


def rank(node: Node) -> int:
    """Of the tensor that the node makes."""
    return len(node.meta["val"].shape)


def sizes(node: Node) -> list[str]:
    """Of the tensor that the node makes, as text, since comparing symbolic ones would pin them."""
    return [str(size) for size in node.meta["val"].shape]


def permutation(node: Any) -> list[int] | None:
    """Where `node` permutes axes: the axis that each axis of its result was."""
    if not isinstance(node, Node) or node.target not in (aten.permute.default, aten.transpose.int):
        return None
    a, axes = arguments(node), list(range(rank(node)))
    if not axes:  # torch lets a scalar be transposed
        return axes
    if node.target == aten.permute.default:
        return [d % len(axes) for d in a["dims"]]
    i, j = a["dim0"] % len(axes), a["dim1"] % len(axes)
    axes[i], axes[j] = axes[j], axes[i]
    return axes


def parameters(program: ExportedProgram) -> set[str]:
    """Names of the placeholders that are weights of the module."""
    kinds = (InputKind.PARAMETER, InputKind.BUFFER)
    mutated = set(program.graph_signature.buffers_to_mutate.values())
    return {
        s.arg.name for s in program.graph_signature.input_specs if s.kind in kinds and s.target not in mutated
    }


def mutated_inputs(program: ExportedProgram) -> set[str]:
    """Names of the placeholders that the module writes to: its buffers, and what it was given."""
    signature = program.graph_signature
    buffers = set(signature.buffers_to_mutate.values())
    names = {name for name, fqn in signature.inputs_to_buffers.items() if fqn in buffers}
    return names | set(signature.user_inputs_to_mutate.values())
