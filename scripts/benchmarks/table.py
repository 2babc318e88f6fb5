"""A benchmark's rows, and the forms they are printed in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Times


@dataclass
class Row:
    """One side: its times, ours against it, and its error against the reference.

    `ratio` is our time to this side's, the median over rounds: under 1 we are faster.
    """

    name: str
    median_ms: float
    minimum_ms: float
    ratio: float | None = None
    error: float | None = None
    note: str = ""

    @classmethod
    def of(
        cls, name: str, times: Times, ours: Times | None, error: float | None = None, note: str = ""
    ) -> Row:
        ratio = ours.ratio_to(times) if ours is not None and ours is not times else None
        return cls(name, times.median * 1e3, times.minimum * 1e3, ratio, error, note)


@dataclass
class Benchmark:
    """What was measured, on what, and the rows."""

    title: str
    rows: list[Row]
    environment: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    HEAD = ("", "median ms", "min ms", "ours / it", "error", "")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self)

    def cells(self) -> list[list[str]]:
        """The rows as text."""
        return [
            [
                row.name,
                figure_of(row.median_ms),
                figure_of(row.minimum_ms),
                "" if row.ratio is None else f"{row.ratio:.2f}",
                "" if row.error is None else f"{row.error:.1e}",
                row.note,
            ]
            for row in self.rows
        ]

    def table(self) -> list[list[str]]:
        """The head and the rows, without the last column where no row has a note."""
        lines = [list(self.HEAD), *self.cells()]
        return lines if any(row.note for row in self.rows) else [line[:-1] for line in lines]

    def conditions(self) -> str:
        """One line on where and when."""
        e = self.environment
        versions = ", ".join(f"{k} {v}" for k, v in e["versions"].items())
        return f"{e['date']}, {e['cpu']}, {e['threads']} threads of {e['cores']} cores; {versions}"

    def show(self) -> None:
        """Print it on stdout."""
        head, *rows = self.table()
        table = Table(*head, title=self.title, title_justify="left")
        for column in table.columns[1:5]:
            column.justify = "right"
        for cells in rows:
            table.add_row(*cells)
        console = Console()
        console.print(table)
        for line in [self.conditions(), *self.notes]:
            console.print(line, style="dim", highlight=False, soft_wrap=True)

    def markdown(self) -> str:
        """A table for a README."""
        head, *rows = self.table()
        rule = ["---", *["---:"] * 4, "---"][: len(head)]
        lines = ["| " + " | ".join(head) + " |", "|" + "|".join(rule) + "|"]
        lines += ["| " + " | ".join(cells) + " |" for cells in rows]
        return "\n".join([f"**{self.title}**", "", *lines, "", self.conditions(), *self.notes, ""])


def figure_of(ms: float) -> str:
    """Milliseconds in three figures or whole."""
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 1 else f"{ms:.3f}"
