"""Keeps the report while the walk goes on: each node's fate, and gaps grouped by cause."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch
from max.graph import DeviceRef, Graph

from fxmax.core.mlir_access import counted
from fxmax.core.table import Rule, stub
from fxmax.core.types import WIDENED_ON_CPU
from fxmax.core.weights import Weights
from fxmax.frontend.capture import Captured
from fxmax.fx import provenance
from fxmax.fx.op_names import op_name
from fxmax.fx.torch_private import OpOverload
from fxmax.records import Fate, Gap, GapKind, NodeRecord
from fxmax.report import Report
from fxmax.runtime import dtypes
from fxmax.runtime.device import UNPROVEN
from fxmax.runtime.signature import Signature


class Recorder:
    """Makes the report of one walk: the nodes as they come, the rest when it finishes."""

    def __init__(self, captured: Captured, device: DeviceRef) -> None:
        self._report = Report(
            captured.name,
            str(device),
            notes=list(captured.notes),
            passes=captured.passes,
            skipped=captured.skipped,
        )
        if not device.is_cpu():
            self._report.notes.append(UNPROVEN)
        self._on_cpu = device.is_cpu()
        self._gaps: dict[tuple[GapKind, str, str], list[torch.fx.Node]] = {}
        self._hosted: Counter[str] = Counter()  # ops of a GPU's graph that run on the host

    def signature(self, signature: Signature) -> None:
        """Record what the boundary costs: inputs that are written, and that the CPU widens."""
        wide = [s for s in signature.tensors if s.mutated and s.dtype in dtypes.WIDENED_ON_CPU]
        if wide and self._on_cpu:
            named = ", ".join(f"{spec.name} ({spec.dtype})" for spec in wide)
            self._report.notes.append(
                f"written in place, and copied at each call, because the CPU computes in float32: {named}"
            )

    @property
    def ok(self) -> bool:
        """Whether there is no gap so far."""
        return not self._gaps

    def fate(self, node: torch.fx.Node, fate: Fate, rule: Rule | None = None) -> None:
        """Record what became of `node`."""
        val = node.meta.get("val")
        shape = (
            f"{val.dtype}{list(val.shape)}".removeprefix("torch.") if isinstance(val, torch.Tensor) else ""
        )
        original = provenance.original_op(node)
        if fate == "lowered" and original not in ("", str(node.target)):
            fate = "decomposed"
        self._report.nodes.append(
            NodeRecord(
                name=node.name,
                op=op_name(node.target),
                fate=fate,
                path=provenance.module_path(node),
                source=provenance.source(node),
                rule=_short(rule) if rule else "",
                original=original,
                shape=shape,
                inputs=tuple(n.name for n in node.all_input_nodes),
            )
        )

    def gap(self, node: torch.fx.Node, kind: GapKind, detail: str) -> None:
        """Record that `node` can't be lowered, and why."""
        self._gaps.setdefault((kind, op_name(node.target), detail), []).append(node)
        self.fate(node, "gap")

    def on_host(self, rule: Rule) -> None:
        """Record that a node of a GPU's graph runs on the host."""
        self._hosted[str(rule.target)] += 1

    def finish(self, graph: Graph, weights: Weights) -> Report:
        """The report, with the gaps, each with all its nodes, the weights, and the size of the MAX graph."""
        report = self._report
        report.gaps = [_gap(*cause, nodes) for cause, nodes in self._gaps.items()]
        report.max_ops, report.distinct_max_ops = counted(graph)
        report.bound, report.unused = weights.bound(), weights.unused()
        slots = weights.slots.values()
        report.layouts = {slot.spec.fqn: slot.layout for slot in slots if slot.layout}
        narrow = sorted({str(slot.spec.dtype) for slot in slots if slot.spec.dtype in WIDENED_ON_CPU})
        if narrow and self._on_cpu:
            report.notes.append(f"{', '.join(narrow)} weights are computed in float32 on the CPU")
        if self._hosted:
            report.notes.append(_hosted_note(self._hosted))
        return report


def _gap(kind: GapKind, target: str, detail: str, nodes: list[torch.fx.Node]) -> Gap:
    overload = nodes[0].target
    is_op = kind == "missing" and isinstance(overload, OpOverload)
    return Gap(
        kind=kind,
        target=target,
        nodes=tuple(n.name for n in nodes),
        path=provenance.module_path(nodes[0]),
        source=provenance.source(nodes[0]),
        detail=detail,
        stub=stub(overload) if is_op else "",  # type: ignore[arg-type]
    )


def _hosted_note(targets: Counter[str]) -> str:
    named = ", ".join(f"{target} ({count})" if count > 1 else target for target, count in targets.items())
    return f"on the host, because the GPU has no kernel for it: {named}"


def _short(rule: Rule) -> str:
    """`.../fxmax/rules/conv.py:20` as `rules/conv.py:20`, and `rules/conv.py:20 [cpu]` of the CPU's."""
    file, _, line = rule.where.rpartition(":")
    where = f"{'/'.join(Path(file).parts[-2:])}:{line}"
    return f"{where} [{rule.platform}]" if rule.platform else where
