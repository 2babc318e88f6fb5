"""Run OpInfo samples and say of each what became of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch

import fxmax
from fxmax.errors import CaptureError, CompileError
from tests.support.opinfo import direct, samples, scope
from tests.support.parity import Batch, Case

Kind = Literal["passed", "wrong", "gap", "compile", "capture", "crash"]
CHUNK = 80  # graphs to one compile; more are faster, but lose more where one fails


class Outcome(NamedTuple):
    """What became of a sample, and the ATen overloads that its graph came from and was made of.

    wrong: differs from torch. gap: not lowered. compile: MAX can't compile it. capture:
    torch.export can't trace it. crash: any other exception.
    """

    kind: Kind
    detail: str = ""
    overloads: tuple[str, ...] = ()


def chosen(
    dtype: torch.dtype, limit: int | None, names: Iterable[str] | None = None, pattern: str = ""
) -> list[Case]:
    """At most `limit` samples of each op in scope that has that dtype, and all direct calls of overloads."""
    found = [] if names else [c for c in direct.cases(dtype) if re.search(pattern, c.id)]
    for name in names or samples.op_db():
        if scope.out_of_scope(name) or not re.search(pattern, name):
            continue
        found += [case for case in samples.cases(name, dtype, limit) if case.inputs]
    return found


def run(cases: Sequence[Case]) -> dict[str, Outcome]:
    """Outcome of each case by id; they are compiled together, `CHUNK` at a time."""
    outcomes = {}
    for start in range(0, len(cases), CHUNK):
        batch = Batch(cases[start : start + CHUNK])
        outcomes |= {case.id: _outcome(batch, case.id) for case in cases[start : start + CHUNK]}
    return outcomes


def unexpected(outcomes: dict[str, Outcome]) -> list[str]:
    """Failures that nobody expects, and passes of samples that are expected to fail."""
    lines = []
    for id, outcome in outcomes.items():
        why = scope.expected_failure(id)
        if outcome.kind != "passed" and why is None:
            lines.append(f"{id}: {outcome.kind}: {outcome.detail}")
        elif outcome.kind == "passed" and why is not None:
            lines.append(f"{id}: passes, but tests/opinfo/scope.py expects it to fail: {why}")
    return lines


def totals(outcomes: dict[str, Outcome]) -> dict[str, int]:
    """Samples by outcome."""
    return dict(Counter(outcome.kind for outcome in outcomes.values()))


def _outcome(batch: Batch, id: str) -> Outcome:
    try:
        batch.check(id)
    except fxmax.LoweringError as error:
        return Outcome("gap", "; ".join(f"{g.kind} {g.target}: {g.detail}" for g in error.report.gaps))
    except CaptureError as error:
        return Outcome("capture", _short(error))
    except CompileError as error:
        return Outcome("compile", _short(error))
    except AssertionError as error:
        return Outcome("wrong", _short(error))
    except Exception as error:  # noqa: BLE001 - reported as the outcome
        return Outcome("crash", f"{type(error).__name__}: {_short(error)}")
    overloads = {*_overloads(batch.compiled(id).report), *direct.overload_of(id)}
    return Outcome("passed", "", tuple(sorted(overloads)))


def _overloads(report: Any) -> set[str]:
    nodes = [n for n in report.nodes if n.fate in ("lowered", "decomposed", "structural")]
    return {n.op for n in nodes} | {n.original for n in nodes if n.original}


def _short(error: Exception, most: int = 300) -> str:
    return " ".join(str(error).split())[:most]
