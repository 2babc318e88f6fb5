"""`lower` and `explain`: capture, walk, bind and compile, with progress."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
from max.graph import Module
from torch.export import ExportedProgram
from typing_extensions import Unpack

from fxmax import torch_fallback
from fxmax.compiled import Compiled, arguments_of, compile_lowered, compile_module
from fxmax.core.table import RuleTable
from fxmax.errors import LoweringError
from fxmax.frontend.capture import Captured, capture
from fxmax.frontend.options import (
    CheckMode,
    CompileOptions,
    LowerOptions,
    Options,
    Unsupported,
    WalkOptions,
    known,
)
from fxmax.lowered import Lowered
from fxmax.lowering import walk
from fxmax.lowering.lowered_graph import Shared
from fxmax.report import Report
from fxmax.support.progress import Progress
from fxmax.torch_fallback import Partitioned
from fxmax.verification.proven import prove_once

Lowerable = torch.nn.Module | ExportedProgram
CAPTURING = "torch.export traces the module, and rewrites change its graph"
LOWERING = "rules build the MAX graph"
CHECKING = "the results are compared with eager torch's"
COMPILING = "MAX makes machine code: minutes for a graph that it has not seen, seconds for one that it has"


@dataclass
class Job:
    """A module to lower and its inputs, as `lower` takes them; one graph of several in `lower_many`."""

    module: Lowerable
    args: Sequence[Any] | torch.Tensor = ()
    kwargs: Mapping[str, Any] | None = None
    dynamic_shapes: Any = None


@overload
def lower(
    module: Lowerable,
    args: Sequence[Any] | torch.Tensor = ...,
    kwargs: Mapping[str, Any] | None = ...,
    *,
    dynamic_shapes: Any = ...,
    compile: Literal[True] = ...,
    state_dict: Mapping[str, torch.Tensor] | None = ...,
    **options: Unpack[CompileOptions],
) -> Compiled: ...
@overload
def lower(
    module: Lowerable,
    args: Sequence[Any] | torch.Tensor = ...,
    kwargs: Mapping[str, Any] | None = ...,
    *,
    dynamic_shapes: Any = ...,
    compile: Literal[False],
    state_dict: Mapping[str, torch.Tensor] | None = ...,
    **options: Unpack[LowerOptions],
) -> Lowered: ...
@overload
def lower(
    module: Lowerable,
    args: Sequence[Any] | torch.Tensor = ...,
    kwargs: Mapping[str, Any] | None = ...,
    *,
    dynamic_shapes: Any = ...,
    compile: bool = ...,
    state_dict: Mapping[str, torch.Tensor] | None = ...,
    **options: Unpack[LowerOptions],
) -> Compiled | Lowered | Partitioned: ...
def lower(
    module: Lowerable,
    args: Sequence[Any] | torch.Tensor = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    table: RuleTable | None = None,
    device: str = "auto",
    compile: bool = True,
    strict: bool = True,
    state_dict: Mapping[str, torch.Tensor] | None = None,
    passes: Sequence[str] | None = None,
    dtype: str | None = None,
    unsupported: Unsupported = "error",
    check: CheckMode = True,
    quiet: bool = False,
) -> Compiled | Lowered | Partitioned:
    """Lower a torch module to MAX and compile it.

    Args:
        module: an `nn.Module`, a `torch.fx.GraphModule` or an `ExportedProgram`.
        args, kwargs: example inputs; their shapes and dtypes are what the result takes. A tensor for
            `args` is the only input. They may be left out where an installed package knows them
            (`whisper_port` does for `AudioEncoder`), and must be for an `ExportedProgram`.
        dynamic_shapes: as for `torch.export.export`.
        table: the rules to use (default: `fxmax.default_table()`).
        device: `auto` (the CPU), `cpu`, `gpu` or `gpu:N`.
        compile: False stops before MAX's compiler and returns the `Lowered`.
        strict: whether a parameter that the forward does not use, or a name that `state_dict`
            lacks or has too much, is an error; the report lists them either way.
        state_dict: the checkpoint to bind, by FQN (default: the module's own tensors).
        passes: names of the graph rewrites to run (default: all, see `fxmax.passes.PASSES`).
        dtype: `int8` stores the weights of linears (and of logits tied to an embedding) as int8 with
            a scale a row, on the CPU; `int8_dynamic` also rounds what goes into them to int8, 128
            features to a scale, for CPUs with an int8 dot product (default: as they are).
        unsupported: what to do with ops that can't be lowered: `error` refuses the module;
            `torch` runs them in torch, between parts on MAX, and the report says which and why.
        check: whether what MAX computes is compared with eager torch on the example inputs, on other
            sizes where sizes vary, and on permuted data, before the result is handed over
            (`fxmax.prove` says how; a graph that passed on this machine is not run again, and the
            report says what was compared, or why not). `warn` warns of a difference, False compares
            nothing. FXMAX_CHECK=warn or 0 in the environment does so for all.
        quiet: show no progress on stderr.

    Returns:
        A `Compiled`, called like the module; with `compile=False` a `Lowered`; a `Partitioned`
        where `unsupported="torch"` was needed.

    Raises:
        CaptureError, LoweringError, WeightError, DeviceError, CompileError, OptionError: see
            `fxmax.errors`. Everything that can be checked is checked before MAX compiles.
        MismatchError: MAX computes something else than torch; the text names the first node.
    """
    options = Options.resolve(
        table=table,
        device=device,
        passes=passes,
        dtype=dtype,
        strict=strict,
        unsupported=unsupported,
        check=check,
        quiet=quiet,
    )
    return lower_job(Job(module, args, kwargs, dynamic_shapes), options, compile, state_dict)


def lower_job(
    job: Job,
    options: Options,
    compile: bool = True,
    state_dict: Mapping[str, torch.Tensor] | None = None,
) -> Compiled | Lowered | Partitioned:
    """`lower` with options that are resolved."""
    progress = Progress(options.quiet)
    lowered = _walk(job, options, progress)
    if lowered.report.gaps and (options.unsupported == "error" or not compile):
        raise LoweringError(lowered.report)
    if lowered.report.gaps:
        return _partitioned(lowered, options, state_dict)
    weights = lowered.weights
    if state_dict is not None:
        weights = weights.replaced(state_dict, options.strict)
    lowered.weights = weights
    lowered.report.missing = weights.without_value()
    if not compile:
        weights.check_used(options.strict)
        return lowered
    with progress.stage("compile", COMPILING):
        compiled = compile_lowered(lowered, weights, options.strict)
    lowered.report.seconds["compile"] = progress.seconds["compile"]
    _prove({lowered.captured.name: compiled}, options, progress)
    return compiled


def lower_many(jobs: Mapping[str, Job], **options: Unpack[CompileOptions]) -> dict[str, Compiled]:
    """Lower several modules and compile them together, in one MAX module: much faster than apart.

    A tensor that several of them hold under one name is bound once.

    Args:
        jobs: what to lower, by the name that its graph gets.
        table, device, passes, dtype, strict, check, quiet: as `lower`'s, for all of them.

    Raises:
        As `lower`; a `LoweringError` is that of the first job with gaps.
    """
    return lower_jobs(jobs, Options.resolve(**known("lower_many", CompileOptions, options)))


def lower_jobs(jobs: Mapping[str, Job], options: Options) -> dict[str, Compiled]:
    """`lower_many` with options that are resolved."""
    progress = Progress(options.quiet)
    shared = Shared(Module())
    lowered = {}
    with progress.stage("lower", f"{len(jobs)} graphs"):
        for name, job in jobs.items():
            captured = capture_job(job, options)
            captured.name = name
            lowered[name] = Lowered.of(walk.lower(captured, shared))
            if lowered[name].report.gaps:
                raise LoweringError(lowered[name].report)
    with progress.stage("compile", COMPILING):
        compiled = compile_module(shared.module, lowered, options.strict)
    for one in compiled.values():
        one.report.seconds["compile"] = progress.seconds["compile"]
    _prove(compiled, options, progress)
    return compiled


def explain(
    module: Lowerable,
    args: Sequence[Any] | torch.Tensor = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    **options: Unpack[WalkOptions],
) -> Report:
    """The same walk as `lower`, without compiling: what would be lowered, how, and every gap.

    Args:
        module, args, kwargs, dynamic_shapes: as `lower`'s.
        table, device, passes, dtype, quiet: as `lower`'s.

    Raises:
        CaptureError, DeviceError, OptionError: as `lower`. Gaps are no error here.
    """
    resolved = Options.resolve(**known("explain", WalkOptions, options))
    return _walk(Job(module, args, kwargs, dynamic_shapes), resolved, Progress(resolved.quiet)).report


def _walk(job: Job, options: Options, progress: Progress) -> Lowered:
    with progress.stage("capture", CAPTURING):
        captured = capture_job(job, options)
    with progress.stage("lower", LOWERING):
        return Lowered.of(walk.lower(captured))


def capture_job(job: Job, options: Options) -> Captured:
    """`capture` of a job."""
    return capture(job.module, job.args, job.kwargs, dynamic_shapes=job.dynamic_shapes, options=options)


def _prove(compiled: Mapping[str, Compiled], options: Options, progress: Progress) -> None:
    """Compare with torch, unless it is not to be; each report says what was compared, or why not."""
    if not options.check:
        for one in compiled.values():
            one.report.unchecked = "check=False, or FXMAX_CHECK=0 in the environment"
        return
    with progress.stage("check", CHECKING):
        for one in compiled.values():
            prove_once(one, warn=options.check == "warn")


def _partitioned(
    lowered: Lowered, options: Options, state_dict: Mapping[str, torch.Tensor] | None
) -> Partitioned:
    report = lowered.report
    program = lowered.captured.program
    whole, calls = torch_fallback.split(program, report)
    # A run of the whole in torch, for a comparison that zeros would pass.
    recorded = torch_fallback.recorded_inputs(whole, calls, program.example_inputs) if options.check else {}
    jobs = {}
    for call in calls:
        part = whole.get_submodule(str(call.target))
        assert isinstance(part, torch.fx.GraphModule)
        examples, dims = torch_fallback.part_inputs(part, call, recorded.get(str(call.target)))
        jobs[str(call.target)] = Job(part, examples, dynamic_shapes=dims)
    start = time.perf_counter()
    parts = lower_jobs(jobs, options) if jobs else {}
    report.seconds["compile"] = time.perf_counter() - start
    result = torch_fallback.joined(whole, calls, parts, report, arguments_of(lowered))
    if state_dict is not None:
        result.load_state_dict(state_dict, options.strict)
    return result
