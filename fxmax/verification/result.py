"""What verification found: numbers of every watched node, and the first that went wrong."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fxmax.records import Source
from fxmax.report import Report
from fxmax.viewer import verification_summary, write_page


@dataclass(frozen=True)
class Input:
    """What fed a node: an earlier node, an input of the module, or a weight by FQN.

    `max_abs_error` is its distance from the reference's.
    """

    name: str
    kind: str  # "node" | "input" | "weight"
    max_abs_error: float
    relative_error: float


@dataclass(frozen=True)
class NodeCheck:
    """One watched node. Errors are max abs, relative ones over the largest absolute value.

    `max_abs_error` is from the reference, which was fed its own values; `expected_error` is what
    rounding may add up to at this depth. `own_error` is from torch's result on the values that
    MAX fed the node, so it is the node's own doing; `tolerance` is what rounding allows there, at
    the element that comes closest to it or is furthest past it; `excess` is their ratio.
    """

    name: str
    op: str
    path: str
    source: Source | None
    dtype: str
    shape: tuple[int, ...]
    max_abs_error: float
    relative_error: float
    cosine: float
    expected_error: float
    own_error: float
    tolerance: float
    excess: float
    inputs: tuple[Input, ...] = ()

    @property
    def diverges(self) -> bool:
        """Whether this node is further from torch than rounding explains."""
        return not self.excess <= 1

    def __str__(self) -> str:
        where = f"{self.op} in {self.path or 'the module itself'} (node {self.name})"
        lines = [where]
        if self.source:
            lines.append(f"  {self.source}  {self.source.code}".rstrip())
        lines.append(
            f"  {self.dtype}{list(self.shape)}: own error {self.own_error:.3g}, where rounding allows "
            f"{self.tolerance:.3g} ({self.excess:.3g} times that)"
        )
        lines.append(
            f"  against the reference: max abs {self.max_abs_error:.3g}, relative "
            f"{self.relative_error:.3g}, cosine {self.cosine:.6f}; rounding so far may add up to "
            f"{self.expected_error:.3g}"
        )
        for i in self.inputs:
            same = "as the reference's" if i.max_abs_error == 0 else f"error {i.max_abs_error:.3g}"
            lines.append(f"  fed by {i.kind} {i.name}: {same} (relative {i.relative_error:.3g})")
        return "\n".join(lines)


@dataclass
class Verification:
    """A lowered graph against torch. `first_divergent` is None where all is well.

    `outputs` is the module's own flat outputs against the module as torch exported it, before any
    decomposition or pass; `notes` says what a reader should know of this run.
    """

    model: str
    device: str
    level: str
    reference: str
    nodes: list[NodeCheck]
    outputs: list[NodeCheck] = field(default_factory=list)
    changed_weights: dict[str, float] = field(default_factory=dict)  # FQN → max abs change
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    report: Report | None = None

    @property
    def first_divergent(self) -> NodeCheck | None:
        """The first node, in the order of the graph, that rounding does not explain."""
        return next((n for n in [*self.nodes, *self.outputs] if n.diverges), None)

    @property
    def ok(self) -> bool:
        """Whether every node and every output is within its tolerance."""
        return self.first_divergent is None

    @property
    def closest(self) -> NodeCheck | None:
        """The node that comes closest to its tolerance, or is furthest past it."""
        return max(self.nodes, key=lambda n: n.excess, default=None)

    def text(self) -> str:
        """The verdict, the first divergent node if any, and the outputs, as plain lines."""
        watched = f"{len(self.nodes)} {'nodes' if self.level == 'node' else 'module outputs'}"
        lines = [f"{self.model} on {self.device} against torch {self.reference}: {watched} compared"]
        first = self.first_divergent
        if first is None:
            lines.append("  no divergence: every one is within what rounding explains")
            if self.closest is not None:
                share = f"{self.closest.excess:.0%} of it, on the values that MAX fed it"
                lines.append(f"  closest to its tolerance: {self.closest.name}, {share}")
        else:
            count = sum(n.diverges for n in self.nodes)
            lines.append(f"first divergence: {first}")
            if count > 1:
                lines.append(f"  {count - 1} more after it")
        for fqn, change in self.changed_weights.items():
            lines.append(f"  weight {fqn} is not the one that was lowered: it differs by up to {change:.3g}")
        lines += [
            f"  {o.name}: max abs error {o.max_abs_error:.3g}, relative {o.relative_error:.3g}, "
            f"where the rounding of all nodes may add up to {o.expected_error:.3g}"
            for o in self.outputs
        ]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def table(self) -> str:
        """Every watched node, one a line."""
        width = max([len(n.name) for n in self.nodes], default=4)
        head = f"  {'node':<{width}}  {'error':>9}  {'expected':>9}  {'own':>9}  {'allowed':>9}  module"
        rows = [
            f"{'✗' if n.diverges else ' '} {n.name:<{width}}  {n.max_abs_error:>9.2g}  "
            f"{n.expected_error:>9.2g}  {n.own_error:>9.2g}  {n.tolerance:>9.2g}  {n.path}"
            for n in self.nodes
        ]
        return "\n".join([head, *rows])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        first = self.first_divergent
        return {
            "model": self.model,
            "device": self.device,
            "level": self.level,
            "reference": self.reference,
            "ok": self.ok,
            "first_divergent": asdict(first) if first else None,
            "changed_weights": self.changed_weights,
            "outputs": [asdict(n) for n in self.outputs],
            "notes": self.notes,
            "seconds": self.seconds,
            "nodes": [asdict(n) for n in self.nodes],
        }

    def json(self, indent: int | None = 2) -> str:
        return json.dumps(self.to_dict(), indent=indent)

    def html(self, path: str | Path) -> Path:
        """Write one self-contained page: the graph, coloured by error."""
        return write_page(path, self.report, verification=self)

    def _repr_html_(self) -> str:
        return verification_summary(self)

    def __str__(self) -> str:
        return self.text()
