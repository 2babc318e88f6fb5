"""An exported program brought down to the ops of the table: only what is not of them is decomposed."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import SymInt, Tensor, fx
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.fx.node import map_arg

from fxmax.core.table import RuleTable
from fxmax.frontend.decompositions import decompositions_for
from fxmax.frontend.functionalize import LeftToTorchError, functionalize, is_write
from fxmax.fx.edit import provenance, rename_outputs, replace
from fxmax.fx.schema import arguments
from fxmax.fx.torch_private import (
    OpOverload,
    detect_fake_mode,
    enable_python_dispatcher,
    ignore_backend_decompositions,
    is_composite,
    is_traceable_wrapper_subclass,
    override_composite_decompositions,
    pytree,
    split_decompositions,
)

aten = torch.ops.aten
Decompositions = dict[Any, Callable[..., Any]]


def decompose(program: ExportedProgram, table: RuleTable) -> ExportedProgram:
    """The same program without writes, and without ops that have a decomposition in place of a rule.

    As `ExportedProgram.run_decompositions` does. That runs the whole program twice, with sizes that
    vary at each op, though of what torch exports most are ops of the table already: for Whisper's
    decoder it takes six times as long. Programs with what is rare (control flow, tensor subclasses,
    writes that `functionalize` does not take) are left to it.
    """
    decompositions = decompositions_for(table)
    try:
        return _op_by_op(program, decompositions)
    except LeftToTorchError:
        pass
    with warnings.catch_warnings(), torch.no_grad():
        # torch 2.13 copies its own tree specs in a way that it warns of itself.
        warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec", FutureWarning)
        decomposed: ExportedProgram = program.run_decompositions(decompositions)
    return decomposed


def _op_by_op(program: ExportedProgram, decompositions: Decompositions) -> ExportedProgram:
    for node in program.graph.nodes:
        if not _is_plain(node):
            raise LeftToTorchError(f"{node} is a {node.op} of {node.target}")
    if any(is_traceable_wrapper_subclass(t) for t in program.state_dict.values()):
        raise LeftToTorchError("a weight is of a tensor subclass")
    graph, signature = _copied(program.graph), copy.deepcopy(program.graph_signature)
    decomposer = _Decomposer(decompositions)
    with decomposer.tracing(graph):
        _decompose_nodes(graph, decomposer)
        if any(map(is_write, graph.nodes)):
            functionalize(graph, signature)
            _decompose_nodes(graph, decomposer)
    graph.eliminate_dead_code()
    rename_outputs(graph, signature)
    return ExportedProgram(
        root=program.graph_module,
        graph=graph,
        graph_signature=signature,
        state_dict=program.state_dict,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=program.example_inputs,
        constants=program.constants,
    )


def _is_plain(node: Node) -> bool:
    """Whether `node`, if it calls anything, calls an op or computes a size: no function of graphs."""
    if node.op != "call_function":
        return node.op in ("placeholder", "output")
    sizes = ("_operator", "math", "torch")  # operator.mul, math.ceil, torch.sym_max
    return isinstance(node.target, OpOverload) or getattr(node.target, "__module__", "") in sizes


def _copied(graph: fx.Graph) -> fx.Graph:
    new = fx.Graph()
    nodes: dict[Node, Node] = {}
    output = new.output(new.graph_copy(graph, nodes))
    output.meta = copy.copy(graph.output_node().meta)
    for old, node in nodes.items():
        node.name = old.name  # fx renames those that are also names of Python's, such as input
    return new


class _Decomposer:
    """Which ops are decomposed, and how."""

    def __init__(self, decompositions: Decompositions) -> None:
        self.all = decompositions
        # Ops that torch makes of others each time they are called, some of them kept whole; the rest.
        self.composite, self.others = split_decompositions(dict(decompositions))

    def applies(self, node: Node) -> bool:
        """Whether `node` calls an op that has a decomposition, or one that torch itself makes of others."""
        op = node.target
        if not isinstance(op, OpOverload) or is_write(node) or op == aten.sym_size.int:
            return False
        return op in self.all or (is_composite(op) and op not in self.composite)

    @contextmanager
    def tracing(self, graph: fx.Graph) -> Iterator[None]:
        """Let torch decompose so while it traces, in the mode of the program's fake tensors."""
        fake = detect_fake_mode([n.meta.get("val") for n in graph.find_nodes(op="placeholder")])
        with (
            fake or nullcontext(),
            override_composite_decompositions(self.composite),
            ignore_backend_decompositions(),
            enable_python_dispatcher(),
            torch.no_grad(),
        ):
            yield

    def parts(self, node: Node) -> fx.Graph:
        """A graph of what `node` computes from its inputs, in their order."""
        inputs = node.all_input_nodes
        op: OpOverload = node.target  # type: ignore[assignment]

        def call(*values: Any) -> Any:
            known = dict(zip(inputs, values, strict=True))
            args, kwargs = map_arg((node.args, node.kwargs), known.__getitem__)
            return op(*args, **kwargs)

        values = [n.meta["val"] for n in inputs]
        leaves = pytree.tree_leaves((values, node.meta.get("val")))
        sized = [v for v in leaves if isinstance(v, Tensor | SymInt)]
        if free_unbacked_symbols(sized):
            raise LeftToTorchError(f"{node} ({op}) has sizes that the data decides")
        graph: fx.Graph = make_fx(call, decomposition_table=self.others)(*values).graph  # type: ignore[arg-type]
        for part in graph.nodes:
            if not _is_plain(part):
                raise LeftToTorchError(f"{node} ({op}) is made of a {part.op} of {part.target}")
        return graph


def _decompose_nodes(graph: fx.Graph, decomposer: _Decomposer) -> None:
    scalars: dict[str, Node] = {}  # sizes that vary, by their expression
    for node in list(graph.nodes):
        if node.target == aten.detach_.default:
            replace(node, arguments(node)["self"])
        elif decomposer.applies(node):
            _splice(node, decomposer.parts(node), scalars)
        elif isinstance(size := node.meta.get("val"), SymInt):
            scalars.setdefault(str(size), node)


def _splice(node: Node, parts: fx.Graph, scalars: dict[str, Node]) -> None:
    """Put `parts` in the place of `node`, but for sizes that `scalars` has."""
    new = dict(zip(parts.find_nodes(op="placeholder"), node.all_input_nodes, strict=True))
    for part in parts.nodes:
        if part.op != "call_function":
            continue
        value = part.meta.get("val")
        size = str(value) if isinstance(value, SymInt) else None
        if size in scalars:
            new[part] = scalars[size]
            continue
        with node.graph.inserting_before(node):
            new[part] = node.graph.node_copy(part, new.__getitem__)
        new[part].meta = provenance(node) | {"val": value}
        if size is not None:
            scalars[size] = new[part]
    results = map_arg(parts.output_node().args[0], new.__getitem__)
    if isinstance(results, Node):
        replace(node, results)
        return
    for item in list(node.users):
        if item.target is not operator.getitem:
            raise LeftToTorchError(f"{node} has several results, which {item} takes together")
        replace(item, results[item.args[1]])  # type: ignore[index, arg-type]
    node.graph.erase_node(node)
