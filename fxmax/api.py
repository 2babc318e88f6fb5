"""`lower` and `explain`: capture, walk, bind and compile, with progress."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
from max.graph import Module
from torch.export import ExportedProgram

from fxmax import torch_fallback as partition
from fxmax.compiled import Compiled, compile_lowered, compile_module
from fxmax.core.table import RuleTable
from fxmax.errors import LoweringError
from fxmax.frontend.capture import capture
from fxmax.lowered import Lowered
from fxmax.lowering import walk
from fxmax.lowering.lowered_graph import Shared
from fxmax.report import Report
from fxmax.rules import default_table
from fxmax.rules.quantized_linear import quantized
from fxmax.runtime import device as devices
from fxmax.support.progress import Progress
from fxmax.torch_fallback import Partitioned

Lowerable = torch.nn.Module | ExportedProgram
CAPTURING = "torch.export traces the module, and rewrites change its graph"
LOWERING = "rules build the MAX graph"
COMPILING = "MAX makes machine code: minutes for a graph that it has not seen, seconds for one that it has"


@overload
def lower(
    module: Lowerable,
    args: Sequence[Any] = ...,
    kwargs: Mapping[str, Any] | None = ...,
    *,
    compile: Literal[True] = ...,
    **options: Any,
) -> Compiled: ...
@overload
def lower(
    module: Lowerable,
    args: Sequence[Any] = ...,
    kwargs: Mapping[str, Any] | None = ...,
    *,
    compile: Literal[False],
    **options: Any,
) -> Lowered: ...
def lower(  # type: ignore[misc]  # the overloads leave the options to this signature
    module: Lowerable,
    args: Sequence[Any] = (),
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
    unsupported: Literal["error", "torch"] = "error",
    quiet: bool = False,
) -> Compiled | Lowered | Partitioned:
    """Lower a torch module to MAX and compile it.

    Args:
        module: an `nn.Module`, a `torch.fx.GraphModule` or an `ExportedProgram`.
        args, kwargs: example inputs; their shapes and dtypes are what the result takes. They may
            be left out where an installed package knows them (`whisper_port` does for
            `AudioEncoder`), and must be for an `ExportedProgram`.
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
        quiet: show no progress on stderr.

    Returns:
        A `Compiled`, called like the module; with `compile=False` a `Lowered`; a `Partitioned`
        where `unsupported="torch"` was needed.

    Raises:
        CaptureError, LoweringError, WeightError, DeviceError, CompileError: see `fxmax.errors`.
            Everything that can be checked is checked before MAX compiles.
    """
    if unsupported not in ("error", "torch"):
        raise ValueError(f"unsupported={unsupported!r}: it is 'error' or 'torch'")
    progress = Progress(quiet)
    table = quantized(default_table() if table is None else table, dtype, devices.resolve(device), passes)
    lowered = _walk(module, args, kwargs, dynamic_shapes, table, device, passes, progress)
    if lowered.report.gaps and (unsupported == "error" or not compile):
        raise LoweringError(lowered.report)
    if lowered.report.gaps:
        return _partitioned(lowered, table, device, state_dict, strict, progress)
    weights = lowered.weights
    if state_dict is not None:
        weights = weights.replaced(state_dict, strict)
    lowered.weights = weights
    lowered.report.missing = weights.without_value()
    if not compile:
        weights.check_used(strict)
        return lowered
    with progress.stage("compile", COMPILING):
        compiled = compile_lowered(lowered, weights, strict)
    lowered.report.seconds["compile"] = progress.seconds["compile"]
    return compiled


@dataclass
class Job:
    """One graph of several: see `lower_many`. The fields are as `lower`'s arguments."""

    module: Lowerable
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] | None = None
    dynamic_shapes: Any = None


def lower_many(
    jobs: Mapping[str, Job],
    *,
    table: RuleTable | None = None,
    device: str = "auto",
    strict: bool = True,
    passes: Sequence[str] | None = None,
    dtype: str | None = None,
    quiet: bool = False,
) -> dict[str, Compiled]:
    """Lower several modules and compile them together, in one MAX module: much faster than apart.

    A tensor that several of them hold under one name is bound once.

    Raises:
        As `lower`; a `LoweringError` is that of the first job with gaps.
    """
    where, progress = devices.resolve(device), Progress(quiet)
    rules = quantized(default_table() if table is None else table, dtype, where, passes)
    shared = Shared(Module())
    lowered = {}
    with progress.stage("lower", f"{len(jobs)} graphs"):
        for name, job in jobs.items():
            captured = capture(
                job.module,
                job.args,
                job.kwargs,
                dynamic_shapes=job.dynamic_shapes,
                table=rules,
                passes=passes,
            )
            captured.name = name
            lowered[name] = Lowered.of(walk.lower(captured, rules, where, shared))
            if lowered[name].report.gaps:
                raise LoweringError(lowered[name].report)
    with progress.stage("compile", COMPILING):
        compiled = compile_module(shared.module, lowered, strict)
    for one in compiled.values():
        one.report.seconds["compile"] = progress.seconds["compile"]
    return compiled


def _partitioned(
    lowered: Lowered,
    table: RuleTable | None,
    device: str,
    state_dict: Mapping[str, torch.Tensor] | None,
    strict: bool,
    progress: Progress,
) -> Partitioned:
    report = lowered.report
    whole, calls = partition.split(lowered.captured.program, report)
    jobs = {}
    for call in calls:
        part = whole.get_submodule(str(call.target))
        assert isinstance(part, torch.fx.GraphModule)
        examples, dims = partition.part_inputs(part, call)
        jobs[str(call.target)] = Job(part, examples, dynamic_shapes=dims)
    start = time.perf_counter()
    parts = lower_many(jobs, table=table, device=device, quiet=progress.quiet) if jobs else {}
    report.seconds["compile"] = time.perf_counter() - start
    result = partition.joined(whole, calls, parts, report)
    if state_dict is not None:
        result.load_state_dict(state_dict, strict)
    return result


def explain(
    module: Lowerable,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    table: RuleTable | None = None,
    device: str = "auto",
    passes: Sequence[str] | None = None,
    dtype: str | None = None,
    quiet: bool = False,
) -> Report:
    """The same walk as `lower`, without compiling: what would be lowered, how, and every gap."""
    progress = Progress(quiet)
    table = quantized(default_table() if table is None else table, dtype, devices.resolve(device), passes)
    return _walk(module, args, kwargs, dynamic_shapes, table, device, passes, progress).report


def _walk(
    module: Lowerable,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    dynamic_shapes: Any,
    table: RuleTable | None,
    device: str,
    passes: Sequence[str] | None,
    progress: Progress,
) -> Lowered:
    where = devices.resolve(device)
    rules = default_table() if table is None else table
    with progress.stage("capture", CAPTURING):
        captured = capture(module, args, kwargs, dynamic_shapes=dynamic_shapes, table=rules, passes=passes)
    with progress.stage("lower", LOWERING):
        return Lowered.of(walk.lower(captured, rules, where))
