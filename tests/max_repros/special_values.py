"""NaN and infinities: what MAX folds as if there were none, and what its ops make of them."""

from __future__ import annotations

import numpy as np
from max.dtype import DType
from max.graph import TensorValue, ops

from tests.max_repros.repro import INF, NAN, ONES, SPECIAL, random, repro

FOLDING = "fxmax/rules/lib/max_folding.py"
ROW = SPECIAL[None]

# -- folded ---------------------------------------------------------------------------------------


@repro(SPECIAL, right=lambda x: x * np.float32(0), mended_by=f"{FOLDING}, zero")
def times_zero(x: TensorValue) -> TensorValue:
    return x * 0.0


@repro(SPECIAL, right=lambda x: x - x, mended_by=f"{FOLDING}, same")
def minus_itself(x: TensorValue) -> TensorValue:
    return x - x


@repro(SPECIAL, right=lambda x: x + -x, mended_by=f"{FOLDING}, opposite")
def plus_its_negative(x: TensorValue) -> TensorValue:
    return x + ops.negate(x)


@repro(SPECIAL, right=lambda x: np.equal(x, x), mended_by="fxmax/rules/compare.py, _not_of_nan")
def equal_to_itself(x: TensorValue) -> TensorValue:
    return ops.equal(x, x)


@repro(SPECIAL, right=lambda x: x + 1 >= x + 1, mended_by="fxmax/rules/compare.py, _not_of_nan")
def at_least_the_same_sum(x: TensorValue) -> TensorValue:
    """Equal expressions are merged first."""
    return ops.greater_equal(x + 1.0, x + 1.0)


# -- ops ------------------------------------------------------------------------------------------


@repro(SPECIAL, ONES, right=np.maximum, mended_by="fxmax/rules/arithmetic.py, _or_nan")
def max_of_nan(x: TensorValue, y: TensorValue) -> TensorValue:
    return ops.max(x, y)


@repro(SPECIAL, ONES, right=np.minimum, mended_by="fxmax/rules/arithmetic.py, _or_nan")
def min_of_nan(x: TensorValue, y: TensorValue) -> TensorValue:
    return ops.min(x, y)


@repro(ROW, right=lambda x: x.max(1, keepdims=True), mended_by="fxmax/rules/reduce.py, _or_nan")
def greatest_of_nan(x: TensorValue) -> TensorValue:
    return ops.max(x, axis=1)


@repro(ROW, right=lambda x: x.min(1, keepdims=True), mended_by="fxmax/rules/reduce.py, _or_nan")
def least_of_nan(x: TensorValue) -> TensorValue:
    return ops.min(x, axis=1)


@repro(SPECIAL, right=lambda x: np.maximum(x, 0), mended_by="fxmax/rules/activation.py, relu")
def relu_of_nan(x: TensorValue) -> TensorValue:
    return ops.relu(x)


@repro(SPECIAL, right=np.exp, mended_by="fxmax/rules/unary.py, exp")
def exp_of_nan(x: TensorValue) -> TensorValue:
    return ops.exp(x)


@repro(SPECIAL, right=lambda x: 1 / (1 + np.exp(-x)), mended_by="fxmax/rules/unary.py, keeping_nan")
def sigmoid_of_nan(x: TensorValue) -> TensorValue:
    return ops.sigmoid(x)


@repro(SPECIAL, right=np.tanh, mended_by="fxmax/rules/unary.py, keeping_nan")
def tanh_of_nan(x: TensorValue) -> TensorValue:
    return ops.tanh(x)


@repro(
    np.array([NAN, 1, -1, -INF, -2, 0], np.float32),
    np.array([0, NAN, INF, 3, 3, -1], np.float32),
    right=np.power,
    mended_by="fxmax/rules/arithmetic.py, power",
)
def pow_of_special_values(x: TensorValue, y: TensorValue) -> TensorValue:
    """1 to the NaN is 1."""
    return ops.pow(x, y)


@repro(SPECIAL, ONES, right=np.not_equal, mended_by="fxmax/rules/lib/promotion.py, not_equal")
def not_equal_of_nan(x: TensorValue, y: TensorValue) -> TensorValue:
    return ops.not_equal(x, y)


@repro(SPECIAL, ONES, right=np.less, mended_by="fxmax/rules/lib/promotion.py, less")
def less_of_nan(x: TensorValue, y: TensorValue) -> TensorValue:
    """The operators are made of `not >=` and `not >`, which are true of NaN."""
    return x < y


@repro(SPECIAL, ONES, right=np.less_equal, mended_by="fxmax/rules/compare.py, _less_equal")
def less_equal_of_nan(x: TensorValue, y: TensorValue) -> TensorValue:
    return x <= y


@repro(SPECIAL, right=lambda x: x.astype(bool), mended_by="fxmax/rules/lib/values.py, cast")
def bool_of_nan(x: TensorValue) -> TensorValue:
    return ops.cast(x, DType.bool)


@repro(
    np.array([[1, INF, 2]], np.float32),
    right=lambda x: np.full_like(x, NAN),
    mended_by="fxmax/rules/softmax.py, _last",
)
def softmax_of_infinity(x: TensorValue) -> TensorValue:
    """exp(inf - inf) is NaN, and so are the sum and what is divided by it."""
    return ops.softmax(x)


@repro(
    np.array([[1, NAN, 3]], np.float32),
    right=lambda x: x.argmax(1)[:, None],
    mended_by="fxmax/rules/sort.py, argmax",
)
def argmax_of_nan(x: TensorValue) -> TensorValue:
    return ops.argmax(x, axis=1)


@repro(
    *(random(3, 2), np.array([[1, NAN], [NAN, 1], [0, 0]], np.float32), np.zeros((3, 2), np.int64)),
    right=lambda x, y, at: np.concatenate([np.full((1, 2), NAN, np.float32), x[1:]]),
    mended_by="fxmax/rules/scatter.py, spoilt",
)
def scatter_max_of_nan(x: TensorValue, y: TensorValue, at: TensorValue) -> TensorValue:
    return ops.scatter_max(x, y, at, 0)
