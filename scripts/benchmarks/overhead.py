"""What a call costs beside MAX's own execution: checks, DLPack hand-over, the output's structure."""

from __future__ import annotations

import torch
from max.driver import Buffer

import fxmax
from benchmarks.environment import environment
from benchmarks.measure import in_turn
from benchmarks.table import Benchmark, Row
from fxmax.runtime.max_private import execute


class Tiny(torch.nn.Module):
    """As little work as a graph can have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def bench_overhead(*, rounds: int = 2000, threads: int, quiet: bool = False) -> Benchmark:
    """`compiled(x)` against MAX's execute on a buffer that is ready, for four floats."""
    x = torch.randn(4)
    compiled = fxmax.lower(Tiny(), (x,), device="cpu", quiet=quiet)
    buffer, model = Buffer.from_dlpack(x), compiled.max_model
    sides = {
        "fxmax call": lambda: compiled(x),
        "MAX execute": lambda: execute(model, [buffer]),
    }
    times = in_turn(sides, rounds, warmup=50, rest=0)
    ours = times["fxmax call"]
    error = float((compiled(x) - Tiny()(x)).abs().max())
    extra = (ours.median - times["MAX execute"].median) * 1e6
    rows = [Row.of(side, t, ours, error if t is ours else None) for side, t in times.items()]
    note = f"overhead: {extra:.0f} µs a call (median minus median)"
    return Benchmark("a call of a graph with one op on four floats", rows, environment(threads), [note])
