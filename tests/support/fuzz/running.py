"""Programs run on MAX, many to a compile, and compared with torch by the project's own judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import sympy
import torch

from fxmax.compiled import Compiled
from fxmax.errors import CaptureError, CompileError, FxmaxError, LoweringError, MismatchError
from fxmax.frontend.capture import Captured, capture
from fxmax.frontend.options import Options
from fxmax.lowered import Lowered
from fxmax.lowering.lowered_graph import Shared
from fxmax.lowering.walk import lower
from fxmax.support.error_text import first_line
from fxmax.verification.proof import prove
from fxmax.verification.trials import Trial, example_sizes
from tests.support import together
from tests.support.fuzz.aliasing import check_shared
from tests.support.fuzz.compiling import function_job
from tests.support.fuzz.program import Program

Status = Literal["compared", "refused", "found"]
DRAWS = 2  # of other numbers, at each of the sizes, beside what `prove` makes of the example


@dataclass(frozen=True)
class Result:
    """What became of a program.

    `error` is a class of outcomes, by which they are counted; `inputs` are those of the call that went wrong.
    """

    program: Program
    status: Status
    error: str = ""
    text: str = ""
    ops: frozenset[str] = frozenset()
    inputs: tuple[torch.Tensor, ...] = ()

    def same_fault(self, other: Result) -> bool:
        """Whether it is of the kind of another: what shrinking keeps."""
        return self.status == other.status == "found" and self.error == other.error


Runner = Callable[[Sequence[Program]], list[Result]]
"""What becomes of programs: `run_isolated`, or something else that finds faults in them."""


class Candidate:
    """A program on its way through capture, lowering and MAX's compiler."""

    def __init__(self, program: Program) -> None:
        self.program = program

    @property
    def file(self) -> str:
        """Where the compiler's errors say its lines are."""
        return f"<fuzz {self.program.name}>"

    @cached_property
    def captured(self) -> Captured:
        """The exported program."""
        options = Options.resolve(device="cpu", strict=False, quiet=True)
        if self.program.modules:
            job = function_job(self.program, options)
            return capture(job.module, job.args, dynamic_shapes=job.dynamic_shapes, options=options)
        try:
            return self._captured(options, named=True)
        except CaptureError:
            if not self.program.sizes:
                raise
            return self._captured(options, named=False)

    def _captured(self, options: Options, named: bool) -> Captured:
        dims = self.program.dynamic_shapes(named)
        return capture(self.program.module(), self.program.data(), dynamic_shapes=dims, options=options)

    @cached_property
    def ops(self) -> frozenset[str]:
        """The overloads that rules lower."""
        nodes = self.captured.program.graph.nodes
        return frozenset(str(n.target) for n in nodes if n.op == "call_function")

    slow = False  # for tests: the plain run has it

    def lowered(self, name: str, shared: Shared) -> Lowered:
        """Its graph, of that name, in a module that several share."""
        self.captured.name = name
        return Lowered.of(lower(self.captured, shared))


def run_on_max(
    programs: Sequence[Program], begin: Callable[[int], bool] = lambda i: True
) -> Iterator[tuple[int, Result]]:
    """Each program's outcome, by its position; all are compiled together.

    Args:
        begin: told of each program before it is run; whether it is to be.
    """
    cases = [Candidate(program) for program in programs]
    compiled = _compiled(cases)
    for i, case in enumerate(cases):
        if begin(i):
            yield i, judged(case, compiled[case])


def _compiled(cases: list[Candidate]) -> dict[Candidate, Compiled | Exception]:
    failed: dict[Candidate, Compiled | Exception] = {}
    for case in cases:  # before any is lowered: a module that holds half a graph is made anew
        try:
            _ = case.captured
        except Exception as error:  # noqa: BLE001 - judged below
            failed[case] = error
    left = [case for case in cases if case not in failed]
    outcomes = failed | (together.compile_all(left, lambda case: case.file) if left else {})  # type: ignore[operator]
    return {case: outcomes[case] for case in cases}


def judged(case: Candidate, made: Compiled | Exception, locate: bool = False) -> Result:
    """What became of a program that was compiled, or failed to be; `locate`: look for the node."""
    program = case.program
    if isinstance(made, Exception):
        return _of_error(case, made)
    try:
        prove(made, locate=locate, also=list(_trials(case, made)))
        if program.shared:
            check_shared(program, made)
    except Exception as error:  # noqa: BLE001 - judged
        return _of_error(case, error)
    checks = [check for check in made.report.checks if check.results]
    if not checks:
        return Result(program, "refused", "not compared", made.report.unchecked, case.ops)
    return Result(program, "compared", "", "", case.ops)


def _of_error(case: Candidate, error: Exception) -> Result:
    name, text = type(error).__name__, str(error)
    ops = case.ops if "captured" in case.__dict__ else frozenset[str]()
    if isinstance(error, LoweringError):
        gaps = error.report.gaps
        raised = [gap for gap in gaps if gap.kind in ("mistyped", "raised")]
        if raised:
            return Result(case.program, "found", f"a rule raised: {raised[0].target}", text, ops)
        return Result(case.program, "refused", f"LoweringError: {gaps[0].target} {gaps[0].kind}", text, ops)
    if isinstance(error, CaptureError):
        return Result(case.program, "refused", f"CaptureError: {_reason(text)}", text, ops)
    if isinstance(error, MismatchError):
        return Result(case.program, "found", name, text, ops, error.inputs)
    if isinstance(error, CompileError):
        return Result(case.program, "found", name, text, ops)
    if isinstance(error, FxmaxError) and not isinstance(error, TypeError):
        return Result(case.program, "refused", name, text, ops)
    return Result(case.program, "found", f"{name}: {first_line(error)[:60]}", text, ops)


REASONS = {
    "Constraints violated": "torch fixes a size that was to vary",
    "Could not guard on data-dependent": "torch would decide by data",
    "GuardOnDataDependent": "torch would decide by data",
    "specialized": "torch fixes a size that was to vary",
}


def _reason(text: str) -> str:
    return next((why for part, why in REASONS.items() if part in text), text.strip().splitlines()[0][:80])


def _trials(case: Candidate, compiled: Compiled) -> list[Trial]:
    """Other draws of numbers, at each of the sizes that the exported program allows."""
    program, captured = case.program, compiled.lowered.captured
    if program.modules or any(given.literal is not None for given in program.inputs):
        return []
    made = []
    for sizes in [program.example(), *program.other_examples()]:
        for draw in range(1, 1 + DRAWS):
            leaves = list(program.data(sizes, draw))
            if _allowed(captured, leaves):
                text = ", ".join(f"{letter}={size}" for letter, size in sizes.items())
                made.append(Trial(f"draw {draw} at {text or 'its sizes'}", leaves))
    return made


def _allowed(captured: Captured, leaves: list[torch.Tensor]) -> bool:
    ranges = captured.program.range_constraints
    for symbol, size in example_sizes(captured.program, leaves).items():
        bounds = ranges.get(symbol)
        low = 2 if bounds is None else bounds.lower
        high = sympy.oo if bounds is None else bounds.upper
        if not low <= size <= high:
            return False
    return True
