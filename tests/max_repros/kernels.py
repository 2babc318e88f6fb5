"""Kernels and fusions that take too little, or too much."""

from __future__ import annotations

import numpy as np
from max.graph import TensorValue, ops

from tests.max_repros.repro import NAN, random, repro


def taken(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """NaN where the index is out of range, of which torch's embedding and index_select make an error."""
    return np.where(at[:, None] < 0, np.float32(NAN), x[at])


@repro(*(random(3, 2), np.array([0, -1], np.int64)), right=taken, mended_by="fxmax/rules/gather.py, gathered")
def gather_of_minus_one(x: TensorValue, at: TensorValue) -> TensorValue:
    """It counts from the back, and says nothing. What it does is documented; it is not torch's."""
    return ops.gather(x, at, 0)


@repro(random(3, 2), np.array(1, np.int64), mended_by="fxmax/rules/gather.py, gathered")
def gather_by_a_number(x: TensorValue, at: TensorValue) -> TensorValue:
    """An index without axes does not compile, and the process aborts when it ends."""
    return ops.gather(x, at, 0)


@repro(random(1, 6, 20), random(6, 1), random(6, 1), mended_by="fxmax/rules/norm.py, _grouped")
def normalized_and_scaled_by_channel(x: TensorValue, w: TensorValue, b: TensorValue) -> TensorValue:
    """Taken for a LayerNorm, whose gamma is of the last axis; does not compile."""
    centred = x - ops.mean(x)
    return centred * ops.rsqrt(ops.mean(centred * centred) + 1e-5) * w + b
