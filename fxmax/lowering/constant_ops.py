"""MAX's ops on constants in numpy: those of one right result, since it is rounded at most once.

An evaluator returns None for operands of which that is not so, such as a NaN to choose from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class Made:
    """What an op is to make, and its MLIR attributes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any]


Evaluate = Callable[[Arrays, Made], "np.ndarray | None"]


def alike(arrays: Arrays) -> bool:
    """Of one dtype."""
    return len({a.dtype for a in arrays}) == 1


def bools(arrays: Arrays) -> bool:
    """All of bools: on integers MAX's `not` is another."""
    return all(a.dtype == bool for a in arrays)


def ordered(arrays: Arrays) -> bool:
    """Of one dtype, without NaN, and without a zero that has two signs."""
    return alike(arrays) and not any(np.isnan(a).any() or np.signbit(a[a == 0]).any() for a in arrays)


def naturals(arrays: Arrays) -> bool:
    """Integers that are not negative, the last of them not 0: all ways to round a quotient agree."""
    return (
        alike(arrays)
        and arrays[0].dtype.kind in "iu"
        and min(a.min() for a in arrays) >= 0 < arrays[-1].min()
    )


def of(function: Callable[..., Any], where: Callable[[Arrays], bool] = alike) -> Evaluate:
    """A function of numpy's, for operands of which `where` holds."""
    return lambda arrays, made: np.asarray(function(*arrays)) if where(arrays) else None


def _divide(arrays: Arrays, made: Made) -> np.ndarray | None:
    if alike(arrays) and made.dtype.kind == "f":
        return np.asarray(arrays[0] / arrays[1])
    return np.asarray(arrays[0] // arrays[1]) if naturals(arrays) else None


def _cast(arrays: Arrays, made: Made) -> np.ndarray | None:
    """Not of floats to integers that don't hold them."""
    [x] = arrays
    cast = x.astype(made.dtype)
    return cast if x.dtype.kind != "f" or made.dtype.kind == "f" or (cast == np.trunc(x)).all() else None


def in_float64(function: Callable[..., Any]) -> Evaluate:
    """A function of floats that are not float64 themselves, rounded once."""

    def evaluate(arrays: Arrays, made: Made) -> np.ndarray | None:
        clear = alike(arrays) and made.dtype.kind == "f" and made.dtype.itemsize < 8
        return np.asarray(function(*(a.astype(np.float64) for a in arrays)), made.dtype) if clear else None

    return evaluate


def _range(arrays: Arrays, made: Made) -> np.ndarray | None:
    """The numbers that float64 has before they are rounded, or integers without doubt."""
    start, _, step = map(float, arrays)
    numbers = start + step * np.arange(*made.shape)
    return numbers.astype(made.dtype) if np.abs(numbers).max() < 2**53 else None


def _gather(arrays: Arrays, made: Made) -> np.ndarray | None:
    x, indices = arrays
    axis = int(made.attributes["axis"])
    inside = (indices >= 0).all() and (indices < x.shape[axis]).all()
    return np.take(x, indices, axis) if inside else None


def _sum(arrays: Arrays, made: Made) -> np.ndarray | None:
    """Of whole numbers, which the dtype holds: how other sums are rounded depends on the order."""
    [x] = arrays
    axis = int(made.attributes["axis"])
    exact = x.dtype.kind in "iu" or (
        (np.mod(x, 1) == 0).all() and np.abs(x).sum() < 2 / np.finfo(x.dtype).eps
    )
    return np.sum(x, axis, x.dtype, keepdims=True) if exact else None


def _transpose(arrays: Arrays, made: Made) -> np.ndarray:
    x, permutation = arrays
    return np.transpose(x, permutation.tolist())


def _slice(arrays: Arrays, made: Made) -> np.ndarray | None:
    starts, stops, steps = (_numbers(made.attributes[name]) for name in ("starts", "stops", "steps"))
    if starts is None or stops is None or steps is None or min(*starts, *stops) < 0 or min(steps) < 1:
        return None
    return arrays[0][tuple(map(slice, starts, stops, steps))]


def _numbers(shape: Any) -> list[int] | None:
    """`#mosh<ape[1, 0]> : !mosh.ape` as numbers, if all are."""
    found = re.fullmatch(r"#mosh<ape\[(-?\d+(?:, -?\d+)*)\]> : !mosh\.ape", str(shape))
    return [int(number) for number in found.group(1).split(", ")] if found else None


EVALUATE: dict[str, Evaluate] = {
    "mo.cast": _cast,
    "rmo.add": of(np.add),
    "rmo.and": of(np.logical_and, bools),
    "rmo.concat": lambda arrays, made: np.concatenate(arrays, int(made.attributes["axis"])),
    "rmo.div": _divide,
    "rmo.equal": of(np.equal),
    "rmo.greater": of(np.greater),
    "rmo.greater_equal": of(np.greater_equal),
    "rmo.max": of(np.maximum, ordered),
    "rmo.min": of(np.minimum, ordered),
    "rmo.mo.abs": of(np.abs),
    "rmo.mo.cos": in_float64(np.cos),
    "rmo.mo.exp": in_float64(np.exp),
    "rmo.mo.floor": of(np.floor),
    "rmo.mo.gather": _gather,
    "rmo.mo.is_nan": of(np.isnan),
    "rmo.mo.log": in_float64(np.log),
    "rmo.mo.negative": of(np.negative),
    "rmo.mo.not": of(np.logical_not, bools),
    "rmo.mo.range": _range,
    "rmo.mo.reduce.add": _sum,
    "rmo.mo.rsqrt": in_float64(lambda x: 1 / np.sqrt(x)),
    "rmo.mo.sin": in_float64(np.sin),
    "rmo.mo.sqrt": in_float64(np.sqrt),
    "rmo.mo.transpose": _transpose,
    "rmo.mod": of(np.remainder, naturals),
    "rmo.mul": of(np.multiply),
    "rmo.not_equal": of(np.not_equal),
    "rmo.or": of(np.logical_or, bools),
    "rmo.pow": in_float64(np.power),
    "rmo.rebind_tensor_shape": lambda arrays, made: arrays[0].reshape(made.shape),
    "rmo.reshape": lambda arrays, made: arrays[0].reshape(made.shape),
    "rmo.select": lambda arrays, made: np.where(*arrays) if bools(arrays[:1]) and alike(arrays[1:]) else None,
    "rmo.slice": _slice,
    "rmo.sub": of(np.subtract),
    "rmo.xor": of(np.logical_xor, bools),
}
"""MLIR name → its evaluator."""
