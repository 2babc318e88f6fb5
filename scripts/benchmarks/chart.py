"""A benchmark as a bar chart, SVG or PNG by the file's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.encoder_peers import needs
from benchmarks.table import Benchmark, figure_of

OURS, THEIRS = "#1769aa", "#b7bfc7"


def write_chart(benchmark: Benchmark, path: Path) -> None:
    """One bar a side, its median; a line reaches to its minimum. Ours are coloured.

    Raises:
        PeerError: matplotlib is not installed.
    """
    needs("matplotlib")
    from matplotlib.figure import Figure

    rows = sorted(benchmark.rows, key=lambda row: -row.median_ms)
    figure = Figure(figsize=(8, 0.45 * len(rows) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    colours = [OURS if row.name.startswith("fxmax") else THEIRS for row in rows]
    medians = [row.median_ms for row in rows]
    bars = axes.barh([row.name for row in rows], medians, color=colours)
    axes.errorbar(
        medians,
        range(len(rows)),
        xerr=np.array([[row.median_ms - row.minimum_ms for row in rows], [0.0] * len(rows)]),
        fmt="none",
        ecolor="#444444",
        capsize=3,
    )
    axes.bar_label(bars, [f"{figure_of(row.median_ms)} ms" for row in rows], padding=4)
    axes.set_title(benchmark.title, loc="left")
    axes.set_xlabel("median, ms (the line reaches to the minimum)")
    axes.set_xlim(0, max(medians) * 1.18)
    axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(benchmark.conditions(), fontsize=6, color="#666666")
    # No creation time: the same figures give the same file.
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
