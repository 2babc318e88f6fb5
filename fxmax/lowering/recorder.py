"""Keeps the report while the walk goes on: each node's fate, and gaps grouped by cause."""

from __future__ import annotations

from pathlib import Path

import torch

from fxmax.core.table import Rule, stub
from fxmax.fx import provenance
from fxmax.fx.op_names import op_name
from fxmax.fx.torch_private import OpOverload
from fxmax.report import Fate, Gap, GapKind, NodeRecord, Report


class Recorder:
    """Writes node records into `report`; `finish` adds the gaps."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._gaps: dict[tuple[GapKind, str, str], list[torch.fx.Node]] = {}

    def fate(self, node: torch.fx.Node, fate: Fate, rule: Rule | None = None) -> None:
        """Record what became of `node`."""
        val = node.meta.get("val")
        shape = (
            f"{val.dtype}{list(val.shape)}".removeprefix("torch.") if isinstance(val, torch.Tensor) else ""
        )
        original = provenance.original_op(node)
        if fate == "lowered" and original not in ("", str(node.target)):
            fate = "decomposed"
        self.report.nodes.append(
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

    def finish(self) -> None:
        """Put the gaps, each with all its nodes, into the report."""
        for (kind, target, detail), nodes in self._gaps.items():
            overload = nodes[0].target
            is_op = kind == "missing" and isinstance(overload, OpOverload)
            self.report.gaps.append(
                Gap(
                    kind=kind,
                    target=target,
                    nodes=tuple(n.name for n in nodes),
                    path=provenance.module_path(nodes[0]),
                    source=provenance.source(nodes[0]),
                    detail=detail,
                    stub=stub(overload) if is_op else "",  # type: ignore[arg-type]
                )
            )


def _short(rule: Rule) -> str:
    """`.../fxmax/rules/conv.py:20` as `rules/conv.py:20`, and `rules/conv.py:20 [cpu]` of the CPU's."""
    file, _, line = rule.where.rpartition(":")
    where = f"{'/'.join(Path(file).parts[-2:])}:{line}"
    return f"{where} [{rule.platform}]" if rule.platform else where
