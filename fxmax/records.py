"""What a report is made of: the fate of each node, each gap, each rewrite, each comparison with torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Fate = Literal["lowered", "decomposed", "gap", "blocked", "structural", "torch"]
GapKind = Literal["missing", "declined", "mistyped", "raised"]


@dataclass(frozen=True)
class Source:
    """A place in the user's Python: file, line, function, and the text of the line."""

    file: str
    line: int
    function: str = ""
    code: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class NodeRecord:
    """One fx node and its fate.

    `lowered`: a rule took it as torch wrote it. `decomposed`: a rule took it, and it came out of
    torch's decomposition of `original`. `structural`: getitem and symbolic sizes, which become
    nothing. `blocked`: not tried, because what feeds it has no MAX type. `torch`: it runs in torch
    (`unsupported="torch"`).
    """

    name: str
    op: str
    fate: Fate
    path: str
    source: Source | None
    rule: str = ""
    original: str = ""
    shape: str = ""
    inputs: tuple[str, ...] = ()  # names of the fx nodes that feed it

    def line(self) -> str:
        """What the node is, and what became of it."""
        how = f"lowered by {self.rule}" if self.rule else self.fate
        return f"{self.name}: {self.op} in {self.path or 'the module itself'}, {how}"

    def text(self) -> str:
        """Its line, and below it the source that it comes from."""
        return f"{self.line()}\n  {self.source}  {self.source.code}".rstrip() if self.source else self.line()


@dataclass(frozen=True)
class Gap:
    """One thing that can't be lowered, with every node that has it."""

    kind: GapKind
    target: str
    nodes: tuple[str, ...]
    path: str
    source: Source | None
    detail: str
    stub: str = ""

    def __str__(self) -> str:
        return self.text()

    def text(self, left: Iterable[str] = ()) -> str:
        """What is wrong, where it is first, and a rule to start from where one is missing.

        Args:
            left: what rewrites say of the nodes, which they might have made into something else.
        """
        times = f" ×{len(self.nodes)}" if len(self.nodes) > 1 else ""
        lines = [f"{self.kind}: {self.target}{times}  — {self.detail}"]
        lines.append(f"  first in {self.path or 'the module itself'} (node {self.nodes[0]})")
        if self.source:
            lines.append(f"  {self.source}  {self.source.code}".rstrip())
        lines += [f"  {line}" for line in left]
        if self.stub:
            lines.append("  a rule to start from:")
            lines += [f"    {line}" for line in self.stub.splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True)
class PassRecord:
    """What became of one graph rewrite: how many nodes it changed; or why it did not run at all."""

    name: str
    formula: str  # what it does, in one line
    changes: int = 0
    skipped: str = ""

    @property
    def ran(self) -> bool:
        """Whether it ran; it may have found nothing to change."""
        return not self.skipped


@dataclass(frozen=True)
class SkippedNode:
    """A node that a rewrite looks for but left as it is, and why."""

    node: str
    by: str  # the pass
    reason: str

    def __str__(self) -> str:
        return f"{self.by} left it: {self.reason}"


@dataclass(frozen=True)
class Check:
    """One call whose results were compared with eager torch's, before the graph was handed over.

    `error` and `allowed` (max abs) are those of the result that came closest to what rounding allows, of
    `results` outputs and written inputs and buffers. `note` says what else there is to know; `differs`
    is of a difference that only a warning was asked for.
    """

    inputs: str
    results: int = 0
    error: float = 0.0
    allowed: float = 0.0
    note: str = ""
    differs: bool = False

    def __str__(self) -> str:
        if not self.results:
            return f"{self.inputs}: {self.note}"
        exact = "equal" if self.error == 0 else f"error {self.error:.2g}, rounding allows {self.allowed:.2g}"
        return f"{self.inputs}: {exact}" + (f" ({self.note})" if self.note else "")
