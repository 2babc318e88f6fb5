"""Normalizations and resizing against torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.support.parity import Batch, Case, ids

torch.manual_seed(0)
X = torch.randn(2, 6, 5, 4) * 3 + 1
L = torch.randn(2, 6, 5)


def scaled(module: nn.Module) -> nn.Module:
    """With weights, biases and statistics that are not 1 and 0."""
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.dtype.is_floating_point:
            value.data = torch.rand_like(value) + (0.5 if "var" in name else 0)
    return module


class Many(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList([scaled(layer) for layer in layers])

    def forward(self, x):
        return tuple(layer(x) for layer in self.layers)


CASES = [
    Case(
        "norms",
        Many(
            nn.LayerNorm(4),
            nn.BatchNorm2d(6),
        ),
        [X],
    ),
    Case(
        "norms_more",
        Many(
            nn.LayerNorm((5, 4), eps=1e-3),
            nn.LayerNorm(4, eps=0.0),
            nn.RMSNorm(4),
            nn.GroupNorm(3, 6),
            nn.LayerNorm(4, elementwise_affine=False),
            nn.LayerNorm(4, bias=False),
            nn.GroupNorm(6, 6, affine=False),
            nn.RMSNorm((5, 4), eps=1e-2),
            nn.BatchNorm2d(6, affine=False),
            nn.BatchNorm2d(6, track_running_stats=False),
            nn.InstanceNorm2d(6),
            nn.InstanceNorm2d(6, affine=True, track_running_stats=True),
            nn.LocalResponseNorm(3),
        ),
        [X],
        slow=True,
    ),
    Case("norms_1d", Many(nn.BatchNorm1d(6), nn.GroupNorm(2, 6), nn.InstanceNorm1d(6)), [L], slow=True),
    # MAX took such a scale and shift for its LayerNorm's, and did not compile (Wav2Vec2's first layer).
    Case("norms_by_channel", Many(nn.GroupNorm(6, 6), nn.InstanceNorm1d(6, affine=True)), [L[:1]], slow=True),
    Case("batch_norm_2d_input", scaled(nn.BatchNorm1d(5)), [L[0]], slow=True),
    Case("native_layer_norm", lambda x: torch.native_layer_norm(x, [5, 4], None, None, 1e-5), [X], slow=True),
    Case("layer_norm_empty", lambda x: F.layer_norm(x, (4,)), [torch.randn(0, 4)], slow=True),
    Case(
        "normalize", lambda x: (F.normalize(x, dim=1), F.cosine_similarity(x, x.flip(0), 1)), [X], slow=True
    ),
    Case(
        "resize",
        lambda x: (F.interpolate(x, size=(7, 3)), F.interpolate(x, scale_factor=2, mode="bilinear")),
        [X],
        slow=True,
    ),
    Case(
        "antialiased",
        lambda x: F.interpolate(x, size=(3, 9), mode="bilinear", antialias=True),
        [X],
    ),
    Case(
        "antialiased_more",
        lambda x: (
            F.interpolate(x, scale_factor=0.6, mode="bicubic", antialias=True),
            F.interpolate(x, size=(2, 3), mode="bilinear", antialias=True, align_corners=True),
        ),
        [X],
        slow=True,
    ),
    Case(
        "nearest",
        lambda x, y: (
            F.interpolate(x, scale_factor=2),
            F.interpolate(x, size=(7, 3), mode="nearest-exact"),
            F.interpolate(y, scale_factor=1.5),
        ),
        [X, L],
        slow=True,
    ),
    Case(
        "bilinear",
        lambda x: (
            F.interpolate(x, size=(3, 9), mode="bilinear"),
            F.interpolate(x, size=(3, 9), mode="bilinear", align_corners=True),
        ),
        [X],
        slow=True,
    ),
    Case("linear", lambda x: F.interpolate(x, size=8, mode="linear"), [L], slow=True),
    Case(
        "bicubic",
        lambda x: (
            F.interpolate(x, size=(8, 3), mode="bicubic"),
            F.interpolate(x, size=(8, 3), mode="bicubic", align_corners=True),
        ),
        [X],
        slow=True,
    ),
    *(
        Case(
            f"grid_sample_{mode}_{padding}",
            lambda x, g, m=mode, p=padding: F.grid_sample(x, g, m, p, align_corners=m == "nearest"),
            [X, torch.rand(2, 3, 4, 2) * 2.6 - 1.3],
            slow=True,
        )
        for mode, padding in (("bilinear", "zeros"), ("nearest", "border"), ("bicubic", "reflection"))
    ),
    Case("shuffles", lambda x: (F.pixel_shuffle(x[:, :4], 2), F.channel_shuffle(x, 3)), [X], slow=True),
    Case("unfold_fold", lambda x: F.fold(F.unfold(x, 2, padding=1), (5, 4), 2, padding=1), [X], slow=True),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)
