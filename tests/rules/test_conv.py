"""Convolutions against torch.

Padding is tried from 0 to more than the kernel. `tests/kernels/test_conv.py` has our kernel's edges; what
isn't float32 is MAX's, whose large padding was wrong upstream (modular#6461), and is where the filter is
dilated.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

from tests.support.parity import Batch, Case, ids
from tests.support.rewritable import Stem

torch.manual_seed(0)
L = torch.randn(2, 4, 11)
X = torch.randn(2, 4, 9, 7)
V = torch.randn(1, 2, 5, 6, 4)


class Many(nn.Module):
    """Several layers over one input, to one compile."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        return tuple(layer(x) for layer in self.layers)


CASES = [
    Case("channels_last", Stem(), [torch.randn(2, 5, 11)], slow=True),
    Case("conv2d_one", nn.Conv2d(4, 8, (3, 5), (2, 1), (1, 2), groups=2), [X]),
    Case(
        "conv_empty",
        lambda x, w: F.conv2d(x, w),
        [torch.randn(0, 4, 5, 5), torch.randn(2, 4, 3, 3)],
        slow=True,
    ),
    Case(
        "conv1d",
        Many(
            nn.Conv1d(4, 6, 3, padding=1),
            nn.Conv1d(4, 6, 3, stride=2, padding=1, bias=False),
            nn.Conv1d(4, 6, 4, padding="same"),
        ),
        [L],
        slow=True,
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
    Case(
        "float64",
        lambda x, w: F.conv2d(x, w, padding=1),
        [X.double(), torch.randn(6, 4, 3, 5).double()],
        slow=True,
    ),
    Case(
        "integers_dilated",
        lambda x, w: tuple(F.conv1d(x, w, padding=p, dilation=2) for p in (1, 4, 7, 9)),
        [torch.randint(-9, 9, (2, 4, 11)), torch.randint(-9, 9, (6, 4, 5))],
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
        slow=True,
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
    Case(
        "transposed",
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        [X],
        slow=True,
    ),
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
        "transposed_1d",
        Many(nn.ConvTranspose1d(4, 6, 4, 2, 1), nn.ConvTranspose1d(4, 4, 3, groups=4)),
        [L],
        slow=True,
    ),
    Case("transposed_3d", nn.ConvTranspose3d(2, 3, 2, stride=2), [V], slow=True),
    Case(
        "transposed_weight_computed",
        lambda x, w: F.conv_transpose1d(x, w * 2),
        [L, torch.randn(4, 3, 3)],
        slow=True,
    ),
    Case(
        "conv1d_dilated",
        Many(*(nn.Conv1d(4, 6, 5, padding=p, dilation=2) for p in (1, 4, 7, 9))),
        [L],
        slow=True,
    ),
]
DYNAMIC = [
    Case(
        "dynamic",
        Many(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ConvTranspose2d(4, 2, 2, stride=2)),
        [X],
        dynamic_shapes=({0: Dim("batch"), 2: Dim("height", min=4, max=64), 3: Dim("width", min=4, max=64)},),
        slow=True,
    ),
]
PARITY = Batch([*CASES, *DYNAMIC])


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)


@pytest.mark.parametrize("id", ids(DYNAMIC))
def test_one_compile_serves_other_sizes(parity: Batch, id: str) -> None:
    parity.check(id)
    for shape in ((1, 4, 4, 5), (3, 4, 16, 8)):
        parity.check(id, torch.randn(shape))
