"""What a gap is called, and what is said of it, where no rule could be written for it; no compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._higher_order_ops import map as map_of
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop

import fxmax
from tests.support.parity import Fn

X = torch.randn(4, 2)
N = torch.export.Dim("n", min=3)


def turned(x: Tensor) -> Any:
    return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (torch.tensor(0), x))


GAPS: dict[str, tuple[Callable[[Tensor], Any], str, str]] = {
    "cond": (
        lambda x: torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,)),
        "torch.cond",
        "choose with torch.where",
    ),
    "while_loop": (turned, "torch.ops.higher_order.while_loop", "write a Python loop"),
    "scan": (
        lambda x: scan(lambda c, y: (c + y, c * y), torch.zeros(2), x),
        "torch.ops.higher_order.scan",
        "write a Python loop",
    ),
    "map": (lambda x: map_of(lambda y: y + 1, x), "torch.ops.higher_order.map_impl", "on the whole batch"),
    "a quotient of sizes": (lambda x: x * (1 / x.shape[0]), "operator.truediv", "Compute it as a tensor"),
    "a root of a size": (lambda x: x / x.shape[0] ** 0.5, "torch.sym_float", "Compute it as a tensor"),
    "a comparison of sizes": (lambda x: x * (x.shape[0] > 5), "operator.gt", "Compute it as a tensor"),
    "the larger of two sizes": (lambda x: x / max(x.shape[0], 5), "torch.sym_max", "no dimension for"),
    "a number that the data decides": (
        lambda x: x.roll(x.sum().int().item(), 0),
        "aten._local_scalar_dense.default",
        "use the tensor itself",
    ),
}


@pytest.mark.parametrize("name", GAPS)
def test_a_gap_has_a_name_that_one_would_write(name: str) -> None:
    fn, target, advice = GAPS[name]
    varies = ({0: N},) if "size" in name else None
    report = fxmax.explain(Fn(fn), X, dynamic_shapes=varies, device="cpu", quiet=True)
    [gap] = report.gaps
    assert gap.target == target
    assert advice in gap.detail
    assert " at 0x" not in str(report)
    assert "fxmax.rule" not in str(report)  # there can be none
