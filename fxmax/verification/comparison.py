"""One call's results on MAX against torch's: dtypes, shapes, NaN, infinities, and the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from fxmax.verification.distance import difference
from fxmax.verification.eager import Outcome

SLACK = 4.0
"""The rounded walk samples how far rounding carries: so many times what it found is allowed."""


@dataclass(frozen=True)
class Comparison:
    """One result against torch's. `fault` says in words what is wrong; "" where nothing is.

    `error` and `allowed` are max abs; `scale` is the largest absolute value of torch's.
    """

    name: str
    error: float = 0.0
    allowed: float = 0.0
    scale: float = 0.0
    fault: str = ""


def compare(actual: Outcome, wanted: Outcome, rounded: Outcome | None, relative: float) -> list[Comparison]:
    """Every output, written input and written buffer.

    Args:
        wanted: eager torch's, with 16-bit floats widened to float32.
        rounded: eager torch's with rounding sampled; None where `relative` is to do.
        relative: what is allowed over each result's largest absolute value.
    """
    return [
        _compared(name, mine, theirs, other, relative)
        for name, mine, theirs, other in _paired(actual, wanted, rounded)
    ]


def _paired(actual: Outcome, wanted: Outcome, rounded: Outcome | None) -> Iterator[tuple[str, Any, Any, Any]]:
    many = len(wanted.outputs) > 1
    for i, (mine, theirs) in enumerate(zip(actual.outputs, wanted.outputs, strict=True)):
        yield f"output {i}" if many else "the output", mine, theirs, rounded and rounded.outputs[i]
    for position, mine in actual.inputs.items():
        other = rounded and rounded.inputs[position]
        yield f"input {position}, as the call leaves it", mine, wanted.inputs[position], other
    for fqn, mine in actual.buffers.items():
        yield (
            f"buffer {fqn}, as the call leaves it",
            mine,
            wanted.buffers[fqn],
            rounded and rounded.buffers[fqn],
        )


def _compared(name: str, mine: Any, theirs: Any, rounded: Any, relative: float) -> Comparison:
    if not isinstance(theirs, torch.Tensor):
        same = mine is theirs or (type(mine) is type(theirs) and bool(mine == theirs))
        return Comparison(name, fault="" if same else f"{mine!r}, where torch has {theirs!r}")
    if not isinstance(mine, torch.Tensor):
        return Comparison(name, fault=f"a {type(mine).__name__}, where torch has a tensor")
    mine, theirs = _real(mine.cpu()), _real(theirs)
    if mine.shape != theirs.shape:
        return Comparison(name, fault=f"shape {list(mine.shape)}, where torch has {list(theirs.shape)}")
    a, b = mine.double(), theirs.double()
    off = difference(a, b)
    if not bool(off.any()):
        return Comparison(name)
    error, count = float(off.max()), f"of {mine.numel()} values"
    odd = (off > 0) & ~(torch.isfinite(a) & torch.isfinite(b))
    if bool(odd.any()):
        text = f"{int(odd.sum())} {count} are NaN or infinite where torch's are not, or the reverse"
        return Comparison(name, error, fault=text)
    if not mine.is_floating_point():
        return Comparison(name, error, fault=f"{int((off > 0).sum())} {count} differ ({mine.dtype})")
    scale = float(b[torch.isfinite(b)].abs().max())
    allowed = max(relative, torch.finfo(mine.dtype).eps) * scale
    if rounded is not None:
        moved = difference(_real(rounded).double(), b)
        allowed += SLACK * float(moved[torch.isfinite(moved)].max())
    text = f"off by {error:.3g} at scale {scale:.3g}, where rounding allows {allowed:.3g}"
    return Comparison(name, error, allowed, scale, "" if error <= allowed else text)


def _real(value: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(value) if value.is_complex() else value
