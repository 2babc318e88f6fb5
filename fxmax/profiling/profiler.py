"""`profile`: compile the distinct nodes of a graph next to the graph itself, and time each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from typing_extensions import Unpack

from fxmax.compiled import Compiled, compile_module
from fxmax.core.weights import Weights
from fxmax.errors import FxmaxError
from fxmax.frontend.capture import capture
from fxmax.frontend.options import Options, WalkOptions, known
from fxmax.lowered import Lowered
from fxmax.profiling.graphs import IDLE, WHOLE, Graphs, check_fixed
from fxmax.profiling.result import NodeTime, Profile
from fxmax.records import NodeRecord
from fxmax.support.progress import Progress
from fxmax.verification.reference import given_inputs

WARM_UP = 3
LONGEST = 1.0  # seconds of timed runs of one graph; fewer runs than asked for, where it is slow
COMPILING = "MAX is compiling the graph and {} distinct nodes; a first compile takes minutes"


def profile(
    module: Any,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    runs: int = 20,
    **options: Unpack[WalkOptions],
) -> Profile:
    """Time every node of a lowered module alone, and the module whole.

    Nodes alike in op, shapes, dtypes and arguments are timed once. Sizes are those of the inputs.

    Args:
        module: an `nn.Module`, `GraphModule` or `ExportedProgram` of fixed sizes, or a `Lowered` or
            `Compiled` one, with the weights that it holds.
        args, kwargs: inputs, as the module takes them; what an op costs may hang on their values.
        runs: timed calls of each graph; fewer where they would take more than a second.
        table, device, passes, dtype, quiet: as `fxmax.lower`'s. A `Lowered` or `Compiled` one has all
            but `quiet` already.

    Raises:
        CaptureError, LoweringError, WeightError, DeviceError, CompileError, OptionError: as
            `fxmax.lower`.
        InputError: `args` don't fit the module that was lowered.
        FxmaxError: the sizes of the module that was lowered vary.
    """
    if runs < 1:
        raise FxmaxError(f"runs={runs}: at least one run is needed")
    known("profile", WalkOptions, options)
    progress = Progress(options.get("quiet", False))
    weights: Weights | None = None
    if isinstance(module, (Compiled, Lowered)):
        lowered = module.lowered if isinstance(module, Compiled) else module
        anew = lowered.captured.options.again("profile", options)
        captured, weights = replace(lowered.captured, options=anew), module.weights
    else:
        resolved = Options.resolve(**options)
        with progress.stage("capture"):
            captured = capture(module, args, kwargs, options=resolved)
    check_fixed(captured)
    with progress.stage("lower", "the whole graph, and each distinct node as one"):
        graphs = Graphs(captured, weights, given_inputs(captured, args, kwargs))
    with progress.stage("compile", COMPILING.format(len(graphs.measured))):
        compiled = compile_module(graphs.shared.module, graphs.lowered, strict=False)
    with progress.stage("time", f"{len(compiled)} graphs, {runs} runs each"):
        times = {name: _times(one, graphs.inputs[name], runs) for name, one in compiled.items()}
    idle, report = times[IDLE][0], graphs.lowered[WHOLE].report
    report.seconds["compile"] = progress.seconds["compile"]
    return Profile(
        model=captured.name,
        device=str(captured.options.device),
        nodes=[_node(n, graphs, times) for n in report.nodes if n.fate != "structural"],
        whole_ms=times[WHOLE][0] - idle,
        whole_median_ms=times[WHOLE][1] - idle,
        overhead_ms=idle,
        runs=runs,
        seconds=progress.seconds,
        report=report,
    )


def _times(compiled: Compiled, values: Sequence[torch.Tensor], runs: int) -> tuple[float, float]:
    """(least, median) milliseconds of a call on MAX's own buffers."""
    buffers = compiled.buffers(values)
    for _ in range(WARM_UP):
        compiled.execute(*buffers)
    taken: list[float] = []
    while len(taken) < runs and (not taken or sum(taken) < LONGEST):
        start = time.perf_counter()
        compiled.execute(*buffers)
        taken.append(time.perf_counter() - start)
    return 1000 * min(taken), 1000 * statistics.median(taken)


def _node(n: NodeRecord, graphs: Graphs, times: Mapping[str, tuple[float, float]]) -> NodeTime:
    measured = graphs.measured.get(graphs.kind.get(n.name, ""), "")
    idle = times[IDLE][0]
    least, median = (max(0.0, t - idle) for t in times[measured]) if measured else (None, None)
    return NodeTime(n.name, n.op, n.path, n.source, n.shape, least, median, measured)
