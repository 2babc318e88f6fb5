"""What the tests of a run want compiled, compiled together.

MAX takes 12 s and more for the smallest module, all but a second of it the same work whatever the module
holds. So the cases of all test modules go into a few
MAX modules, planned from the tests that were selected; and a case that fails does so alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from max.graph import Module

from fxmax import LoweringError
from fxmax.compiled import Compiled, compile_module
from fxmax.errors import FxmaxError
from fxmax.lowered import Lowered
from fxmax.lowering.lowered_graph import Shared

MOST = 100  # graphs to a module: where one fails to compile, finding it compiles several times


class Compilable(Protocol):
    """What is to be compiled; hashed by identity."""

    def lowered(self, name: str, shared: Shared) -> Lowered:
        """Its graph, of that name, in the module that several share; gaps are in its report."""


_companions: dict[Compilable, Sequence[Compilable]] = {}
_outcomes: dict[Compilable, Compiled | Exception] = {}


def plan(cases: Sequence[Compilable]) -> None:
    """Say what a run will want: it compiles in as few modules as `MOST` allows."""
    for start in range(0, len(cases), MOST):
        group = cases[start : start + MOST]
        _companions.update(dict.fromkeys(group, group))


def compiled(case: Compilable, or_with: Sequence[Compilable] = ()) -> Compiled:
    """The case, compiled with those that were planned with it, or else with `or_with`.

    Raises:
        Exception: what capturing, lowering or compiling this case raised.
    """
    if case not in _outcomes:
        group = _companions.get(case, or_with)
        _outcomes.update(compile_all([c for c in dict.fromkeys([case, *group]) if c not in _outcomes]))
    outcome = _outcomes[case]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def compile_all(
    cases: Sequence[Compilable], mark: Callable[[Any], str] = lambda case: ""
) -> dict[Compilable, Compiled | Exception]:
    """Each case compiled, in one MAX module; or what capturing, lowering or compiling it raised.

    Args:
        mark: a text by which an error of the compiler's names the case; "" where it doesn't.
    """
    shared, lowered, names = Shared(Module()), dict[str, Lowered](), dict[Compilable, str]()
    outcomes: dict[Compilable, Compiled | Exception] = {}
    for i, case in enumerate(cases):
        try:
            made = case.lowered(f"case{i}", shared)
            if made.report.gaps:
                raise LoweringError(made.report)
            lowered[made.captured.name], names[case] = made, made.captured.name
        except Exception as error:  # noqa: BLE001 - given back, so that the others go on
            outcomes[case] = error
    left = [case for case in cases if case not in outcomes]
    if outcomes:  # half a graph is in the module
        return outcomes | (compile_all(left, mark) if left else {})
    try:
        compiled = compile_module(shared.module, lowered, strict=False)
    except (FxmaxError, ValueError) as error:
        if len(left) == 1:
            return {left[0]: error}
        named = [case for case in left if mark(case) and mark(case) in str(error)]
        if named and len(named) < len(left):
            others = compile_all([case for case in left if case not in named], mark)
            return others | dict.fromkeys(named, error)
        half = len(left) // 2
        return compile_all(left[:half], mark) | compile_all(left[half:], mark)
    return {case: compiled[names[case]] for case in left}
