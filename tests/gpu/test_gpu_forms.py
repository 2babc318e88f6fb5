"""What the rules make for a GPU, as far as its arithmetic can be shown on the CPU.

The forms are the GPU's; a table of the test's own has the CPU use them.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from max.graph import ops

import fxmax
from fxmax import RuleTable
from fxmax.rules.lib.conv_as_matmul import by_windows
from fxmax.rules.lib.matmul import parts
from tests.support.parity import Batch, Case, ids

aten = torch.ops.aten


def table() -> RuleTable:
    own = RuleTable(parent=fxmax.default_table())

    @own.rule(aten.conv1d.default, aten.conv2d.default, override=True)
    def conv(ctx, input, weight, bias, stride, padding, dilation, groups):
        space = weight.rank - 2
        x = ops.permute(input, [0, *range(2, space + 2), 1])
        filters = ops.permute(weight, [*range(2, space + 2), 1, 0])
        settings = [list(v) * (space if len(v) == 1 else 1) for v in (stride, padding, dilation)]
        y = by_windows(ctx, x, filters, bias, *settings, ctx.out.shape[2:])
        return ops.permute(y, [0, space + 1, *range(1, space + 1)])

    @own.rule(aten.relu.default, override=True)
    def high(ctx, self):
        return parts(ctx, self)[0]

    @own.rule(aten.sigmoid.default, override=True)
    def finite(ctx, self):
        return parts(ctx, self)[1]

    @own.rule(aten.tanh.default, override=True)
    def low(ctx, self):
        return parts(ctx, self)[2]

    return own


class Conv(torch.nn.Module):
    def __init__(self, *sizes, **settings) -> None:
        super().__init__()
        torch.manual_seed(0)
        kind = torch.nn.Conv1d if isinstance(sizes[2], int) else torch.nn.Conv2d
        self.conv = kind(*sizes, **settings)

    def forward(self, x):
        return self.conv(x)


class Parts(torch.nn.Module):
    def forward(self, x):
        return x.relu(), x.sigmoid(), x.tanh()


CONVS = {
    "strided": (Conv(5, 7, 3, stride=2, padding=1), (2, 5, 12)),
    "even_length": (Conv(5, 7, 4, stride=2, padding=1), (2, 5, 13)),
    "dilated": (Conv(3, 4, 3, padding=4, dilation=2), (1, 3, 9)),
    "one_tap": (Conv(3, 4, 1), (2, 3, 9)),
    "image": (Conv(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 3, 9, 8)),
}
NUMBERS = torch.cat(
    [
        torch.randn(500, generator=torch.Generator().manual_seed(0)) * torch.logspace(-30, 30, 500),
        torch.tensor([0.0, -0.0, 1.0, -3e38, torch.inf, -torch.inf, torch.nan]),
    ]
)


OWN = {"table": table(), "passes": ["drop_asserts"]}
WINDOWS = [
    *(Case(name, module, [torch.randn(shape)], slow=True, **OWN) for name, (module, shape) in CONVS.items()),
    Case(
        "any_batch",
        CONVS["strided"][0],
        [torch.randn(2, 5, 12)],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        slow=True,
        **OWN,
    ),
]
PARITY = Batch([*WINDOWS, Case("parts", Parts(), [NUMBERS], **OWN)])


@pytest.mark.parametrize("id", ids(WINDOWS))
def test_a_convolution_by_windows(parity, id):
    parity.check(id)


@pytest.mark.slow
@pytest.mark.parametrize("id", ["any_batch"])
def test_a_convolution_by_windows_of_any_batch(parity, id):
    for batch in (1, 5):
        parity.check(id, torch.randn(batch, 5, 12))


@pytest.mark.parametrize("id", ["parts"])
def test_a_factor_is_cut_in_parts_that_tf32_holds(parity, id):
    high, finite, low = (part.numpy() for part in parity[id](NUMBERS))
    x = NUMBERS.numpy()
    cut = np.isfinite(x)
    np.testing.assert_array_equal(high[cut] + low[cut], x[cut])
    np.testing.assert_array_equal(high[cut].view(np.int32) & 0x1FFF, 0)  # 13 bits of 24 are free
    assert (np.abs(low[cut]) <= np.abs(x[cut]) * 2.0**-10).all()
    np.testing.assert_array_equal(finite[cut], high[cut])
    infinite = np.isinf(x)
    np.testing.assert_array_equal(high[infinite], x[infinite])
    np.testing.assert_array_equal([finite[infinite], low[infinite]], 0)
    assert np.isnan(high[np.isnan(x)]).all()


def test_the_parts_products_are_the_product():
    a, b = (torch.randn(64, 64, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    (a_high, a_low), (b_high, b_low) = (cut(x) for x in (a, b))
    product = tf32(a_high, b_high) + (tf32(a_high, b_low) + tf32(a_low, b_high))
    expected = a.double() @ b.double()
    assert (product - expected).abs().max() <= 1e-6 * expected.abs().max()
    assert (tf32(a, b) - expected).abs().max() >= 1e-4 * expected.abs().max()


def cut(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    high = high_bits(x)
    return high, x - high


def high_bits(x: torch.Tensor) -> torch.Tensor:
    return (x.view(torch.int32) & ~0x1FFF).view(torch.float32)


def tf32(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """A product of factors rounded down to 11 bits, as a tensor core reads float32."""
    return (high_bits(a).double() @ high_bits(b).double()).float().double()
