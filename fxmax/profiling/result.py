"""What profiling found: milliseconds of every node alone, and of the whole graph."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fxmax.records import Source
from fxmax.report import Report
from fxmax.viewer import profile_summary, write_page

ALONE = (
    "each node is compiled and run alone, on the values that it has in the model. In the whole graph MAX "
    "fuses some, and alone a node finds its inputs in the CPU's caches, so the sum is not the whole; views "
    "and constants are not timed"
)


@dataclass(frozen=True)
class NodeTime:
    """One node, and the milliseconds that it takes alone; None for a view or a constant.

    `ms` is the least of the timed runs, less what calling MAX itself takes. `measured` is the node
    that was timed: the first of those with one op, shapes, dtypes and arguments.
    """

    name: str
    op: str
    path: str
    source: Source | None
    shape: str
    ms: float | None
    median_ms: float | None
    measured: str


@dataclass
class Profile:
    """Every node's time alone. `whole_ms` is one call of the whole graph, measured the same way."""

    model: str
    device: str
    nodes: list[NodeTime]
    whole_ms: float
    whole_median_ms: float
    overhead_ms: float  # of a call of MAX, which is taken off each figure
    runs: int
    notes: list[str] = field(default_factory=lambda: [ALONE])
    seconds: dict[str, float] = field(default_factory=dict)
    report: Report | None = None

    @property
    def total_ms(self) -> float:
        """The sum over the nodes."""
        return sum(n.ms or 0.0 for n in self.nodes)

    def by_op(self) -> list[tuple[str, int, float]]:
        """(overload, nodes, milliseconds together), the costliest first."""
        return self._summed(lambda n: n.op)

    def by_module(self) -> list[tuple[str, int, float]]:
        """(FQN of the innermost module, nodes, milliseconds together), the costliest first."""
        return self._summed(lambda n: n.path)

    def _summed(self, key: Any) -> list[tuple[str, int, float]]:
        groups: dict[str, list[float]] = defaultdict(list)
        for n in self.nodes:
            if n.ms is not None:
                groups[key(n)].append(n.ms)
        rows = [(name, len(times), sum(times)) for name, times in groups.items()]
        return sorted(rows, key=lambda row: -row[2])

    def text(self, top: int = 12) -> str:
        """The whole call, and the costliest ops and nodes, as plain lines."""
        lines = [
            f"{self.model} on {self.device}: {self.whole_ms:.3f} ms a call (median "
            f"{self.whole_median_ms:.3f}); its nodes alone add up to {self.total_ms:.3f} ms",
            "",
            f"  {'ms':>9}  {'share':>6}  {'nodes':>5}  op",
        ]
        lines += [
            f"  {ms:>9.3f}  {self._share(ms):>6.1%}  {count:>5}  {op}" for op, count, ms in self.by_op()[:top]
        ]
        timed = sorted((n for n in self.nodes if n.ms is not None), key=lambda n: -(n.ms or 0.0))
        lines += ["", f"  {'ms':>9}  {'share':>6}  node, result, module"]
        lines += [
            f"  {n.ms or 0.0:>9.3f}  {self._share(n.ms or 0.0):>6.1%}  {n.name}  {n.shape}  {n.path}"
            for n in timed[:top]
        ]
        if len(timed) > top:
            lines.append(f"  … and {len(timed) - top} more")
        lines += ["", f"  {self.overhead_ms:.3f} ms for calling MAX at all is taken off; {self.runs} runs"]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def _share(self, ms: float) -> float:
        return ms / self.total_ms if self.total_ms else 0.0

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "model": self.model,
            "device": self.device,
            "whole_ms": self.whole_ms,
            "whole_median_ms": self.whole_median_ms,
            "total_ms": self.total_ms,
            "overhead_ms": self.overhead_ms,
            "runs": self.runs,
            "ops": [{"op": op, "nodes": count, "ms": ms} for op, count, ms in self.by_op()],
            "modules": [{"path": path, "nodes": count, "ms": ms} for path, count, ms in self.by_module()],
            "nodes": [asdict(n) for n in self.nodes],
            "notes": self.notes,
            "seconds": self.seconds,
        }

    def json(self, indent: int | None = 2) -> str:
        return json.dumps(self.to_dict(), indent=indent)

    def html(self, path: str | Path) -> Path:
        """Write one self-contained page: the graph, coloured by time."""
        return write_page(path, self.report, profile=self)

    def _repr_html_(self) -> str:
        return profile_summary(self)

    def __str__(self) -> str:
        return self.text()
