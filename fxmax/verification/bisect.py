"""A fault that hides while it is watched: look at a few nodes at a time.

Taps keep MAX from fusing across the nodes they watch, so a fault in a fused kernel can be gone in
the tapped graph. Here each round taps `PROBES` nodes, spread over the span that is still suspect,
and the span shrinks to between the last good probe and the first bad one. It takes an error to
carry on once it is there, which residual streams see to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fxmax.core.weights import Weights
from fxmax.frontend.capture import Captured
from fxmax.support.progress import Progress
from fxmax.verification.result import Verification
from fxmax.verification.taps import tappable
from fxmax.verification.verifier import COMPILING, Verifier

PROBES = 3


def bisected(
    captured: Captured,
    args: Any,
    kwargs: Mapping[str, Any],
    original: Weights | None,
    held: Weights | None,
    reference: str,
    progress: Progress,
) -> Verification:
    """Narrow the first divergence down; each round compiles the graph with a few taps."""
    ends = {n.name for n in _end(captured).all_input_nodes}
    names = tappable(captured)
    suspects = names  # the first bad node is among these
    rounds: list[Verification] = []
    while True:
        probes = _spread(suspects) if rounds else []
        taps = {*probes, *(ends & set(names) if not rounds else {suspects[-1]})}
        verifier = Verifier(captured, taps=taps, original=original)
        with progress.stage(f"compile, round {len(rounds) + 1}", COMPILING):
            verifier.compile(held)
        found = verifier(args, kwargs, reference=reference)
        rounds.append(found)
        bad = next((n for n in found.nodes if n.diverges), None)
        if bad is None and len(rounds) == 1:
            break
        if bad is None:
            found.notes.append(
                f"the fault was there with taps at {_named(rounds[-2])}, and is gone with these: it is "
                f"in how MAX fuses nodes between {suspects[0]} and {suspects[-1]}"
            )
            found.nodes = [rounds[-2].first_divergent, *found.nodes]  # type: ignore[list-item]
            break
        at = suspects.index(bad.name)
        good = [suspects.index(n.name) for n in found.nodes if suspects.index(n.name) < at]
        suspects = suspects[max(good, default=-1) + 1 : at + 1]
        if len(suspects) == 1:
            break
    last = rounds[-1]
    last.notes.append(f"bisected in {len(rounds)} rounds, at most {PROBES + 1} nodes watched at a time")
    last.seconds |= progress.seconds
    return last


def _spread(names: list[str]) -> list[str]:
    """`PROBES` names that cut the list into parts of about one size."""
    step = len(names) / (PROBES + 1)
    return [names[min(len(names) - 1, max(0, round(step * (i + 1)) - 1))] for i in range(PROBES)]


def _named(found: Verification) -> str:
    return ", ".join(n.name for n in found.nodes)


def _end(captured: Captured) -> Any:
    return next(n for n in captured.program.graph.nodes if n.op == "output")
