"""Our convolution kernel (`kernels/gemm/conv.mojo`): float32 on the CPU, channels-first as torch has it.

MAX's own takes five to fifteen seconds to compile for each shape, where this takes half a second, and is
the slower one. A batch norm in eval mode, a sum and the activation cost no pass of their own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from max.dtype import DType
from max.graph import TensorType, TensorValue, ops

from fxmax.core.context import Context
from fxmax.kernels.build import GEMM


class Settings(NamedTuple):
    """Of a convolution, one number for each axis."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int


class KernelSettings(NamedTuple):
    """What the kernel reads by position: `conv.mojo` has these fields' places, by the same names."""

    stride: list[int]  # of the three axes
    padding: list[int]
    dilation: list[int]
    groups: int
    has_bias: bool
    has_norm_weight: bool
    has_norm_bias: bool
    has_statistics: bool
    has_residual: bool

    def pack(self) -> np.ndarray:
        """All of them in one row of numbers."""
        return np.hstack(self).astype(np.int64)


class Norm(NamedTuple):
    """A batch norm by given statistics, each (features,)."""

    mean: TensorValue
    variance: TensorValue
    weight: TensorValue | None
    bias: TensorValue | None
    eps: float


def by_kernel(
    ctx: Context,
    x: TensorValue,
    filters: TensorValue,
    bias: TensorValue | None,
    settings: Settings,
    norm: Norm | None = None,
    residual: TensorValue | None = None,
    act: str = "",
) -> TensorValue:
    """act(norm(conv of x (batch, channels, *spatial)) + residual), filters being (F, C / groups, K…)."""
    space = len(settings.stride)
    more = [1] * (3 - space)  # the kernel takes three axes
    out = [x.shape[0], filters.shape[0], *ctx.out.shape[-space:]]
    vectors = [bias, *((norm.weight, norm.bias, norm.mean, norm.variance) if norm else [None] * 4)]
    numbers = KernelSettings(
        stride=more + settings.stride,
        padding=[0] * len(more) + settings.padding,
        dilation=more + settings.dilation,
        groups=settings.groups,
        has_bias=bias is not None,
        has_norm_weight=norm is not None and norm.weight is not None,
        has_norm_bias=norm is not None and norm.bias is not None,
        has_statistics=norm is not None,
        has_residual=residual is not None,
    )
    none = ctx.full(0, [1], DType.float32)

    def deep(v: TensorValue) -> TensorValue:
        return ops.reshape(v, [*v.shape[:2], *more, *v.shape[2:]])

    [y] = ctx.kernel(
        GEMM,
        "fxmax.conv",
        [
            deep(x),
            deep(filters),
            *(none if v is None else v for v in vectors),
            none if norm is None else ctx.full(norm.eps, [1], DType.float32),
            deep(x if residual is None else residual),
            ctx.constant(numbers.pack(), DType.int64),
        ],
        [TensorType(DType.float32, [*out[:2], *more, *out[2:]], ctx.device)],
        activation=act,
    )
    return ops.reshape(y, out)
