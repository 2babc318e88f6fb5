"""Where an exported program's inputs and outputs meet a MAX graph's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from max.graph import BufferType, BufferValue, DeviceRef, Dim, Graph, TensorType, TensorValue, ops
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    ConstantArgument,
    InputKind,
    OutputKind,
    SymIntArgument,
    TensorArgument,
)

from fxmax.core.mlir_access import drop_unread_loads
from fxmax.core.types import Symbols, compute_dtype
from fxmax.errors import CaptureError
from fxmax.fx.torch_private import pytree
from fxmax.lowering.inplace_state import InplaceState
from fxmax.runtime.labels import labelled
from fxmax.runtime.signature import ConstantSpec, OutputSpec, Signature, TensorSpec

WEIGHT_KINDS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
MUTATIONS = (OutputKind.BUFFER_MUTATION, OutputKind.USER_INPUT_MUTATION)


@dataclass
class Boundary:
    """For each placeholder, what it is; for each result, where it goes."""

    signature: Signature
    graph_inputs: dict[str, TensorType | BufferType]  # placeholder → type, in the graph's order
    weights: dict[str, str]  # placeholder → FQN
    constants: dict[str, Any]  # placeholder → Python value
    states: dict[str, str]  # FQN of a mutated buffer → placeholder
    mutations: list[str | None]  # for each result, the placeholder that it is written to, if any
    in_place: dict[str, str] = field(default_factory=dict)  # node → placeholder: see `_writers`
    derived: dict[str, list[Dim]] = field(default_factory=dict)  # placeholder → sizes: see `_derived`

    def enter(self, graph: Graph, state: InplaceState) -> dict[str, TensorValue]:
        """Placeholder → value, for the graph's own inputs."""
        values: dict[str, TensorValue] = {}
        for name, value in zip(self.graph_inputs, graph.inputs, strict=True):
            with labelled(name):
                if isinstance(value, BufferValue):
                    values[name] = state.enter(name, value)
                elif name in self.derived:
                    values[name] = ops.rebind(value.tensor, self.derived[name])
                else:
                    values[name] = value.tensor
        return values

    def leave(self, graph: Graph, results: Sequence[Any], state: InplaceState) -> None:
        """Write mutated buffers back, and output the rest."""
        returned = []
        user = iter(self.signature.outputs)
        for value, target in zip(results, self.mutations, strict=True):
            if target is not None:
                with labelled(target):
                    state.leave(target, value)
            elif (spec := next(user)).kind == "tensor":
                returned.append(value)
            elif spec.kind == "size":
                with labelled("output"):
                    returned.append(ops.shape_to_tensor([value]).reshape([]))
        graph.output(*returned)
        drop_unread_loads(graph)


def boundary_of(program: ExportedProgram, symbols: Symbols, device: DeviceRef) -> Boundary:
    """Read an exported program's graph signature.

    Raises:
        CaptureError: an input that MAX can't take (an integer that varies, a custom object).
    """
    nodes = {n.name: n for n in program.graph.nodes}
    mutated, mutations, outputs = _outputs(program, nodes)
    signature = Signature([], outputs, arg_names=_arg_names(program), ranges=_ranges(program, symbols))
    boundary = Boundary(signature, {}, {}, {}, {}, mutations, _writers(program, mutations))
    states: dict[str, TensorType | BufferType] = {}
    labels = iter(_labels(program))
    entry = _entry_sizes(program, nodes, symbols)
    for item in program.graph_signature.input_specs:
        name = getattr(item.arg, "name", "")
        if item.kind is InputKind.USER_INPUT:
            label = next(labels, name)
            if isinstance(item.arg, TensorArgument):
                spec, kind = _tensor(label, nodes[name], symbols, device, name in mutated, entry.get(name))
                if name in entry:
                    boundary.derived[name] = [symbols.dim(s) for s in nodes[name].meta["val"].shape]
                signature.inputs.append(spec)
                boundary.graph_inputs[name] = kind
            elif isinstance(item.arg, ConstantArgument):
                signature.inputs.append(ConstantSpec(label, item.arg.value))
                boundary.constants[name] = item.arg.value
            else:
                raise CaptureError(
                    f"input {label} is a {type(item.arg).__name__.removesuffix('Argument')} that "
                    "varies; MAX takes sizes from tensor shapes. Pass it as a 0-d tensor, or leave "
                    "it out of dynamic_shapes so that it is fixed."
                )
        elif item.kind in WEIGHT_KINDS and item.target is not None:
            if name in mutated:
                spec, states[name] = _tensor(item.target, nodes[name], symbols, device, True)
                signature.states.append(spec)
                boundary.states[item.target] = name
            else:
                boundary.weights[name] = item.target
        else:
            raise CaptureError(f"input {name} is a {item.kind.name}: MAX has no such value")
    boundary.graph_inputs |= states
    return boundary


def _tensor(
    label: str,
    node: torch.fx.Node,
    symbols: Symbols,
    device: DeviceRef,
    mutated: bool,
    entry: list[Dim] | None = None,
) -> tuple[TensorSpec, TensorType | BufferType]:
    val = node.meta["val"]
    dims = entry or [symbols.dim(s) for s in val.shape]
    shape = tuple(symbols.text(s) for s in val.shape)
    kind = BufferType if mutated else TensorType
    dtype = str(val.dtype).removeprefix("torch.")
    return TensorSpec(label, dtype, shape, mutated), kind(compute_dtype(val.dtype, device), dims, device)


