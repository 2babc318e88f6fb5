"""Convolutions, pooling and padding against torch.

Padding is tried from 0 to more than the kernel: large padding was wrong upstream (modular#6461).
"""

from __future__ import annotations

import pytest
import torch
from conftest import Batch, Case, ids, parity_fixture
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

pytestmark = pytest.mark.slow  # minutes of compiling: too much for plain pytest

torch.manual_seed(0)
L = torch.randn(2, 4, 11)
X = torch.randn(2, 4, 9, 7)
V = torch.randn(1, 2, 5, 6, 4)
NAN = torch.randn(1, 2, 7, 8)
NAN[0, 0, 2, 3], NAN[0, 1, 4:, 4:] = torch.nan, -torch.inf
TIES = torch.randint(0, 3, (1, 2, 7, 8))


class Many(nn.Module):
    """Several layers over one input, to one compile."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        return tuple(layer(x) for layer in self.layers)


CASES = [
    Case(
        "conv1d",
        Many(
            nn.Conv1d(4, 6, 3, padding=1),
            nn.Conv1d(4, 6, 3, stride=2, padding=1, bias=False),
            nn.Conv1d(4, 6, 4, padding="same"),
        ),
        [L],
    ),
    Case(
        "conv1d_more",
        Many(
            nn.Conv1d(4, 6, 5, padding=7, dilation=2),
            nn.Conv1d(4, 8, 3, groups=2),
            nn.Conv1d(4, 4, 3, groups=4, padding="same"),
            nn.Conv1d(4, 6, 1),
        ),
        [L],
        slow=True,
    ),
    Case("conv1d_unbatched", nn.Conv1d(4, 6, 3), [L[0]], slow=True),
    Case(
        "conv2d",
        Many(
            nn.Conv2d(4, 6, 3, padding=1),
            nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(0, 2), dilation=(1, 2)),
            nn.Conv2d(4, 6, 3, padding=5),
            nn.Conv2d(4, 8, 3, groups=2, padding=1, bias=False),
        ),
        [X],
    ),
    Case(
        "conv2d_more",
        Many(
            nn.Conv2d(4, 6, 3, padding=2, dilation=2),
            nn.Conv2d(4, 6, 7, stride=2, padding=3),
            nn.Conv2d(4, 4, 3, groups=4, padding=1, bias=False),
            nn.Conv2d(4, 12, 3, groups=4, stride=2),
            nn.Conv2d(4, 6, 2, padding="same"),
            nn.Conv2d(4, 6, 3, padding="valid"),
            nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
        ),
        [X],
        slow=True,
    ),
    Case("conv2d_unbatched", nn.Conv2d(4, 6, 3), [X[0]], slow=True),
    Case(
        "conv2d_weight_computed",
        lambda x, w: F.conv2d(x, w * 2, padding=1),
        [X, torch.randn(5, 4, 3, 3)],
        slow=True,
    ),
    Case(
        "conv3d",
        Many(
            nn.Conv3d(2, 3, 3, padding=1), nn.Conv3d(2, 3, (1, 2, 3), stride=2), nn.Conv3d(2, 4, 2, groups=2)
        ),
        [V],
        slow=True,
    ),
    Case("transposed", nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), [X]),
    Case(
        "transposed_more",
        Many(
            nn.ConvTranspose2d(4, 6, 3),
            nn.ConvTranspose2d(4, 6, (2, 3), stride=(2, 3), dilation=2, bias=False),
            nn.ConvTranspose2d(4, 6, 3, stride=2, padding=3),
        ),
        [X],
        slow=True,
    ),
    Case(
        "transposed_1d", Many(nn.ConvTranspose1d(4, 6, 4, 2, 1), nn.ConvTranspose1d(4, 4, 3, groups=4)), [L]
    ),
    Case("transposed_3d", nn.ConvTranspose3d(2, 3, 2, stride=2), [V], slow=True),
    Case(
        "transposed_weight_computed",
        lambda x, w: F.conv_transpose1d(x, w * 2),
        [L, torch.randn(4, 3, 3)],
        slow=True,
    ),
    Case("conv_empty", lambda x, w: F.conv2d(x, w), [torch.randn(0, 4, 5, 5), torch.randn(2, 4, 3, 3)]),
    Case(
        "max_pool",
        lambda x: (
            F.max_pool2d(x, 3, 2, 1),
            F.max_pool2d(x, 2, 3, 1, ceil_mode=True, return_indices=True),
        ),
        [NAN],
    ),
    Case(
        "max_pool_more",
        lambda x: (
            F.max_pool2d(x, 2),
            F.max_pool2d(x, (2, 3), (1, 2), 1, dilation=2),
            F.max_pool2d(x, 3, 2, ceil_mode=True),
            F.max_pool2d(x, 3, 2, 1, return_indices=True),
            F.adaptive_max_pool2d(x, (3, 2)),
        ),
        [NAN],
        slow=True,
    ),
    Case("max_pool_ties", lambda x: F.max_pool2d(x.float(), 3, 1, 1, return_indices=True), [TIES]),
    Case(
        "max_pool_1d_3d",
        lambda x, v: (F.max_pool1d(x, 3, 2, 1), F.max_pool3d(v, 2, padding=1)),
        [L, V],
        slow=True,
    ),
    Case("max_pool_int", lambda x: F.max_pool2d(x, 2, 1, 1), [TIES]),
    Case(
        "avg_pool",
        lambda x: (
            F.avg_pool2d(x, 3, 2, 1),
            F.avg_pool2d(x, 2, 3, 1, ceil_mode=True, count_include_pad=False),
        ),
        [X],
    ),
    Case(
        "avg_pool_more",
        lambda x: (
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
            F.avg_pool2d(x, (2, 3), divisor_override=5),
        ),
        [X],
        slow=True,
    ),
    Case(
        "avg_pool_1d_3d", lambda x, v: (F.avg_pool1d(x, 3, 2, 1), F.avg_pool3d(v, 2, 1, 1)), [L, V], slow=True
    ),
    Case(
        "adaptive_avg_pool",
        lambda x, y: (
            F.adaptive_avg_pool2d(x, 1),
            F.adaptive_avg_pool2d(x, (3, 2)),
            F.adaptive_avg_pool2d(x, (12, 7)),
            F.adaptive_avg_pool1d(y, 4),
        ),
        [X, L],
        slow=True,
    ),
    Case(
        "pad",
        lambda x, i: (
            F.pad(x, (1, 2)),
            F.pad(x, (1, -2, -1, 3), value=1.5),
            F.pad(i > 1, (0, 2), value=True),
        ),
        [X, TIES],
    ),
    Case(
        "pad_modes",
        lambda x, i: (
            F.pad(x, (2, 1, 0, 3), mode="reflect"),
            F.pad(x, (1, 2, 3, 0), mode="replicate"),
            F.pad(x, (1, 2, 3, 0), mode="circular"),
            F.pad(i, (1, 1), value=7),
        ),
        [X, TIES],
        slow=True,
    ),
    Case("pad_empty", lambda x: F.pad(x, (1, 1, 2, 0), value=3), [torch.randn(0, 2)]),
]
DYNAMIC = [
    Case(
        "dynamic_vision",
        Many(
            nn.Conv2d(4, 6, 3, stride=2, padding=1),
            nn.ConvTranspose2d(4, 2, 2, stride=2),
            nn.MaxPool2d(3, 2, 1),
            nn.AvgPool2d(2),
            nn.AdaptiveAvgPool2d(1),
            nn.ZeroPad2d((0, 1, 2, 0)),
        ),
        [X],
        dynamic_shapes=({0: Dim("batch"), 2: Dim("height", min=4, max=64), 3: Dim("width", min=4, max=64)},),
    ),
]
parity = parity_fixture([*CASES, *DYNAMIC])


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)


def test_one_compile_serves_other_sizes(parity: Batch) -> None:
    parity.check("dynamic_vision")
    for shape in ((1, 4, 4, 5), (3, 4, 16, 8)):
        parity.check("dynamic_vision", torch.randn(shape))
