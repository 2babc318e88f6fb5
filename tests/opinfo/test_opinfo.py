"""Conformance with torch's own op samples: a slice of them here, all of them under `-m slow`."""

from __future__ import annotations

import pytest
import torch

from opinfo import harness

# One sample each: an op of every rule family, in few compiles.
QUICK = {
    torch.float32: """add sub mul div.floor_rounding remainder fmod pow atan2 maximum clamp where exp expm1
        log1p tanh sigmoid erf round sign isnan eq logical_xor nn.functional.gelu nn.functional.softplus
        nn.functional.elu full_like arange sum mean amax argmax any var norm.inf logsumexp cumsum cumprod
        cummax sort topk median to""",
    torch.int64: """add div.trunc_rounding remainder bitwise_and bitwise_left_shift bitwise_not sum amin
        argmin cumsum true_divide""",
    torch.bool: "add mul logical_not any all sum",
}


def test_quick() -> None:
    cases = [c for dtype, names in QUICK.items() for c in harness.chosen(dtype, 1, names.split())]
    assert len(cases) > 50
    outcomes = harness.run(cases)
    assert not harness.unexpected(outcomes), "\n".join(harness.unexpected(outcomes))


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1), (torch.int64, 1), (torch.bool, 1)])
def test_every_op_in_scope(dtype: torch.dtype, limit: int) -> None:
    outcomes = harness.run(harness.chosen(dtype, limit))
    assert not harness.unexpected(outcomes), "\n".join(harness.unexpected(outcomes))
    assert harness.totals(outcomes)["passed"] >= 0.95 * len(outcomes)
