"""The convolution kernel against torch: edges of panels and vectors, settings of each axis, what is fused.

Sizes differ along every axis. Widths are around a vector's 8 and 16 floats and a panel's 32 places.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

from tests.support.parity import Batch, Case

pytestmark = pytest.mark.slow  # CI runs them: minutes of compiling

torch.manual_seed(0)
ACTIVATIONS = {
    "none": lambda y: y,
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "gelu": F.gelu,
    "gelu_tanh": lambda y: F.gelu(y, approximate="tanh"),
}


class Many(nn.Module):
    """Several layers over one input, to one graph."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(layer(x) for layer in self.layers)


class Block(nn.Module):
    """act(norm(conv(x)) + residual), where each may be missing."""

    def __init__(self, conv: nn.Module, norm: nn.Module | None = None, act: str = "none") -> None:
        super().__init__()
        self.conv, self.norm, self.act = conv, norm, ACTIVATIONS[act]
        if norm is not None:
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            for parameter in norm.parameters():
                nn.init.normal_(parameter)

    def forward(self, x: torch.Tensor, *residual: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        y = y if self.norm is None else self.norm(y)
        return self.act(y + residual[0] if residual else y)


def special(*shape: int) -> torch.Tensor:
    """Zeros, NaN and both infinities among large numbers, each in an item of its own."""
    x = torch.randn(shape) * 9
    x[0, 0, 1, 1], x[1, 1, 2, 2], x[2, 0, 0, 3], x[3] = math.nan, math.inf, -math.inf, 0
    return x


def image(*shape: int) -> torch.Tensor:
    return torch.randn(shape)


CASES = [
    *(  # places by the vector, from one item to the next, and beyond the last panel
        Case(
            f"width_{w}",
            Many(nn.Conv2d(12, 13, 3, padding=1), nn.Conv2d(12, 12, 3, groups=12, padding=1)),
            [image(3, 12, 5, w)],
        )
        for w in (1, 7, 16, 17, 33)
    ),
    Case("one_place", Many(nn.Conv2d(3, 13, (5, 4)), nn.Conv2d(3, 2, (5, 4))), [image(2, 3, 5, 4)]),
    Case(
        "strides",
        Many(*(nn.Conv2d(12, 24, 3, s, 1, groups=g) for g in (1, 12) for s in (2, 3, (1, 2), (2, 1)))),
        [image(2, 12, 19, 67)],
    ),
    Case(
        "stride_2_unpadded",
        Many(nn.Conv2d(12, 20, 1, 2), nn.Conv2d(12, 12, 1, 2, groups=12)),
        [image(2, 12, 64, 64)],
    ),
    Case(
        "dilations",
        Many(
            *(
                nn.Conv2d(12, 12, 3, padding=p, dilation=d, groups=g)
                for g in (1, 12)
                for p, d in ((0, 2), (5, (1, 3)))
            )
        ),
        [image(2, 12, 9, 20)],
    ),
    Case(
        "groups",
        Many(*(nn.Conv2d(12, f, 3, padding=1, groups=g) for f, g in ((12, 12), (24, 12), (30, 3), (12, 3)))),
        [image(2, 12, 6, 21)],
    ),
    Case("depthwise_wide", nn.Conv2d(12, 12, (3, 5), padding=(1, 2), groups=12), [image(2, 12, 7, 70)]),
    Case("many_values", nn.Conv2d(300, 13, 3, padding=1), [image(1, 300, 9, 9)]),
    Case("many_panels", nn.Conv2d(300, 13, 3, padding=1), [image(2, 300, 24, 24)]),
    Case(
        "cubes",
        Many(nn.Conv3d(2, 13, 3, padding=(2, 1, 0)), nn.Conv3d(2, 3, (2, 1, 3), (2, 1, 2), bias=False)),
        [image(2, 2, 5, 6, 18)],
    ),
    Case(
        "lines",
        Many(nn.Conv1d(12, 13, 4, padding=3), nn.Conv1d(12, 12, 3, 2, groups=12)),
        [image(2, 12, 40)],
    ),
    Case("computed_weight", lambda x, w: F.conv2d(x, w * 2), [image(2, 3, 6, 7), image(11, 3, 2, 3)]),
    *(
        Case(
            f"{act}_{'norm' if norm else 'plain'}",
            Block(nn.Conv2d(3, 13, 3, bias=not norm), nn.BatchNorm2d(13) if norm else None, act),
            # torch's float32 gelu of infinity is NaN, its float64 one infinity.
            [image(5, 3, 6, 9) if act == "gelu" else special(5, 3, 6, 9)],
        )
        for act, norm in itertools.product(ACTIVATIONS, (False, True))
        if norm or act != "none"
    ),
    Case(
        "residual",
        Block(nn.Conv2d(3, 13, 3, padding=1), nn.BatchNorm2d(13), "relu"),
        [image(3, 3, 5, 7), image(3, 13, 5, 7)],
    ),
    Case("residual_alone", Block(nn.Conv2d(3, 4, 1)), [image(2, 3, 5, 7), image(2, 4, 5, 7)]),
    Case(
        "depthwise",
        Block(nn.Conv2d(12, 12, 3, groups=12), nn.BatchNorm2d(12), "relu6"),
        [special(4, 12, 5, 9)],
    ),
    Case("bare_norm", Block(nn.Conv1d(3, 5, 3), nn.BatchNorm1d(5, affine=False)), [image(2, 3, 12)]),
    Case("norm_3d", Block(nn.Conv3d(2, 5, 2), nn.BatchNorm3d(5, eps=0.1), "silu"), [image(2, 2, 4, 5, 6)]),
    Case(
        "any_size",
        Block(nn.Conv2d(3, 13, 3, 2, 1), nn.BatchNorm2d(13), "relu"),
        [image(2, 3, 9, 11)],
        dynamic_shapes=({0: Dim("batch"), 2: Dim("height", min=3, max=99), 3: Dim("width", min=3, max=99)},),
    ),
]
FUSED = [c.id for c in CASES if isinstance(c.fn, Block)]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", [c.id for c in CASES])
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)


@pytest.mark.parametrize("id", FUSED)
def test_what_follows_is_part_of_it(parity: Batch, id: str) -> None:
    assert parity.compiled(id).report.ops() == {"fxmax.conv.default": 1}


def test_one_compile_serves_other_sizes(parity: Batch) -> None:
    for shape in ((0, 3, 4, 4), (1, 3, 3, 3), (3, 3, 40, 17)):
        parity.check("any_size", torch.randn(shape))
