"""A rule's result against the type that torch gives the node."""

from __future__ import annotations

from typing import Any

import torch
from max.graph import DeviceRef, Shape, StaticDim, TensorType, TensorValue, ops

from fxmax.core.types import Symbols, compute_dtype
from fxmax.support.signals import Mistyped


def expected_type(val: Any, symbols: Symbols, device: DeviceRef) -> Any:
    """The MAX type of `meta["val"]`: a `TensorType`, a list for several results, None for none."""
    if isinstance(val, torch.Tensor):
        return TensorType(compute_dtype(val.dtype, device), [symbols.dim(s) for s in val.shape], device)
    if isinstance(val, (list, tuple)):
        return [expected_type(v, symbols, device) for v in val]
    return None


def checked(value: Any, expected: Any) -> Any:
    """`value`, proven to be `expected`; a symbolic dim that MAX wrote differently is rebound.

    Raises:
        Mistyped: it is something else.
    """
    if expected is None:
        return value
    if isinstance(expected, list):
        if not isinstance(value, (list, tuple)) or len(value) != len(expected):
            raise Mistyped(f"the rule returned {_describe(value)}; torch has {len(expected)} results")
        return [checked(v, e) for v, e in zip(value, expected, strict=True)]
    wanted = f"torch has {_name(expected)}"
    if not isinstance(value, TensorValue):
        raise Mistyped(f"the rule returned {_describe(value)}; {wanted}")
    if value.dtype != expected.dtype or not _may_equal(value.shape, expected.shape):
        raise Mistyped(f"the rule returned {_describe(value)}; {wanted}")
    return value if value.shape == expected.shape else ops.rebind(value, expected.shape)


def _may_equal(a: Shape, b: Shape) -> bool:
    """Same rank, and no axis where two static sizes differ."""
    return len(a) == len(b) and all(
        x == y or not (isinstance(x, StaticDim) and isinstance(y, StaticDim))
        for x, y in zip(a, b, strict=True)
    )


def _name(kind: TensorType | TensorValue) -> str:
    return f"{kind.dtype.name}[{', '.join(map(str, kind.shape))}]"


def _describe(value: Any) -> str:
    if isinstance(value, TensorValue):
        return _name(value)
    if isinstance(value, (list, tuple)):
        return f"{len(value)} results ({', '.join(map(_describe, value))})"
    return f"a {type(value).__name__}"