def _entry_sizes(
    program: ExportedProgram, nodes: dict[str, torch.fx.Node], symbols: Symbols
) -> dict[str, list[Dim]]:
    """Sizes for the inputs that have a derived one, such as 2·half + 1.

    MAX takes plain names in a graph's signature: a derived size enters under a name of its own, and
    is bound to what it means inside. Where no input's size is `half` itself, that is how it is known.
    """
    names = [n for n in program.graph_signature.user_inputs if isinstance(n, str) and n in nodes]
    shapes = {n: nodes[n].meta["val"].shape for n in names if hasattr(nodes[n].meta.get("val"), "shape")}
    exprs = {n: [getattr(getattr(s, "node", None), "expr", s) for s in shape] for n, shape in shapes.items()}
    known = {e for sizes in exprs.values() for e in sizes if isinstance(e, sympy.Symbol)}
    entry: dict[str, list[Dim]] = {}
    for name, sizes in exprs.items():
        if not any(isinstance(e, sympy.Expr) and e.free_symbols and not e.is_Symbol for e in sizes):
            continue
        entry[name] = []
        for at, e in enumerate(sizes):
            derived = isinstance(e, sympy.Expr) and e.free_symbols and not e.is_Symbol
            dim = Dim(f"{name}_{at}") if derived else symbols.dim(shapes[name][at])
            entry[name].append(dim)
            if derived and len(e.free_symbols) == 1 and not e.free_symbols & known:
                symbols.solve(e, dim)
                known |= e.free_symbols
    return entry


def _outputs(
    program: ExportedProgram, nodes: dict[str, torch.fx.Node]
) -> tuple[set[str], list[str | None], list[OutputSpec]]:
    """(mutated placeholders, the placeholder each result is written to, the user's outputs)."""
    placeholders = {fqn: name for name, fqn in program.graph_signature.inputs_to_buffers.items()}
    returned = _returned_inputs(program)
    mutations: list[str | None] = []
    outputs = []
    for item in program.graph_signature.output_specs:
        if item.kind in MUTATIONS and item.target is not None:
            mutations.append(placeholders.get(item.target, item.target))
            continue
        if item.kind is not OutputKind.USER_OUTPUT:
            raise CaptureError(f"output {item.arg} is a {item.kind.name}: fxmax lowers inference only")
        mutations.append(None)
        if isinstance(item.arg, TensorArgument):
            dtype = nodes[item.arg.name].meta["val"].dtype
            alias = returned.get(item.arg.name)
            outputs.append(OutputSpec("tensor", str(dtype).removeprefix("torch."), alias=alias))
        elif isinstance(item.arg, SymIntArgument):
            outputs.append(OutputSpec("size"))
        else:
            outputs.append(OutputSpec("constant", value=getattr(item.arg, "value", None)))
    return {m for m in mutations if m is not None}, mutations, outputs


def _returned_inputs(program: ExportedProgram) -> dict[str, int]:
    """Node → the number of the tensor input that it is: as it came, or after the module's writes."""
    tensors = [
        item.arg.name
        for item in program.graph_signature.input_specs
        if item.kind is InputKind.USER_INPUT and isinstance(item.arg, TensorArgument)
    ]
    numbers = {name: i for i, name in enumerate(tensors)}
    written = {
        item.target: item.arg.name
        for item in program.graph_signature.output_specs
        if item.kind is OutputKind.USER_INPUT_MUTATION
    }
    return {written.get(name, name): i for name, i in numbers.items()}


def _writers(program: ExportedProgram, mutations: Sequence[str | None]) -> dict[str, str]:
    """The nodes that may write a mutated input in place, by name, with the input's placeholder.

    They are the chain `input → write → write → result that the input is set to`, each write's
    first argument being the one before.
    """
    writers: dict[str, str] = {}
    [output] = [n for n in program.graph.nodes if n.op == "output"]
    for value, placeholder in zip(output.args[0], mutations, strict=True):
        if placeholder is None:
            continue
        chain = {}
        while isinstance(value, torch.fx.Node) and value.op == "call_function" and value.args:
            chain[value.name] = placeholder
            value = value.args[0]
        if isinstance(value, torch.fx.Node) and value.name == placeholder:
            writers |= chain
    return writers


def _arg_names(program: ExportedProgram) -> list[str]:
    signature = program.module_call_graph[0].signature
    return list(signature.forward_arg_names or []) if signature else []


def _labels(program: ExportedProgram) -> list[str]:
    """What to call each flat user input in a message: `x`, `inputs[0]`, `batch.ids`."""
    args, kwargs = program.example_inputs or ((), {})
    names = _arg_names(program)
    labels = []
    for i, value in enumerate(args):
        first = names[i] if i < len(names) else f"args[{i}]"
        labels += [first + pytree.keystr(path) for path, _ in pytree.tree_flatten_with_path(value)[0]]
    for name, value in kwargs.items():
        labels += [name + pytree.keystr(path) for path, _ in pytree.tree_flatten_with_path(value)[0]]
    return labels


def _ranges(program: ExportedProgram, symbols: Symbols) -> dict[str, tuple[int, int | None]]:
    ranges: dict[str, tuple[int, int | None]] = {}
    for symbol, bounds in program.range_constraints.items():
        if not isinstance(symbol, sympy.Symbol):
            continue  # of a derived size, which follows from that of its symbol
        most = int(bounds.upper) if bounds.upper.is_Integer and bounds.upper < 2**31 else None
        least = int(bounds.lower) if bounds.lower.is_Integer else 0
        ranges[symbols.names.get(symbol, str(symbol))] = (least, most)
    return ranges
