"""The Mojo matrix kernels against torch: sizes around every tile edge, all compiled together.

Sizes differ along every axis, so that a kernel reading another layout can't pass.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import fxmax
from fxmax.kernels.packing import PACKINGS
from tests.support.parity import Batch, Case

pytestmark = pytest.mark.slow  # CI runs them: minutes of compiling

torch.manual_seed(0)
ACTIVATIONS = {"none": lambda y: y, "gelu": F.gelu, "relu": F.relu, "silu": F.silu}


class Linear(nn.Module):
    def __init__(self, k: int, n: int, act: str = "none", bias: bool = True, residual: bool = False) -> None:
        super().__init__()
        self.layer, self.act, self.residual = nn.Linear(k, n, bias), ACTIVATIONS[act], residual

    def forward(self, x: torch.Tensor, *residual: torch.Tensor) -> torch.Tensor:
        y = self.act(self.layer(x))
        return y + residual[0] if self.residual else y


class Conv(nn.Module):
    def __init__(self, c: int, f: int, taps: int, stride: int, padding: int, bias: bool = True) -> None:
        super().__init__()
        self.layer = nn.Conv1d(c, f, taps, stride, padding, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.layer(x)).permute(0, 2, 1)


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    q, k, v = (x.permute(0, 2, 1, 3) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).permute(0, 2, 1, 3)


def qkv(b: int, s: int, t: int, h: int, d: int, e: int) -> list[torch.Tensor]:
    return [torch.randn(b, s, h, d), torch.randn(b, t, h, d), torch.randn(b, t, h, e)]


def x(*shape: int) -> torch.Tensor:
    return torch.randn(shape)


def unlike(rows: int, k: int) -> torch.Tensor:
    """Rows that can't be added to each other: NaN, infinities, zeros, large and small ones."""
    x = torch.randn(rows, k)
    x[3, 7], x[30, 9], x[31, 5] = math.nan, math.inf, -math.inf
    x[50], x[60] = 0, 1e4 * x[60]
    return x


BATCH = torch.export.Dim("batch", min=1, max=16)
WINDOWS = torch.export.Dim("windows", min=1, max=8)
CASES = [
    Case("one_row", Linear(20, 70), [torch.randn(1, 1, 20)]),
    Case("rows_2", Linear(48, 33, "relu", bias=False), [torch.randn(2, 48)]),
    Case("rows_12", Linear(16, 32, "silu"), [torch.randn(12, 16)]),
    Case("rows_13", Linear(33, 65, "gelu"), [torch.randn(13, 33)]),
    Case("many_rows", Linear(70, 130, residual=True), [torch.randn(3, 67, 70), torch.randn(3, 67, 130)]),
    Case("one_axis", Linear(24, 40), [torch.randn(24)]),
    Case("one_feature", Linear(24, 1), [torch.randn(5, 24)]),
    Case(
        "any_rows",
        Linear(24, 40, "gelu", residual=True),
        [torch.randn(5, 24), torch.randn(5, 40)],
        dynamic_shapes=(({0: BATCH}, ({0: BATCH},))),
    ),
    # Strassen's: 256 rows and features at least. 261 rows leave a last group of odd size.
    Case("seven_products", Linear(288, 320, "gelu", residual=True), [x(261, 288), x(261, 320)]),
    Case("seven_products_chunks", Linear(1056, 448, bias=False), [x(2, 150, 1056)]),
    Case("eight_for_unlike_rows", Linear(256, 256), [unlike(270, 256)]),
    Case(
        "seven_products_any_windows",
        Linear(256, 384, "relu"),
        [x(2, 300, 256)],
        dynamic_shapes=({0: WINDOWS},),
    ),
    Case("any_batch", attention, qkv(3, 14, 18, 2, 16, 16), dynamic_shapes=({0: BATCH},) * 3),
    Case("conv_same", Conv(3, 5, 3, 1, 1), [torch.randn(1, 3, 11)]),
    Case("conv_wide", Conv(17, 40, 5, 2, 3, bias=False), [torch.randn(2, 17, 50)]),
    Case("conv_valid", Conv(4, 6, 3, 3, 0), [torch.randn(1, 4, 19)]),
    Case("conv_outside", Conv(4, 6, 2, 1, 4), [torch.randn(1, 4, 3)]),
    Case("attention_small", attention, qkv(2, 5, 7, 3, 8, 8)),
    Case("attention_widths", attention, qkv(1, 30, 37, 2, 20, 40)),
    Case("attention_blocks", attention, qkv(2, 50, 64, 5, 64, 64)),
    Case("attention_one_query", attention, qkv(1, 1, 33, 2, 16, 16)),
    Case("attention_large_scores", attention, [30 * x for x in qkv(1, 14, 18, 2, 16, 16)]),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", [c.id for c in CASES])
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check_kernel(id)


def test_large_linears_take_seven_products(parity: Batch) -> None:
    """Symbolic batches too; not what has fewer rows."""
    for id, taken in (("seven_products", 1), ("seven_products_any_windows", 1), ("many_rows", 0)):
        layouts = parity.compiled(id).report.layouts
        assert list(layouts.values()).count("strassen panels") == taken, id


def test_rows_that_are_unlike_do_not_reach_into_each_other(parity: Batch) -> None:
    """Each row is within 1e-5 of its own scale, beside rows 1e4 times as large; one of zeros is the bias."""
    case = parity.cases["eight_for_unlike_rows"]
    y, expected = parity.compiled(case.id)(*case.inputs), case.module(*case.inputs).detach()
    finite = expected.isfinite().all(1)
    assert finite.sum() == 270 - 3
    error, scale = (y - expected)[finite].abs().amax(1), expected[finite].abs().amax(1)
    assert (error <= 1e-5 * scale).all()
    assert torch.equal(y[50], case.module.layer.bias)


def test_an_artifact_lays_weights_out_as_torch_does() -> None:
    """By numpy, from float16 too: sums are of float32."""
    weight = torch.randn(128, 96).half()
    for layout in ("panels", "window panels", "strassen panels"):
        w = weight.unflatten(1, (-1, 3)) if layout == "window panels" else weight
        np.testing.assert_array_equal(PACKINGS[layout](w.numpy()), PACKINGS[layout](w).numpy())
    assert PACKINGS["strassen panels"](weight).dtype == torch.float32


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_weight_that_would_spoil_others_is_refused_by_name(bad: float) -> None:
    layer = nn.Linear(256, 256)
    lowered = fxmax.lower(layer, (torch.randn(256, 256),), device="cpu", compile=False, quiet=True)
    with torch.no_grad():
        layer.weight[3, 4] = bad
    with pytest.raises(fxmax.WeightError, match=r"weight: has NaN or infinities.*strassen.*lower without it"):
        lowered.weights.bind()


@pytest.mark.parametrize("rows", [1, 3, 12, 16])
def test_any_number_of_rows(parity: Batch, rows: int) -> None:
    parity.check("any_rows", torch.randn(rows, 24), torch.randn(rows, 40))
