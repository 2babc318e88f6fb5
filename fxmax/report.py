"""What became of every node, weight and stage: for a person, for a script, for an error."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fxmax.errors import FxmaxError
from fxmax.records import Check, Gap, NodeRecord, PassRecord, SkippedNode
from fxmax.viewer import report_summary, write_page


@dataclass
class Report:
    """Every node's fate, the gaps, the weights, and how long each stage took (seconds)."""

    model: str
    device: str
    nodes: list[NodeRecord] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    bound: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    layouts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    max_ops: int = 0  # of the MAX graph, those that compute
    distinct_max_ops: int = 0  # by op, types and attributes: what MAX has kernels to compile for
    checks: list[Check] = field(default_factory=list)
    unchecked: str = ""  # what was not compared with torch, and why
    proven: str = ""  # when it was compared, if not now
    cache: str = ""  # whether the compiled graph was in the cache, and if not, why
    passes: list[PassRecord] = field(default_factory=list)  # in the order they ran in
    skipped: list[SkippedNode] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every node was lowered."""
        return not self.gaps

    def ops(self) -> dict[str, int]:
        """Overload → how many nodes, most frequent first; structural nodes are left out."""
        counted = Counter(n.op for n in self.nodes if n.fate != "structural")
        return dict(counted.most_common())

    @property
    def coverage(self) -> float:
        """The share of computing nodes that were lowered, 0 to 1."""
        computing = [n for n in self.nodes if n.fate != "structural"]
        done = [n for n in computing if n.fate in ("lowered", "decomposed")]
        return len(done) / len(computing) if computing else 1.0

    def gap_text(self, gap: Gap) -> str:
        """One gap, with what rewrites say of its nodes."""
        return gap.text(dict.fromkeys(str(s) for s in self.skipped if s.node in gap.nodes))

    def gaps_text(self) -> str:
        """All gaps, ready for an error message."""
        ops, nodes = _count(len(self.gaps), "op"), _count(sum(len(g.nodes) for g in self.gaps), "node")
        head = f"{self.model}: {ops} ({nodes}) can't be lowered to MAX:"
        ways = []
        if any(g.stub for g in self.gaps):
            ways.append("fill in the rules above and register them with @fxmax.rule (docs/rules.md)")
        if any(g.kind in ("mistyped", "raised") for g in self.gaps):
            ways.append("mend the rules that are named above")
        ways.append("let torch compute these nodes and MAX the rest: fxmax.lower(..., unsupported='torch')")
        tail = f"What to do: {'; or '.join(ways)}.\nreport.gaps has this list as data."
        return "\n\n".join([head, *map(self.gap_text, self.gaps), tail])

    def why(self, name: str) -> str:
        """What became of a node, or of each node of a module, and why rewrites left it as it is.

        Raises:
            FxmaxError: no node and no module is called `name`.
        """
        nodes = [n for n in self.nodes if n.name == name or n.path == name]
        if not nodes:
            known = {x for n in self.nodes for x in (n.name, n.path) if x}
            near = get_close_matches(name, known)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise FxmaxError(f"no node and no module of {self.model} is called {name!r}{hint}")
        lines = []
        for n in nodes:
            lines.append(n.line())
            lines += [f"  {g.kind}: {g.detail}" for g in self.gaps if n.name in g.nodes]
            lines += [f"  {s}" for s in self.skipped if s.node == n.name]
        return "\n".join(lines)

    def describe(self, name: str) -> str:
        """What a node is and where it comes from; of an input of the graph, its name."""
        return next((n.text() for n in self.nodes if n.name == name), name)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict: everything that the text shows, and every node."""
        return {
            "model": self.model,
            "device": self.device,
            "nodes": len([n for n in self.nodes if n.fate != "structural"]),
            "coverage": self.coverage,
            "ops": self.ops(),
            "gaps": [asdict(g) for g in self.gaps],
            "weights": {
                "bound": len(self.bound),
                "unused": self.unused,
                "missing": self.missing,
                "layouts": self.layouts,
            },
            "notes": self.notes,
            "seconds": self.seconds,
            "max_ops": self.max_ops,
            "distinct_max_ops": self.distinct_max_ops,
            "checks": [asdict(c) for c in self.checks],
            "unchecked": self.unchecked,
            "proven": self.proven,
            "cache": self.cache,
            "passes": [asdict(p) for p in self.passes],
            "skipped": [asdict(s) for s in self.skipped],
            "node_list": [asdict(n) for n in self.nodes],
        }

    def json(self, indent: int | None = 2) -> str:
        return json.dumps(self.to_dict(), indent=indent)

    def rows(self) -> list[tuple[str, int, str]]:
        """(op, count, how it was lowered) for each overload."""
        how: dict[str, str] = {}
        for n in self.nodes:
            if n.fate == "structural":
                continue
            text = "no rule: a gap" if n.fate == "gap" else n.rule or n.fate
            text = "runs in torch" if n.fate == "torch" else text
            if n.fate == "decomposed":
                text += f"  (from {n.original})"
            how.setdefault(n.op, text)
        return [(op, count, how[op]) for op, count in self.ops().items()]

    def text(self, verbose: bool = False) -> str:
        """The report as plain lines; `verbose`: with the names of weights and nodes that others count."""
        rows = self.rows()
        width = max([len(op) for op, _, _ in rows], default=2)
        total = sum(count for _, count, _ in rows)
        lines = [f"{self.model} on {self.device}: {_count(total, 'node')}, {self.coverage:.0%} lowered", ""]
        lines += [f"  {op:<{width}}  {count:>5}  {how}" for op, count, how in rows]
        lines += ["", f"  weights: {self.weights_line()}"]
        if self.unused:
            lines.append(f"  unused: {', '.join(self.unused)}")
        if self.lost:
            lines.append(f"  missing: {', '.join(self.lost)}")
        lines += [f"  {line}" for line in self.summary_lines()]
        if verbose:
            lines += [f"  {line}" for line in self.name_lines()]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  {line}" for line in self.check_lines()]
        if self.seconds:
            stages = ", ".join(f"{k} {v:.2f} s" for k, v in self.seconds.items())
            lines.append(f"  stages: {stages}")
        if self.cache:
            lines.append(f"  {self.cache}")
        if self.gaps:
            lines += ["", self.gaps_text()]
        return "\n".join(lines)

    def summary_lines(self) -> list[str]:
        """Weights in other layouts, rewrites, and the size of the MAX graph: one line of counts each."""
        changed = [f"{p.name} {p.changes}" for p in self.passes if p.changes]
        idle = [p.name for p in self.passes if not p.ran]
        left = [f"{by} {count}" for by, count in Counter(s.by for s in self.skipped).items()]
        lines = {
            self.layouts_line(): bool(self.layouts),
            f"graph rewrites, and how many nodes each changed: {', '.join(changed)}": bool(changed),
            f"graph rewrites that did not run: {', '.join(idle)}": bool(idle),
            f"nodes that rewrites left as they were (verbose: which, and why): {', '.join(left)}": bool(left),
            self.kernels_line(): bool(self.max_ops),
        }
        return [line for line, wanted in lines.items() if wanted]

    def name_lines(self) -> list[str]:
        """The names behind the counts: packed weights, rewrites that did not run, nodes that were left."""
        lines = [f"{name}: packed as {layout}" for name, layout in self.layouts.items()]
        lines += [f"{p.name} did not run: {p.skipped}" for p in self.passes if not p.ran]
        lines += [f"{', '.join(nodes)}: {why}" for why, nodes in self.left_alone().items()]
        return lines

    def left_alone(self) -> dict[str, list[str]]:
        """What rewrites say of nodes that they left as they were → those nodes."""
        grouped: dict[str, list[str]] = {}
        for s in self.skipped:
            grouped.setdefault(str(s), []).append(s.node)
        return grouped

    def layouts_line(self) -> str:
        """How many weights are stored in which other layout."""
        counts = Counter(self.layouts.values()).most_common()
        return f"weights packed: {', '.join(f'{count} as {layout}' for layout, count in counts)}"

    def markdown(self) -> str:
        """The report as GitHub-flavoured markdown."""
        lines = [f"# {self.model} on {self.device}", ""]
        lines += ["| op | nodes | lowered by |", "|---|---:|---|"]
        lines += [f"| `{op}` | {count} | {how} |" for op, count, how in self.rows()]
        lines += ["", f"Weights: {self.weights_line()}."]
        if self.unused:
            lines.append("Unused: " + ", ".join(f"`{n}`" for n in self.unused) + ".")
        if self.lost:
            lines.append("Missing: " + ", ".join(f"`{n}`" for n in self.lost) + ".")
        lines += [f"- {line}" for line in self.summary_lines()]
        lines += [f"- {note}" for note in self.notes]
        if self.seconds:
            lines += ["", "| stage | seconds |", "|---|---:|"]
            lines += [f"| {k} | {v:.2f} |" for k, v in self.seconds.items()]
        for gap in self.gaps:
            lines += ["", f"## {gap.kind}: `{gap.target}`", "", "```", self.gap_text(gap), "```"]
        return "\n".join(lines)

    def html(self, path: str | Path) -> Path:
        """Write one self-contained page: the graph, its modules, gaps, weights and times."""
        return write_page(path, self)

    def _repr_html_(self) -> str:
        return report_summary(self)

    @property
    def lost(self) -> list[str]:
        """Weights with no value, where others have one: of a module on the meta device none has."""
        return [] if len(self.missing) == len(self.bound) else self.missing

    def weights_line(self) -> str:
        """How many weights are bound, of how many, and how many are left over."""
        used, empty = len(self.bound), len(self.missing)
        unused = f"{len(self.unused)} unused" if self.unused else "none unused"
        if used and empty == used:
            return f"{used} used by name, {unused}; no values were read"
        return f"{used - empty} of {used} bound, {unused}"

    def check_lines(self) -> list[str]:
        """What was compared with torch before the graph was handed over, and what was not."""
        when = f" {self.proven}" if self.proven else ""
        lines = [f"compared with torch{when} on {check}" for check in self.checks]
        return [*lines, f"not compared with torch: {self.unchecked}"] if self.unchecked else lines

    def kernels_line(self) -> str:
        """How large the MAX graph is, and how much of it there is to compile."""
        return (
            f"MAX graph: {self.max_ops} ops, of which {self.distinct_max_ops} are distinct: MAX compiles "
            "at most a kernel for each"
        )

    def __str__(self) -> str:
        return self.text()


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
