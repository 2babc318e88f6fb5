"""Timing in turn: every side runs once a round, so that a machine that drifts drifts for all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Work = Callable[[], object]
REST_SECONDS = 0.03
"""Before each timed run: threads of the side before it may still spin, waiting for more work."""


@dataclass
class Times:
    """Seconds of each round."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    def ratio_to(self, other: Times) -> float:
        """The median over rounds of this side's time to the other's in the same round."""
        return statistics.median(a / b for a, b in zip(self.seconds, other.seconds, strict=True))


def in_turn(
    sides: Mapping[str, Work], rounds: int, warmup: int = 2, rest: float = REST_SECONDS
) -> dict[str, Times]:
    """Run every side `warmup` times untimed, then once in each round, in an order that rotates.

    A side that always runs second would find its caches as the first one left them.
    """
    times = {name: Times() for name in sides}
    for work in sides.values():
        for _ in range(warmup):
            work()
    names = list(sides)
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            time.sleep(rest)
            start = time.perf_counter()
            sides[name]()
            times[name].seconds.append(time.perf_counter() - start)
    return times


def ratios_of(side: str, times: Mapping[str, Times]) -> str:
    """One line: this side's time to that of each other."""
    ratios = [f"{name} {times[side].ratio_to(t):.2f}" for name, t in times.items() if name != side]
    return f"{side}'s time to that of: {', '.join(ratios)}"
