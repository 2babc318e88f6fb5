"""`verify`: a module, lowered or not, compared with torch node by node, or by bisection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from typing_extensions import Unpack

from fxmax.compiled import Compiled
from fxmax.core.weights import Weights
from fxmax.frontend.capture import capture
from fxmax.frontend.options import Options, WalkOptions, known
from fxmax.lowered import Lowered
from fxmax.support.progress import Progress
from fxmax.verification.bisect import bisected
from fxmax.verification.result import Verification
from fxmax.verification.verifier import COMPILING, Level, Verifier, check_options

UNWATCHED = "MAX is compiling the graph as it is lowered, without taps"


def verify(
    module: Any,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    level: Level = "node",
    reference: str = "float32",
    bisect: bool = False,
    dynamic_shapes: Any = None,
    **options: Unpack[WalkOptions],
) -> Verification:
    """Find the first node at which MAX and torch differ by more than rounding explains.

    Args:
        module: an `nn.Module`, `GraphModule` or `ExportedProgram`, or a `Lowered` or `Compiled`
            one, which is checked with the weights that it holds now against those that it was
            lowered with (so a checkpoint swapped in later shows at the changed tensor).
        args, kwargs: inputs, as the module takes them. For a module without known example inputs
            they are also what it is traced with.
        level: watch every `node`, or only where a value leaves a `module` (fewer taps, less memory).
        reference: what torch computes in, `float32` or `float64`.
        bisect: watch a few nodes at a time, and compile anew for each step: slower by far, and the
            graph is fused almost as it is without taps. For a fault that hides while watched: the
            outputs of the graph without taps are always compared too, and show that there is one.
        dynamic_shapes, table, device, passes, dtype, quiet: as `fxmax.lower`'s. A `Lowered` or
            `Compiled` one has all but `table` (default: the rules that it was lowered with) and
            `quiet` already.

    Returns:
        A `Verification`; its `first_divergent` is None where there is none.

    Raises:
        CaptureError, LoweringError, WeightError, DeviceError, CompileError, OptionError: as
            `fxmax.lower`.
    """
    check_options(level, reference)
    known("verify", WalkOptions, options)
    progress = Progress(options.get("quiet", False))
    original: Weights | None = None
    held: Weights | None = None
    if isinstance(module, (Compiled, Lowered)):
        lowered = module.lowered if isinstance(module, Compiled) else module
        given = options if dynamic_shapes is None else {**options, "dynamic_shapes": dynamic_shapes}
        anew = lowered.captured.options.again("verify", given, free=("table", "quiet"))
        captured = replace(lowered.captured, options=anew)
        original, held = lowered.weights, module.weights
    else:
        resolved = Options.resolve(**options)
        with progress.stage("capture"):
            captured = capture(module, args, kwargs, dynamic_shapes=dynamic_shapes, options=resolved)
    if bisect:
        return bisected(captured, args, kwargs or {}, original, held, reference, progress)
    verifier = Verifier(captured, level=level, original=original)
    unwatched = Verifier(captured, taps=(), original=original)
    with progress.stage("compile", COMPILING):
        verifier.compile(held)
    with progress.stage("compile unwatched", UNWATCHED):
        verifier.unwatched = unwatched.compile(held)
    with progress.stage("verify", f"torch {reference} and MAX, node by node"):
        result = verifier(args, kwargs, reference=reference)
    result.seconds |= progress.seconds
    return result
