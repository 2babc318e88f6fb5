"""The walk: each fx node's rule is looked up, given its arguments by schema, called, and checked.

A node that can't be lowered is a gap in the report, and a stand-in of torch's type takes its place: so one
walk finds every gap.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from max.graph import DeviceRef, Module
from torch.fx import Node
from torch.fx.node import map_arg

from fxmax.core.context import Context
from fxmax.core.kernel_calls import Packages
from fxmax.core.mlir_access import drop_unread_loads
from fxmax.core.table import Platform, Rule, RuleTable, parameter_name
from fxmax.core.typecheck import checked, expected_type
from fxmax.core.types import Symbols
from fxmax.core.weights import collect
from fxmax.frontend.capture import Captured
from fxmax.fx.op_names import why_no_rule
from fxmax.fx.provenance import label
from fxmax.fx.schema import arguments, bind
from fxmax.fx.torch_private import OpOverload
from fxmax.lowering.boundary import boundary_of
from fxmax.lowering.broadcast_workaround import Broadcasts, check_slices
from fxmax.lowering.constant_folding import FoldingGraph, drop_unread_constants
from fxmax.lowering.derived_sizes import solved_symbols
from fxmax.lowering.graph_weights import GraphWeights
from fxmax.lowering.host_fallback import HOST, from_host, to_host
from fxmax.lowering.inplace_state import InplaceState
from fxmax.lowering.lowered_graph import LoweredGraph, Shared
from fxmax.lowering.observer import Observer
from fxmax.lowering.recorder import Recorder
from fxmax.lowering.stand_in import BLOCKED, is_blocked, stand_in
from fxmax.records import GapKind
from fxmax.runtime.labels import labelled
from fxmax.runtime.max_private import in_default_mlir_context
from fxmax.support.signals import Declined, HostOnly, Mistyped

DATA_DECIDES = "MAX has no number that the data decides; use the tensor itself"


@in_default_mlir_context
def lower(
    captured: Captured,
    shared: Shared | None = None,
    own_kernels: bool = True,
    observers: Sequence[Observer] = (),
) -> LoweredGraph:
    """Walk every node of a captured program. Gaps go into the report; none ends the walk.

    Args:
        shared: what the graph has in common with those that it is compiled together with.
        own_kernels: whether rules may call fxmax's kernels where MAX has an op of its own.
        observers: told of every node, weight and value; what they ask for is returned as well.
    """
    start = time.perf_counter()
    program, device, shared = captured.program, captured.options.device, shared or Shared(Module())
    symbols = Symbols(captured.dim_names, solved_symbols(program))
    boundary = boundary_of(program, symbols, device)
    weights = collect(program)
    weights.states = set(boundary.states.values())
    recorder = Recorder(captured, device)
    recorder.signature(boundary.signature)
    graph = FoldingGraph(
        captured.name,
        input_types=list(boundary.graph_inputs.values()),
        kernel_library=Packages(),
        module=shared.module,
    )
    position = shared.add()
    with graph:
        state = InplaceState(boundary.writers)
        reader = GraphWeights(weights, graph, device, partial(shared.name, captured.name), observers)
        inputs = boundary.enter(graph.inputs, state)
        walk = Walk(
            table=captured.options.table,
            device=device,
            symbols=symbols,
            inputs={**inputs, **reader.pending(boundary.weights), **boundary.constants},
            weights=reader,
            state=state,
            broadcasts=Broadcasts() if captured.varying() else None,
            own_kernels=own_kernels,
            recorder=recorder,
            observers=observers,
        )
        results = walk.run(program.graph)
        extra = []
        if recorder.ok:
            if walk.broadcasts is not None:
                check_slices(graph)
            extra = [output for observer in observers for output in observer.extra_outputs()]
            returned = [*boundary.leave(results, state), *(value for _, value in extra)]
            graph.output(*returned)
            drop_unread_loads(graph)
            drop_unread_constants(graph)
            for observer in observers:
                observer.on_outputs(returned)
    signature = replace(boundary.signature, outputs=boundary.signature.outputs + [spec for spec, _ in extra])
    report = recorder.finish(graph, weights)
    report.seconds |= {"capture": captured.seconds, "lower": time.perf_counter() - start}
    return LoweredGraph(graph, weights, boundary, signature, report, captured, position)


@dataclass
class Walk:
    """One pass over a program, in which MAX's values stand for torch's."""

    table: RuleTable
    device: DeviceRef
    symbols: Symbols
    inputs: Mapping[str, Any]  # placeholder → its value, a constant, or a weight that no rule has read yet
    weights: GraphWeights
    state: InplaceState
    broadcasts: Broadcasts | None  # where sizes vary
    own_kernels: bool
    recorder: Recorder
    observers: Sequence[Observer]

    def run(self, graph: torch.fx.Graph) -> Sequence[Any]:
        """What the program returns: values, sizes and constants."""
        values: dict[Node, Any] = {}
        for node in graph.nodes:
            for observer in self.observers:
                observer.on_node(node)
            args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
            with labelled(label(node)):
                values[node] = self._value(node, args, kwargs)
            for observer in self.observers:
                observer.on_value(node, values[node])
        return values[node]  # type: ignore[no-any-return]  # of the output, which comes last

    def _value(self, node: Node, args: Any, kwargs: Any) -> Any:
        if node.op == "placeholder":
            return self.inputs.get(node.name)
        if node.op == "output":
            return self.weights.read_all(args[0])
        if node.op == "get_attr":
            return None  # a sub-graph of a higher-order op, which is the gap that gets reported
        if node.target is torch.ops.aten._local_scalar_dense.default:
            return self._gap(node, "declined", DATA_DECIDES)
        if node.target is operator.getitem or _is_size(node):
            return self._structural(node, args)
        if isinstance(node.target, OpOverload):
            rule = self.table.lookup(node.target, self._platform(self.device))
            if rule is not None:
                return self._lowered(node, rule, bind(node.target, args, kwargs))
        return self._without_rule(node, args)

    def _structural(self, node: Node, args: Any) -> Any:
        """One of several results, or a size: nothing that MAX computes."""
        try:
            if is_blocked(args):
                value = BLOCKED
            elif node.target is operator.getitem:
                value = args[0][args[1]]
            else:
                value = self.symbols.dim(node.meta["val"])
        except Declined as reason:
            return self._gap(node, "declined", str(reason))
        self.recorder.fate(node, "structural")
        return value

    def _without_rule(self, node: Node, args: Any) -> Any:
        target = node.target
        if not isinstance(target, OpOverload) and is_blocked(args):
            self.recorder.fate(node, "blocked")  # a number computed from one that is a gap already
            return BLOCKED
        try:
            self._type(node, self.device)
        except Declined as reason:  # a rule for it could return nothing
            return self._gap(node, "declined", str(reason))
        others = self.table.rules_of(target) if isinstance(target, OpOverload) else ()
        why = f"its only rule is for a GPU, at {others[0].where}" if others else why_no_rule(target)
        return self._gap(node, "missing", why)

    def _lowered(self, node: Node, rule: Rule, bound: dict[str, Any]) -> Any:
        """What the rule makes of the node, of the type that torch gives it."""
        if is_blocked(bound):
            self.recorder.fate(node, "blocked")
            return BLOCKED
        try:
            rule, value = self._call(node, rule, bound)
        except Declined as reason:
            return self._gap(node, "declined", str(reason))
        except Mistyped as error:
            return self._gap(node, "mistyped", f"{error} (rule at {rule.where})")
        except Exception as error:  # noqa: BLE001 - a rule's or MAX's failure is this node's gap
            return self._gap(node, "raised", f"{type(error).__name__}: {error} (rule at {rule.where})")
        self.recorder.fate(node, "lowered", rule)
        return value

    def _call(self, node: Node, rule: Rule, bound: dict[str, Any]) -> tuple[Rule, Any]:
        """(the rule that was taken, what it made): on the graph's device, or else on the host's CPU."""
        out = self._type(node, self.device)
        if rule.platform != "cpu" or self.device.is_cpu():
            try:
                made = rule.fn(self._context(node, out, self.device), **self._arguments(rule, bound, out))
                return rule, checked(made, out)
            except HostOnly:
                rule = self.table.lookup(rule.target, "cpu") or rule
        there = self._type(node, HOST)
        given = to_host(self.weights.read_all(self._arguments(rule, bound, out)))
        made = checked(rule.fn(self._context(node, there, HOST), **given), there)
        self.recorder.on_host(rule)
        return rule, checked(from_host(made, out), out)

    def _arguments(self, rule: Rule, bound: dict[str, Any], out: Any) -> dict[str, Any]:
        """What the rule's function is called with."""
        given = {
            parameter_name(name): bound[name] if name in rule.prepack else self.weights.read_all(bound[name])
            for name in rule.arguments
        }
        return self.broadcasts.arguments(given, out) if self.broadcasts else given

    def _context(self, node: Node, out: Any, device: DeviceRef) -> Context:
        return Context(
            node,
            out,
            arguments(node),
            device,
            weights=self.weights,
            state=self.state,
            broadcasts=self.broadcasts,
            platform=self._platform(device),
        )

    def _platform(self, device: DeviceRef) -> Platform | None:
        """What rules for `device` are looked up for; of a walk without our own kernels, for none."""
        if not device.is_cpu():
            return "gpu"
        return "cpu" if self.own_kernels else None

    def _type(self, node: Node, device: DeviceRef) -> Any:
        """What torch says that the node is, as MAX's type."""
        return expected_type(node.meta.get("val"), self.symbols, device)

    def _gap(self, node: Node, kind: GapKind, detail: str) -> Any:
        """Record it, and go on with a value of the type that torch gives the node."""
        self.recorder.gap(node, kind, detail)
        try:
            return stand_in(self._type(node, self.device), self.device)
        except Declined:
            return BLOCKED


def _is_size(node: Node) -> bool:
    """Whether the node is a number that torch knows, or knows in terms of the inputs' sizes."""
    val = node.meta.get("val")
    return isinstance(val, (torch.SymInt, int)) and not isinstance(val, bool)
