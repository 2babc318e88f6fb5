"""Convolutions with their norm, sum and activation: what is fused, and why what isn't."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.support.rewritable import Residuals
from tests.support.rewritten import reasons, rewritten

torch.manual_seed(0)
X = torch.randn(1, 3, 5, 5)


def test_convolution_takes_norm_sum_and_activation() -> None:
    seen = rewritten(Residuals(), torch.randn(2, 3, 5, 7))
    assert seen.ops == ["fxmax.conv.default"] * 3
    assert seen.reasons == set()


def test_a_norm_may_have_statistics_that_come_after_the_convolution() -> None:
    def computed(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        y = F.conv2d(x, w)
        return F.relu(F.batch_norm(y, w.mean((1, 2, 3)), w.amax((1, 2, 3))))

    assert (
        rewritten(computed, torch.randn(2, 3, 5, 7), torch.rand(4, 3, 2, 2)).ops[-1] == "fxmax.conv.default"
    )


def test_a_convolution_that_is_read_twice_keeps_its_norm() -> None:
    seen = rewritten(Residuals(twice=True), torch.randn(2, 3, 5, 7))
    assert seen.ops.count("fxmax.conv.default") == 2
    assert seen.ops.count("aten.conv2d.default") == 1
    assert "aten._native_batch_norm_legit_no_training.default" in seen.ops
    assert seen.reasons == {("fuse_conv", "its result is read by others than its norm or activation too")}


@pytest.mark.parametrize(
    ("module", "x", "why"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 2), nn.ReLU()), X[0], "it has no batch axis"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 2), nn.ReLU()).double(),
            X.double(),
            "it is not in float32, which the kernel is for",
        ),
        (
            lambda x, w: F.relu(F.batch_norm(F.conv2d(x, w), None, None, training=True)),
            X,
            "its batch norm computes its statistics from the batch",
        ),
    ],
    ids=["no batch", "float64", "training"],
)
def test_convolutions_that_the_kernel_has_not_say_why(module: Any, x: torch.Tensor, why: str) -> None:
    more = [] if isinstance(module, nn.Module) else [torch.randn(4, 3, 2, 2)]
    assert "aten.conv2d.default" in rewritten(module, x, *more).ops
    assert reasons(module, x, *more, by="fuse_conv") == {why}


def test_an_activation_that_the_kernel_has_not_stays_apart() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Hardtanh(0, 5))
    assert rewritten(module, X).ops == ["fxmax.conv.default", "aten.hardtanh.default"]
    why = "its activation is a hardtanh, but not that from 0 to 6"
    assert reasons(module, X, by="fuse_conv") == {why}


def test_a_convolution_that_nothing_follows_is_none_of_its_business() -> None:
    seen = rewritten(nn.Conv2d(3, 4, 2), X)
    assert seen.ops == ["aten.conv2d.default"]
    assert seen.reasons == set()
