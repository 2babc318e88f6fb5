"""The generated graph as a Python program on `max.graph` alone, to read, take away and edit.

`recording.py` lowers once more and notes every call of `max.graph.ops`; `statements.py` writes a call
as a line, `blocks.py` finds the modules that repeat, and `program.py` puts the program together.
"""

from __future__ import annotations

from dataclasses import replace

from fxmax.frontend.capture import capture
from fxmax.lowering.lowered_graph import LoweredGraph
from fxmax.lowering.walk import lower
from fxmax.source.program import write
from fxmax.source.recording import record


def source(lowered: LoweredGraph) -> str:
    """The program's text. Running it builds a graph that is equal to `lowered.graph`.

    One difference: fxmax's own kernels, and rewrites that put them in (`fxmax.linear` and its like, with
    weights in packed panels), are left out where MAX has an op too, so that what you read is torch's graph
    in `max.graph.ops`.

    Raises:
        FxmaxError: a rule made a value by other means than `max.graph.ops`.
    """
    return write(record(_without_fused(lowered)))


def _without_fused(lowered: LoweredGraph) -> LoweredGraph:
    """`lowered`, or the same module lowered without the passes that put fused ops in."""
    captured = lowered.captured
    targets = {n.target for n in captured.program.graph.nodes if n.op == "call_function"}
    if not any(getattr(target, "namespace", "") == "fxmax" for target in targets):
        return lowered
    assert captured.exported is not None
    options = replace(captured.options, passes=("drop_asserts", "complex_pairs"))
    again = capture(captured.exported, options=options)
    again = replace(again, name=captured.name, parameters=captured.parameters, dim_names=captured.dim_names)
    return lower(again)
