"""The numbers of a check: how far MAX's value is from the reference's, and from what rounding allows."""

from __future__ import annotations

import operator

import torch

from fxmax.fx.provenance import module_path, source
from fxmax.verification.reference import Step
from fxmax.verification.result import Input, NodeCheck


def check_node(step: Step, actual: torch.Tensor, fed: tuple[Input, ...]) -> NodeCheck:
    """The numbers of one watched node, whose value on MAX is `actual`."""
    n = step.node
    own = difference(actual, step.replayed.double())
    allowed = step.tolerance.expand(own.shape) if own.shape else step.tolerance.reshape(())
    excess = torch.where(own > 0, own / allowed.clamp(min=1e-300), torch.zeros_like(own))
    worst = int(excess.argmax()) if excess.numel() else 0
    error, relative, cosine = distance(actual, step.reference.double())

    def pick(t: torch.Tensor) -> float:
        return float(t.reshape(-1)[worst]) if t.numel() else 0.0

    expected = step.expected[torch.isfinite(step.expected)]
    return NodeCheck(
        name=n.name,
        op=str((n.args[0] if n.target is operator.getitem else n).target),  # type: ignore[union-attr]
        path=module_path(n),
        source=source(n),
        dtype=str(n.meta["val"].dtype).removeprefix("torch."),
        shape=tuple(actual.shape),
        max_abs_error=error,
        relative_error=relative,
        cosine=cosine,
        expected_error=float(expected.max()) if expected.numel() else 0.0,
        own_error=pick(own),
        tolerance=pick(allowed),
        excess=pick(excess),
        inputs=fed,
    )


def difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """|a - b|; 0 where both are the same infinity or both NaN, inf where only one is finite."""
    if a.shape != b.shape:
        return torch.full((), float("inf"), dtype=torch.float64)
    same = (a == b) | (a.isnan() & b.isnan())
    return torch.where(same, 0.0, torch.nan_to_num((a - b).abs(), nan=float("inf")))


def distance(actual: torch.Tensor, wanted: torch.Tensor) -> tuple[float, float, float]:
    """(max abs error, that over the largest absolute value, cosine)."""
    if not wanted.numel():
        return 0.0, 0.0, 1.0
    error = float(difference(actual, wanted).max())
    scale = float(torch.nan_to_num(wanted.abs(), posinf=0.0).max())
    a, b = torch.nan_to_num(actual.flatten()), torch.nan_to_num(wanted.flatten())
    cosine = 1.0 if torch.equal(a, b) else float(torch.nn.functional.cosine_similarity(a, b, dim=0))
    return error, error / scale if scale else (0.0 if error == 0 else float("inf")), cosine
