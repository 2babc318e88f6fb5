"""The proof at compile time: a graph is not handed over before its results were compared with torch's.

The example's inputs run on MAX and in eager torch, then inputs at other sizes (where sizes vary) and
permuted ones. A difference that rounding does not explain is looked into by `verify`, which names the
first node that went wrong.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import torch
from max.driver import CPU

from fxmax.compiled import Compiled
from fxmax.core.types import TO_TORCH, coarsest, compute_dtype
from fxmax.errors import MismatchError
from fxmax.frontend.example_data import call_arguments, with_data
from fxmax.fx.torch_private import pytree
from fxmax.kernels.packing import INT8, INT8_QUADS
from fxmax.records import Check
from fxmax.support.error_text import first_line
from fxmax.verification.api import verify
from fxmax.verification.comparison import Comparison, compare
from fxmax.verification.eager import Eager, Outcome, run_eager
from fxmax.verification.result import Verification
from fxmax.verification.rounded import WALKS, Sampled
from fxmax.verification.trials import EXAMPLE, Trial, copied, trials

BUDGET = 60.0
"""Seconds, past which only the example is compared."""

SAMPLING = 30
"""Eager runs: what sampling the rounding of a call may take (14 to 23 were measured of Whisper's encoder)."""

TURNED = "rounding before a comparison, an index or a step turns it over"

FLOAT64 = 2.0**-30
"""For float64's roundoff, 2^-53: MAX's exp and its like are not as exact as their dtype (softmax: 2^-44)."""


def prove(
    compiled: Compiled,
    *,
    warn: bool = False,
    budget: float = BUDGET,
    locate: bool = True,
    also: Sequence[Trial] = (),
) -> bool:
    """Compare a compiled graph's results with eager torch's; what was compared goes into its report.

    Args:
        warn: warn of a mismatch in place of raising.
        budget: seconds; once they are spent no further inputs are tried. The example always is.
        locate: whether to look for the first node that went wrong, which takes two more compiles.
        also: further calls to compare, after those that are made of the example.

    Returns:
        Whether all that was compared agrees; False only with `warn`. Where nothing can be compared
        (no example inputs, random numbers, what torch can't run), `report.unchecked` says why.

    Raises:
        MismatchError: a result differs by more than rounding explains.
    """
    start = time.perf_counter()
    report, captured = compiled.report, compiled.lowered.captured
    report.checks, report.unchecked, report.proven = [], "", ""
    examples = captured.program.example_inputs
    if examples is None:
        report.unchecked = "the program came without example inputs"
        return True
    if drawing := next((n for n in captured.program.graph.nodes if _draws(n)), None):
        report.unchecked = f"{drawing.target} ({drawing.name}) draws random numbers"
        return True
    given = pytree.tree_leaves(examples)
    leaves = with_data(given)
    relative = 0.0  # what rounding was seen to allow, over a result's scale
    for trial in chain(trials(captured, leaves), also):
        spent = time.perf_counter() - start
        if spent > budget and report.checks:
            report.unchecked = (
                f"other inputs than {report.checks[0].inputs}: the budget of {budget:.0f} s was spent"
            )
            break
        begun = time.perf_counter()
        try:
            wanted = _wanted(compiled, trial)
        except Exception as error:  # noqa: BLE001 - of torch, or of the module: the text says why
            if trial.name == EXAMPLE:
                report.unchecked = f"torch can't run {EXAMPLE}: {first_line(error)}"
                break
            report.checks.append(Check(trial.name, note=f"torch refuses them: {first_line(error)}"))
            continue
        too_long = SAMPLING * (time.perf_counter() - begun) > budget - spent
        check, relative = _tried(compiled, trial, wanted, relative, too_long, warn, locate)
        report.checks.append(check)
    if report.checks and any(x is not y for x, y in zip(given, leaves, strict=True)):
        note = "; ".join(filter(None, [report.checks[0].note, "its tensors have no data: random numbers"]))
        report.checks[0] = replace(report.checks[0], note=note)
    compiled.reset()
    report.seconds["check"] = time.perf_counter() - start
    return not any(check.differs for check in report.checks)


def _draws(n: torch.fx.Node) -> bool:
    """Whether two runs of it differ."""
    drops = n.target is not torch.ops.aten.native_dropout.default or n.args[-1] is not False
    return torch.Tag.nondeterministic_seeded in getattr(n.target, "tags", ()) and drops


def _wanted(compiled: Compiled, trial: Trial) -> Outcome:
    """What eager torch makes of one call, of the program as it was exported."""
    captured, values, int8 = compiled.lowered.captured, compiled.weights.by_fqn(), _int8(compiled)
    before = captured.program if int8 else captured.exported or captured.program
    return run_eager(before, values, trial.leaves, Eager(before, int8))


def _tried(
    compiled: Compiled,
    trial: Trial,
    wanted: Outcome,
    relative: float,
    too_long: bool,
    warn: bool,
    locate: bool,
) -> tuple[Check, float]:
    """The check of one call, and what rounding may do over a result's scale, now that it is known.

    Args:
        too_long: whether rounding takes too long to sample, unless it is to tell whether there is a fault.
    """
    actual = _on_max(compiled, trial.leaves)
    found, notes = compare(actual, wanted, relative=relative), list[str]()
    if too_long and any(c.fault for c in found):
        loose = _half_of_the_digits(compiled)
        found = compare(actual, wanted, relative=max(relative, loose))
        notes = [f"{loose:.0e} of the largest value is allowed, since rounding takes long to sample"]
    if any(c.fault for c in found):
        notes = []
        program, values = compiled.lowered.captured.program, compiled.weights.by_fqn()
        sampled = Sampled(program, values, trial.leaves, _roundoff(compiled), _int8(compiled))
        found = judged(actual, wanted, sampled)
        relative = max([relative, *(c.allowed / c.scale for c in found if c.scale)])
    closest = max(found, key=lambda c: c.error / c.allowed if c.allowed else 0.0, default=Comparison(""))
    note = "; ".join([*notes, *(f"{c.name}: {TURNED}" for c in found if c.turned)])
    check = Check(trial.name, len(found), closest.error, closest.allowed, note=note)
    if faults := [c for c in found if c.fault]:
        check = _mismatch(compiled, trial, faults, check, warn, locate)
    return check, relative


def judged(actual: Outcome, wanted: Outcome, sampled: Sampled) -> list[Comparison]:
    """Results against torch's, by what rounding makes of them: of numbers, and then of what they decide."""
    found = compare(actual, wanted, sampled.rounded)
    turned, draws = list[Outcome](), sampled.turned()
    while any(c.fault for c in found) and (more := list(islice(draws, WALKS + len(turned)))):
        turned += more
        found = compare(actual, wanted, sampled.rounded, turned=turned)
    return found


def _on_max(compiled: Compiled, leaves: Sequence[Any]) -> Outcome:
    """The graph's results on copies of the inputs, from fresh state."""
    compiled.reset()
    given = copied(leaves)
    args, kwargs = call_arguments(compiled.lowered.captured, given)
    outputs = compiled.flat(*args, **kwargs)
    tensors = [i for i, value in enumerate(given) if isinstance(value, torch.Tensor)]
    return Outcome(
        outputs,
        {i: given[i] for i in tensors},
        {fqn: torch.from_dlpack(b.to(CPU())) for fqn, b in compiled.states.items()},
    )


def _int8(compiled: Compiled) -> dict[str, bool]:
    """Placeholder of each weight that a linear reads as int8 → whether the linear rounds its input too."""
    layouts = {slot.spec.fqn: slot.layout for slot in compiled.weights.slots.values()}
    kinds = {INT8: False, INT8_QUADS: True}
    names = compiled.lowered.captured.program.graph_signature.inputs_to_parameters
    of = compiled.weights.aliases
    stored = {name: layouts.get(of.get(fqn, fqn), "") for name, fqn in names.items()}
    return {name: kinds[layout] for name, layout in stored.items() if layout in kinds}


def _roundoff(compiled: Compiled) -> Callable[[torch.dtype], float]:
    """torch dtype → unit roundoff of the dtype that MAX computes it in, but for float64 `FLOAT64`."""
    device = compiled.lowered.device

    def of(dtype: torch.dtype) -> float:
        computed = TO_TORCH[compute_dtype(dtype, device)]
        return FLOAT64 if computed is torch.float64 else torch.finfo(computed).eps / 2

    return of


def _half_of_the_digits(compiled: Compiled) -> float:
    """The square root of the largest unit roundoff that the graph computes with."""
    computed_in = coarsest(compiled.lowered.captured.dtypes(), compiled.lowered.device)
    return math.sqrt(_roundoff(compiled)(computed_in)) if computed_in else 0.0


def _mismatch(
    compiled: Compiled, trial: Trial, faults: list[Comparison], check: Check, warn: bool, locate: bool
) -> Check:
    """Raise or warn of `faults`, with what `verify` finds; unless rounding at a step explains them."""
    args, kwargs = call_arguments(compiled.lowered.captured, copied(trial.leaves))
    verification = verify(compiled, args, kwargs, quiet=True) if locate else None
    if verification is not None and _explained(verification):
        return replace(check, note=f"{faults[0].name}: {TURNED}")
    error = MismatchError(_text(compiled, trial, faults, verification), verification, copied(trial.leaves))
    if not warn:
        raise error
    warnings.warn(str(error), stacklevel=5)
    return replace(check, note=f"DIFFERS: {faults[0].name}: {faults[0].fault}", differs=True)


def _explained(found: Verification) -> bool:
    """Whether every node is right on its own, and the graph without taps does as the tapped one does.

    What differs then is what rounding did before an op that has steps: an argmax, a comparison, a rounding.
    """
    if any(n.diverges for n in found.nodes):
        return False
    half = len(found.outputs) // 2
    tapped, alone = found.outputs[:half], found.outputs[half:]
    return all(t.max_abs_error == a.max_abs_error for t, a in zip(tapped, alone, strict=True))


def _text(compiled: Compiled, trial: Trial, faults: list[Comparison], found: Verification | None) -> str:
    lines = [f"{compiled.report.model}: what MAX computes is not what torch computes, on {trial.name}:"]
    lines += [f"  {c.name}: {c.fault}" for c in faults]
    if found is not None and found.first_divergent is not None:
        lines.append(f"the first node that rounding does not explain: {found.first_divergent}")
        lines += [f"  {note}" for note in found.notes]
    lines.append(
        "Override the rule of that op (@fxmax.rule(..., override=True)), leave out the pass that made it "
        "(passes=[...]), or take it as it is with check='warn' or check=False."
    )
    return "\n".join(lines)
