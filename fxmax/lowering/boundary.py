"""Where an exported program's inputs and outputs meet a MAX graph's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from max.graph import BufferType, BufferValue, DeviceRef, Dim, TensorType, TensorValue, Value, ops
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    ConstantArgument,
    InputKind,
    OutputKind,
    SymIntArgument,
    TensorArgument,
)

from fxmax.core.types import Symbols, compute_dtype
from fxmax.errors import CaptureError
from fxmax.fx.torch_private import pytree
from fxmax.lowering.derived_sizes import entry_dim, is_derived
from fxmax.lowering.inplace_state import InplaceState
from fxmax.runtime.labels import labelled
from fxmax.runtime.signature import ConstantSpec, OutputSpec, Signature, TensorSpec
from fxmax.support.signals import Declined

WEIGHT_KINDS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
MUTATIONS = (OutputKind.BUFFER_MUTATION, OutputKind.USER_INPUT_MUTATION)


@dataclass(frozen=True)
class Boundary:
    """For each placeholder, what it is; for each result, where it goes."""

    signature: Signature
    destinations: list[str | None]  # for each result, the placeholder that it is written to, if any
    writers: dict[str, str]  # node → the placeholder that it may write in place: see `_writers`
    graph_inputs: dict[str, TensorType | BufferType] = field(default_factory=dict)  # in the graph's order
    derived: dict[str, list[Dim]] = field(default_factory=dict)  # placeholder → sizes: see `derived_sizes`
    weights: dict[str, str] = field(default_factory=dict)  # placeholder → FQN
    states: dict[str, str] = field(default_factory=dict)  # placeholder → FQN of a mutated buffer
    constants: dict[str, Any] = field(default_factory=dict)  # placeholder → Python value

    def enter(self, inputs: Sequence[Value[Any]], state: InplaceState) -> dict[str, TensorValue]:
        """Placeholder → value, for the graph's own inputs."""
        values: dict[str, TensorValue] = {}
        for name, value in zip(self.graph_inputs, inputs, strict=True):
            with labelled(name):
                if isinstance(value, BufferValue):
                    values[name] = state.enter(name, value)
                elif name in self.derived:
                    values[name] = ops.rebind(value.tensor, self.derived[name])
                else:
                    values[name] = value.tensor
        return values

    def leave(self, results: Sequence[Any], state: InplaceState) -> list[TensorValue]:
        """Write mutated inputs back; returns what the graph has to output."""
        returned = []
        user = iter(self.signature.outputs)
        for value, placeholder in zip(results, self.destinations, strict=True):
            if placeholder is not None:
                with labelled(placeholder):
                    state.leave(placeholder, value)
            elif (kind := next(user).kind) == "tensor":
                returned.append(value)
            elif kind == "size":
                with labelled("output"):
                    returned.append(ops.shape_to_tensor([value]).reshape([]))
        return returned


def boundary_of(program: ExportedProgram, symbols: Symbols, device: DeviceRef) -> Boundary:
    """Read an exported program's graph signature.

    Raises:
        CaptureError: an input that MAX can't take (an integer that varies, a custom object, complex numbers).
    """
    nodes = {n.name: n for n in program.graph.nodes}
    labels = iter(_labels(program))
    destinations = _destinations(program)
    signature = Signature(
        [], _outputs(program, nodes), arg_names=_arg_names(program), ranges=_ranges(program, symbols)
    )
    boundary = Boundary(signature, destinations, _writers(program, destinations))
    states: dict[str, TensorType | BufferType] = {}  # which follow the user's inputs
    for item in program.graph_signature.input_specs:
        name, mutated = getattr(item.arg, "name", ""), getattr(item.arg, "name", "") in destinations
        match item.kind, item.arg:
            case InputKind.USER_INPUT, TensorArgument():
                spec, kind = _tensor(next(labels, name), nodes[name], symbols, device, mutated)
                signature.inputs.append(spec)
                boundary.graph_inputs[name] = kind
                shape = nodes[name].meta["val"].shape
                if any(is_derived(size) for size in shape):
                    boundary.derived[name] = [symbols.dim(size) for size in shape]
            case InputKind.USER_INPUT, ConstantArgument(value=value):
                signature.inputs.append(ConstantSpec(next(labels, name), value))
                boundary.constants[name] = value
            case InputKind.USER_INPUT, _:
                varying = type(item.arg).__name__.removesuffix("Argument")
                raise CaptureError(
                    f"input {next(labels, name)} is a {varying} that varies; MAX takes sizes from "
                    "tensor shapes. Pass it as a 0-d tensor, or leave it "
                    "out of dynamic_shapes so that it is fixed."
                )
            case kind, _ if kind in WEIGHT_KINDS and item.target is not None:
                if mutated:
                    spec, states[name] = _tensor(item.target, nodes[name], symbols, device, True)
                    signature.states.append(spec)
                    boundary.states[name] = item.target
                else:
                    boundary.weights[name] = item.target
            case kind, _:
                raise CaptureError(f"input {name} is a {kind.name}: MAX has no such value")
    boundary.graph_inputs.update(states)
    return boundary


def _tensor(
    label: str, node: torch.fx.Node, symbols: Symbols, device: DeviceRef, mutated: bool
) -> tuple[TensorSpec, TensorType | BufferType]:
    val = node.meta["val"]
    dims = [entry_dim(node.name, axis, size, symbols) for axis, size in enumerate(val.shape)]
    shape = tuple(symbols.text(s) for s in val.shape)
    kind = BufferType if mutated else TensorType
    dtype = str(val.dtype).removeprefix("torch.")
    try:
        computed = compute_dtype(val.dtype, device)
    except Declined as declined:
        parts = "; pass torch.view_as_real of it, and make it complex inside of the module"
        raise CaptureError(f"input {label}: {declined}{parts if val.is_complex() else ''}") from declined
    return TensorSpec(label, dtype, shape, mutated), kind(computed, dims, device)


def _destinations(program: ExportedProgram) -> list[str | None]:
    """For each result, the placeholder that it is written to, if any."""
    signature = program.graph_signature
    placeholders: dict[str | None, str] = {fqn: n for n, fqn in signature.inputs_to_buffers.items()}
    return [
        placeholders.get(item.target, item.target) if item.kind in MUTATIONS else None
        for item in signature.output_specs
    ]


def _outputs(program: ExportedProgram, nodes: dict[str, torch.fx.Node]) -> list[OutputSpec]:
    """The user's outputs."""
    returned = _returned_inputs(program)
    outputs = []
    for item in program.graph_signature.output_specs:
        if item.kind in MUTATIONS:
            continue
        if item.kind is not OutputKind.USER_OUTPUT:
            raise CaptureError(f"output {item.arg} is a {item.kind.name}: fxmax lowers inference only")
        if isinstance(item.arg, TensorArgument):
            dtype = nodes[item.arg.name].meta["val"].dtype
            alias = returned.get(item.arg.name)
            outputs.append(OutputSpec("tensor", str(dtype).removeprefix("torch."), alias=alias))
        elif isinstance(item.arg, SymIntArgument):
            outputs.append(OutputSpec("size"))
        else:
            outputs.append(OutputSpec("constant", value=getattr(item.arg, "value", None)))
    return outputs


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
