"""The loop: for each fx node look its rule up, bind its arguments by schema, call it, check it."""

from __future__ import annotations

import operator
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from max.graph import DeviceRef, Graph, TensorValue, ops

from fxmax.core.context import Context, PendingWeight
from fxmax.core.kernel_calls import Packages
from fxmax.core.mlir_access import counted
from fxmax.core.table import Platform, Rule, parameter_name
from fxmax.core.typecheck import checked, expected_type
from fxmax.core.types import WIDENED_ON_CPU, Symbols
from fxmax.core.weights import Slot, Weights, collect
from fxmax.frontend.capture import Captured
from fxmax.fx.op_names import why_no_rule
from fxmax.fx.provenance import label
from fxmax.fx.schema import bind
from fxmax.fx.torch_private import OpOverload, pytree
from fxmax.lowering import host_fallback as host
from fxmax.lowering.boundary import Boundary, boundary_of
from fxmax.lowering.broadcast_workaround import Settled
from fxmax.lowering.graph_weights import GraphWeights
from fxmax.lowering.inplace_state import InplaceState
from fxmax.lowering.lowered_graph import LoweredGraph, Shared
from fxmax.lowering.recorder import Recorder
from fxmax.report import GapKind, Report
from fxmax.runtime import device as devices
from fxmax.runtime.labels import labelled
from fxmax.runtime.max_private import in_default_mlir_context
from fxmax.support.signals import Declined, HostOnly, Mistyped


class _Blocked:
    """Stands for a value that MAX has no type for; the nodes it feeds are not tried."""


BLOCKED = _Blocked()


@in_default_mlir_context
def lower(
    captured: Captured,
    shared: Shared | None = None,
    own_kernels: bool = True,
) -> LoweredGraph:
    """Walk every node of a captured program. Gaps go into the report; none ends the walk.

    `own_kernels`: whether rules may call fxmax's kernels where MAX has an op of its own.
    """
    return Lowerer(captured, shared, own_kernels).lower()


