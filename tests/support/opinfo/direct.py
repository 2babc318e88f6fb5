"""Calls of overloads that torch's own samples do not reach: each is called as it stands.

torch's samples call the public functions, which export to one overload of several, or keep whole
an op whose parts have rules too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from tests.support.opinfo.samples import TOLERANCE, case_of, short
from tests.support.parity import Case

aten = torch.ops.aten
torch.manual_seed(0)
X = torch.randn(2, 3, 4)  # float32
IMAGE, VOLUME = torch.randn(2, 3, 5, 6), torch.randn(1, 2, 4, 5, 3)
WEIGHT, BIAS, MEAN, VAR = torch.rand(4, 3)
AT = torch.tensor([[[0, 2, 1, 0]], [[1, 1, 2, 0]]])
INTS = torch.tensor([[-7, 6, 0], [3, -1, 12]])
SHIFTS = torch.tensor([[1, 0, 3], [2, 5, 4]])
BITS = torch.tensor([[True, False, True], [True, True, True]])

CALLS: list[tuple[Any, ...]] = [
    (aten._softmax.default, X, -1, False),
    (aten._log_softmax.default, X, 1, False),
    (aten._embedding_bag.default, torch.randn(9, 4), torch.tensor([1, 8, 0, 3]), torch.tensor([0, 1])),
    (aten._native_batch_norm_legit.no_stats, IMAGE, WEIGHT, BIAS, True, 0.1, 1e-5),
    (aten._native_batch_norm_legit_no_training.default, IMAGE, WEIGHT, BIAS, MEAN, VAR, 0.1, 1e-5),
    (aten.batch_norm.default, IMAGE, WEIGHT, BIAS, MEAN, VAR, False, 0.1, 1e-5, False),
    (aten.rms_norm.default, X, [4], torch.rand(4), None),
    (aten.adaptive_avg_pool1d.default, X, [2]),
    (aten.as_strided.default, X, [2, 2, 3], [12, 1, 4], 0),
    (aten.col2im.default, torch.randn(1, 8, 12), [4, 5], [2, 2], [1, 1], [0, 0], [1, 1]),
    (aten.conv3d.default, VOLUME, torch.randn(3, 2, 2, 2, 2), WEIGHT, [1, 2, 1]),
    (aten.div.Scalar_mode, X, 0.7, {"rounding_mode": "floor"}),
    (aten.fmod.Scalar, X, 0.7),
    (aten.floor_divide.Scalar, X, 0.7),
    (aten.copysign.Scalar, X, -0.0),
    (aten.clamp_max.default, X, 0.3),
    (aten.fill.Tensor, X, torch.tensor(3.0)),
    (aten.native_dropout.default, X, 0.5, False),
    (aten.prod.dim_int, X, 1),
    (aten.var.dim, X, [1], True),
    (aten.median.dim, X, 1),
    (aten.contiguous.default, X),
    (aten.reshape.default, X, [4, -1]),
    (aten.reflection_pad2d.default, IMAGE, [1, 2, 0, 3]),
    (aten.reflection_pad3d.default, VOLUME, [1, 2, 0, 3, 1, 1]),
    (aten.replication_pad3d.default, VOLUME, [1, 2, 0, 3, 1, 1]),
    (aten.scatter.value, X, 1, AT, 2.5),
    (aten.scatter.reduce, X, 1, AT, torch.rand(2, 1, 4), {"reduce": "add"}),
    (aten.scatter.value_reduce, X, 1, AT, 2.5, {"reduce": "multiply"}),
    (aten.upsample_bilinear2d.vec, IMAGE, [7, 4], False, None),
    (aten.upsample_nearest2d.vec, IMAGE, [7, 4], None),
    (aten._upsample_bicubic2d_aa.default, IMAGE, [3, 4], False),
    (aten.all.dims, BITS, [0]),
    (aten.remainder.Scalar_Tensor, 17, INTS + 20),
    *((op.Scalar, INTS, 5) for op in (aten.bitwise_and, aten.bitwise_or, aten.bitwise_xor)),
    *((op.Scalar_Tensor, 5, INTS) for op in (aten.bitwise_and, aten.bitwise_or, aten.bitwise_xor)),
    *((op.Scalar, INTS, 5) for op in (aten.__and__, aten.__or__, aten.__xor__)),
    *((op.Tensor, INTS, SHIFTS) for op in (aten.__or__, aten.__xor__, aten.__lshift__, aten.__rshift__)),
    *((op.Scalar, INTS, 2) for op in (aten.__lshift__, aten.__rshift__)),
    *((op.Tensor_Scalar, INTS, 2) for op in (aten.bitwise_left_shift, aten.bitwise_right_shift)),
    *((op.Scalar_Tensor, 37, SHIFTS) for op in (aten.bitwise_left_shift, aten.bitwise_right_shift)),
]

FIRST_ONLY = {aten._embedding_bag.default}  # the other results are for the gradient


def cases(dtype: torch.dtype) -> Iterator[Case]:
    """The calls whose first tensor is of that dtype."""
    for target, *arguments in CALLS:
        kwargs = arguments.pop() if isinstance(arguments[-1], dict) else {}
        first = next(a for a in arguments if isinstance(a, torch.Tensor))
        if first.dtype == dtype:
            call = _first(target) if target in FIRST_ONLY else target
            given = (tuple(arguments), kwargs)
            yield case_of(f"{target}{id_of(dtype)}", call, given, TOLERANCE.get(dtype, 1e-5))


def id_of(dtype: torch.dtype) -> str:
    """What follows the overload in a case's id."""
    return f"-{short(dtype)}-direct"


def overload_of(id: str) -> tuple[str, ...]:
    """The overload that a case calls, if its id is one of these; torch may take it apart at once."""
    return (id.rsplit("-", 2)[0],) if id.endswith("-direct") else ()


def _first(target: Any) -> Any:
    return lambda *args: target(*args)[0]
