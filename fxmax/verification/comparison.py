"""One call's results on MAX against torch's: dtypes, shapes, NaN, infinities, and the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from fxmax.verification.distance import difference
from fxmax.verification.eager import Outcome

SLACK = 4.0
"""The rounded walk samples how far rounding carries: so many times what it found is allowed."""


@dataclass(frozen=True)
class Comparison:
    """One result against torch's. `fault` says in words what is wrong; "" where nothing is.

    `error` and `allowed` are max abs; `scale` is the largest absolute value of torch's. `turned` counts the
    values that differ because rounding turned a decision over; they are left out of `error`.
    """

    name: str
    error: float = 0.0
    allowed: float = 0.0
    scale: float = 0.0
    fault: str = ""
    turned: int = 0


def compare(
    actual: Outcome,
    wanted: Outcome,
    rounded: Outcome | None = None,
    relative: float = 0.0,
    turned: Sequence[Outcome] = (),
) -> list[Comparison]:
    """Every output, written input and written buffer.

    Args:
        wanted: eager torch's, with 16-bit floats widened to float32.
        rounded: eager torch's with rounding sampled; None where `relative` is to do.
        relative: what is allowed over each result's largest absolute value.
        turned: eager torch's with decisions turned over that rounding may turn over, sampled: the elements
            in which they differ from torch's may differ as far.
    """
    outcomes = [wanted, *turned] if rounded is None else [wanted, *turned, rounded]
    found = []
    for name, mine, (theirs, *others) in _paired(actual, outcomes):
        sample = None if rounded is None else others.pop()
        found.append(_compared(name, mine, theirs, sample, relative, others))
    return found


def _paired(actual: Outcome, outcomes: Sequence[Outcome]) -> Iterator[tuple[str, Any, list[Any]]]:
    """(name, MAX's result, the result of each of `outcomes`)."""
    many = len(outcomes[0].outputs) > 1
    for i, (mine, *theirs) in enumerate(
        zip(actual.outputs, *(outcome.outputs for outcome in outcomes), strict=True)
    ):
        yield f"output {i}" if many else "the output", mine, theirs
    for i, mine in actual.inputs.items():
        yield f"input {i}, as the call leaves it", mine, [outcome.inputs[i] for outcome in outcomes]
    for fqn, mine in actual.buffers.items():
        yield f"buffer {fqn}, as the call leaves it", mine, [outcome.buffers[fqn] for outcome in outcomes]


def _compared(
    name: str, mine: Any, theirs: Any, rounded: Any, relative: float, turned: Sequence[Any]
) -> Comparison:
    if not isinstance(theirs, torch.Tensor):
        if _same(mine, theirs):
            return Comparison(name)
        if any(_same(mine, other) for other in turned):
            return Comparison(name, turned=1)
        return Comparison(name, fault=f"{mine!r}, where torch has {theirs!r}")
    if not isinstance(mine, torch.Tensor):
        return Comparison(name, fault=f"a {type(mine).__name__}, where torch has a tensor")
    mine, theirs, others = _real(mine.cpu()), _real(theirs), [_real(x) for x in turned]
    others = [x for x in others if x.shape == mine.shape]
    if mine.shape != theirs.shape:  # a size that was decided may be another one
        like = [_compared(name, mine, x, None, relative, others) for x in others[:1]]
        if like and not like[0].fault:
            return replace(like[0], turned=mine.numel() + 1)
        return Comparison(name, fault=f"shape {list(mine.shape)}, where torch has {list(theirs.shape)}")
    a, b = mine.double(), theirs.double()
    off = difference(a, b)
    if not bool(off.any()):
        return Comparison(name)
    scale = _largest(b.abs())
    allowed = max(relative, torch.finfo(mine.dtype).eps) * scale if mine.is_floating_point() else 0.0
    if rounded is not None and mine.is_floating_point():
        allowed += SLACK * _largest(difference(_real(rounded).double(), b))
    wrong = off > allowed
    if others and bool(wrong.any()):
        over = wrong & _turned(a, b, allowed, scale, [x.double() for x in others], mine.is_floating_point())
    else:
        over = torch.zeros_like(wrong)
    wrong, off = wrong & ~over, off.masked_fill(over, 0.0)
    found = Comparison(name, float(off.max()), allowed, scale, turned=int(over.sum()))
    if not bool(wrong.any()):
        return found
    count = f"of {mine.numel()} values"
    odd = wrong & ~(torch.isfinite(a) & torch.isfinite(b))
    if bool(odd.any()):
        text = f"{int(odd.sum())} {count} are NaN or infinite where torch's are not, or the reverse"
        return replace(found, allowed=0.0, scale=0.0, fault=text)
    if not mine.is_floating_point():
        return replace(found, scale=0.0, fault=f"{int(wrong.sum())} {count} differ ({mine.dtype})")
    text = f"off by {found.error:.3g} at scale {scale:.3g}, where rounding allows {allowed:.3g}"
    return replace(found, fault=text)


def _same(mine: Any, theirs: Any) -> bool:
    return mine is theirs or (type(mine) is type(theirs) and bool(mine == theirs))


def _turned(
    a: torch.Tensor,
    b: torch.Tensor,
    allowed: float,
    scale: float,
    others: Sequence[torch.Tensor],
    floats: bool,
) -> torch.Tensor:
    """Where `a` is as one of `others`; or between them, as a sum that holds some of several steps.

    What is allowed grows with the scale of results, which a step may have made larger.
    """
    if not floats:
        return torch.stack([a == other for other in others]).any(0)
    largest = max(scale, *(_largest(other.abs()) for other in others))
    allowed = max(allowed, allowed * largest / scale if scale else torch.finfo(torch.float32).eps * largest)
    found, low, high = torch.zeros_like(a, dtype=torch.bool), b, b
    for other in others:
        found |= difference(a, other) <= allowed
        known = torch.where(torch.isfinite(other), other, b)
        low, high = torch.minimum(low, known), torch.maximum(high, known)
    return found | ((high - low > allowed) & (a >= low - allowed) & (a <= high + allowed))


def _largest(values: torch.Tensor) -> float:
    """The largest of the finite ones."""
    finite = values[torch.isfinite(values)]
    return float(finite.max()) if finite.numel() else 0.0


def _real(value: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(value) if value.is_complex() else value