class Lowerer(torch.fx.Interpreter):
    """Runs an exported graph with MAX graph values in place of tensors."""

    def __init__(
        self,
        captured: Captured,
        shared: Shared | None = None,
        own_kernels: bool = True,
    ) -> None:
        super().__init__(captured.program.graph_module)
        self.own_kernels = own_kernels
        device = captured.options.device
        self.captured, self.table, self.device = captured, captured.options.table, device
        self.shared = shared
        self.symbols = Symbols(captured.dim_names)
        self.boundary: Boundary = boundary_of(captured.program, self.symbols, device)
        self.weights: Weights = collect(captured.program)
        self.weights.states = set(self.boundary.states)
        self.settled = Settled() if captured.varying() else None
        self.report = Report(
            captured.name,
            str(device),
            notes=list(captured.notes),
            passes=captured.passes,
            skipped=captured.skipped,
        )
        if not device.is_cpu():
            self.report.notes.append(devices.UNPROVEN)
        self.recorder = Recorder(self.report)
        self.hosted: Counter[str] = Counter()  # ops of a GPU's graph that run on the host
        self.node: torch.fx.Node

    def lower(self) -> LoweredGraph:
        start = time.perf_counter()
        position = 0
        if self.shared:
            position, self.shared.graphs = self.shared.graphs, self.shared.graphs + 1
        self.max_graph = Graph(
            self.captured.name,
            input_types=list(self.boundary.graph_inputs.values()),
            kernel_library=Packages(),
            module=self.shared.module if self.shared else None,
        )
        self.read = GraphWeights(self.weights, self.max_graph, self.device, self._bound_name, self.on_weight)
        self.state = InplaceState(self.boundary.in_place)
        with self.max_graph:
            self.values: dict[str, TensorValue] = self.boundary.enter(self.max_graph, self.state)
            results = self.run()
            self.recorder.finish()
            if self.report.ok:
                self.boundary.leave(self.max_graph, results, self.state)
        self.report.max_ops, self.report.distinct_max_ops = counted(self.max_graph)
        self._describe_weights()
        if self.hosted:
            self.report.notes.append(host.note(self.hosted))
        self.report.seconds |= {"capture": self.captured.seconds, "lower": time.perf_counter() - start}
        signature = self.boundary.signature
        return LoweredGraph(self.max_graph, self.weights, signature, self.report, self.captured, position)

    # -- one handler for each kind of fx node ---------------------------------------------------

    def run_node(self, n: torch.fx.Node) -> Any:
        self.node = n
        with labelled(label(n)):
            return super().run_node(n)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        name = self.node.name
        if name in self.values:
            return self.values[name]
        if name in self.boundary.weights:
            spec = self.weights.spec(self.boundary.weights[name])
            return PendingWeight(spec.fqn, spec.shape)
        return self.boundary.constants.get(name)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return None  # a sub-graph of a higher-order op, which is the gap that gets reported

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is operator.getitem:
            return self._structural(lambda: BLOCKED if args[0] is BLOCKED else args[0][args[1]])
        val = self.node.meta.get("val")
        if target is torch.ops.aten._local_scalar_dense.default:
            return self._gap("declined", "MAX has no number that the data decides; use the tensor itself")
        if isinstance(val, (torch.SymInt, int)) and not isinstance(val, bool):
            blocked = any(arg is BLOCKED for arg in args)
            return self._structural(lambda: BLOCKED if blocked else self.symbols.dim(val))
        rule = self._rule(target)
        if rule is None:
            return self._without_rule(target, args)
        return self._apply(rule, args, kwargs)

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self.read.read_all(args[0])

    # -- one node -------------------------------------------------------------------------------

    def _apply(self, rule: Rule, args: Any, kwargs: Any) -> Any:
        bound = bind(rule.target, args, kwargs)
        if any(leaf is BLOCKED for leaf in pytree.tree_leaves(bound)):
            self.recorder.fate(self.node, "blocked")
            return BLOCKED
        try:
            rule, result = self._call(rule, bound)
        except Declined as reason:
            return self._gap("declined", str(reason))
        except Mistyped as error:
            return self._gap("mistyped", f"{error} (rule at {rule.where})")
        except Exception as error:  # noqa: BLE001 - a rule's or MAX's failure is this node's gap
            return self._gap("raised", f"{type(error).__name__}: {error} (rule at {rule.where})")
        self.recorder.fate(self.node, "lowered", rule)
        return result

    def _without_rule(self, target: Any, args: Any) -> Any:
        if not isinstance(target, OpOverload) and any(x is BLOCKED for x in pytree.tree_leaves(args)):
            self.recorder.fate(self.node, "blocked")  # a number computed from one that is a gap already
            return BLOCKED
        try:
            expected_type(self.node.meta.get("val"), self.symbols, self.device)
        except Declined as reason:  # a rule for it could return nothing
            return self._gap("declined", str(reason))
        others = self.table.rules_of(target) if isinstance(target, OpOverload) else ()
        why = f"its only rule is for a GPU, at {others[0].where}" if others else why_no_rule(target)
        return self._gap("missing", why)

    def _rule(self, target: Any) -> Rule | None:
        if not isinstance(target, OpOverload):
            return None
        return self.table.lookup(target, self._platform(self.device))

    def _call(self, rule: Rule, bound: dict[str, Any]) -> tuple[Rule, Any]:
        """(the rule that was taken, what it made)."""
        out = expected_type(self.node.meta.get("val"), self.symbols, self.device)
        if rule.platform == "cpu" and not self.device.is_cpu():
            return rule, self._called_on_host(rule, bound, out)
        try:
            made = rule.fn(self._context(out, self.device), **self._arguments(rule, bound, out))
        except HostOnly:
            rule = self.table.lookup(rule.target, "cpu") or rule
            return rule, self._called_on_host(rule, bound, out)
        return rule, checked(made, out)

    def _called_on_host(self, rule: Rule, bound: dict[str, Any], out: Any) -> Any:
        arguments = host.to_host(self.read.read_all(self._arguments(rule, bound, out)))
        there = expected_type(self.node.meta.get("val"), self.symbols, host.HOST)
        made = checked(rule.fn(self._context(there, host.HOST), **arguments), there)
        self.hosted[str(rule.target)] += 1
        return checked(host.from_host(made, out), out)

    def _arguments(self, rule: Rule, bound: dict[str, Any], out: Any) -> dict[str, Any]:
        """What the rule's function is called with."""
        arguments = {
            parameter_name(name): bound[name] if name in rule.prepack else self.read.read_all(bound[name])
            for name in rule.arguments
        }
        return self.settled.arguments(arguments, out) if self.settled else arguments

    def _context(self, out: Any, device: DeviceRef) -> Context:
        target = self.node.target
        assert isinstance(target, OpOverload)
        return Context(
            self.node,
            out,
            bind(target, self.node.args, self.node.kwargs),
            device,
            weights=self.read,
            state=self.state,
            broadcasts=self.settled,
            platform=self._platform(device),
        )

    def _platform(self, device: DeviceRef) -> Platform | None:
        """What rules for `device` are looked up for; of a walk without our own kernels, for none."""
        if not device.is_cpu():
            return "gpu"
        return "cpu" if self.own_kernels else None

    def _structural(self, value: Callable[[], Any]) -> Any:
        try:
            result = value()
        except Declined as reason:
            return self._gap("declined", str(reason))
        self.recorder.fate(self.node, "structural")
        return result

    def _gap(self, kind: GapKind, detail: str) -> Any:
        """Record it, and go on with a value of the type that torch gives the node."""
        self.recorder.gap(self.node, kind, detail)
        try:
            return self._stand_in(expected_type(self.node.meta.get("val"), self.symbols, self.device))
        except Declined:
            return BLOCKED

    def _stand_in(self, expected: Any) -> Any:
        if expected is None:
            return BLOCKED
        if isinstance(expected, list):
            return [self._stand_in(e) for e in expected]
        return ops.broadcast_to(ops.constant(0, expected.dtype, device=self.device), expected.shape)

    # -- weights --------------------------------------------------------------------------------

    def on_weight(self, slot: Slot, value: TensorValue) -> None:
        """A weight was read, for the first time in its layout."""

    def _bound_name(self, name: str, value: torch.Tensor) -> str:
        return self.shared.name(self.captured.name, name, value) if self.shared else name

    def _describe_weights(self) -> None:
        report, slots = self.report, self.weights.slots.values()
        report.bound, report.unused = self.weights.bound(), self.weights.unused()
        report.layouts = {slot.spec.fqn: slot.layout for slot in slots if slot.layout}
        narrow = sorted({str(slot.spec.dtype) for slot in slots if slot.spec.dtype in WIDENED_ON_CPU})
        if narrow and self.device.is_cpu():
            report.notes.append(f"{', '.join(narrow)} weights are computed in float32 on the CPU")
