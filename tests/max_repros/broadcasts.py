"""Broadcasts that MAX fuses with what reads them, and reads at other positions."""

from __future__ import annotations

import numpy as np
from max.graph import TensorValue, ops

from tests.max_repros.repro import random, repro

WORKAROUND = "fxmax/lowering/broadcast_workaround.py"
ONE_AXIS = "fxmax/rules/lib/one_axis.py, one_axis"
X, M, C, R = random(2, 3, 4), random(3, 4), random(4), random(3)
PIXEL, FILTER, SCALE = random(2, 1, 1, 32), random(1, 1, 32, 32), random(32)


@repro(X, M, C, symbolic=("b n k", "n k", "k"), right=lambda x, m, c: x * (m + c), mended_by=WORKAROUND)
def broadcast_of_a_broadcast_sum(x: TensorValue, m: TensorValue, c: TensorValue) -> TensorValue:
    """With sizes that vary, every position reads the inner broadcast's first element."""
    return x * (m + c)


@repro(
    *(X, M, R),
    symbolic=("b n k", "n k", "n"),
    right=lambda x, m, r: np.broadcast_to(m - r[:, None], x.shape),
    mended_by=WORKAROUND,
)
def difference_of_two_broadcasts(x: TensorValue, m: TensorValue, r: TensorValue) -> TensorValue:
    """MAX moves a broadcast that both operands have behind the op, which broadcasts twice again."""
    return ops.broadcast_to(m, x.shape) - ops.broadcast_to(ops.unsqueeze(r, 1), x.shape)


@repro(R, symbolic=("n",), right=lambda r: np.tile(r, (2, 1))[:, 1:], mended_by=WORKAROUND)
def slice_of_a_broadcast(r: TensorValue) -> TensorValue:
    """With a size that varies, a slice that does not start at 0 reads from position 0."""
    return ops.broadcast_to(ops.unsqueeze(r, 0), [2, r.shape[0]])[:, 1:]


@repro(random(1, 4), right=lambda x: np.broadcast_to(x, (4, 4)).sum(1, keepdims=True), mended_by=ONE_AXIS)
def sum_of_a_broadcast(x: TensorValue) -> TensorValue:
    """The sum is left out: the rows of the result are the columns of x."""
    return ops.sum(ops.broadcast_to(x, [4, 4]), 1)


@repro(random(1, 4), mended_by=ONE_AXIS)
def sum_of_a_broadcast_to_another_size(x: TensorValue) -> TensorValue:
    """The same with 3 rows and 4 columns: input shape not broadcastable to result shape."""
    return ops.sum(ops.broadcast_to(x, [3, 4]), 1)


@repro(
    *(PIXEL, FILTER, SCALE),
    right=lambda x, w, s: ((x.reshape(2, 32) @ w.reshape(32, 32)) * s).reshape(2, 32, 1, 1),
    mended_by="fxmax/rules/lib/promotion.py, broadcasting",
)
def factor_of_a_convolution_before_axes_of_one(x: TensorValue, w: TensorValue, s: TensorValue) -> TensorValue:
    """Fused with a convolution or product, a factor (32, 1, 1) of (2, 32, 1, 1) is read elsewhere."""
    return ops.permute(ops.conv2d(x, w), [0, 3, 1, 2]) * ops.reshape(s, [32, 1, 1])
