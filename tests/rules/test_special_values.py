"""NaN, infinities, signed zeros, overflow, ties, 0-d and empty tensors: where backends differ from torch.

Each case is one graph with an output for each op, so that a family costs one compile.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.support.parity import Batch, Case, ids

F = torch.nn.functional
INF, NAN = float("inf"), float("nan")
X = torch.tensor([0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 20, -20, 95, -104, INF, -INF, NAN])
A, B = (t.flatten() for t in torch.meshgrid(X, X, indexing="ij"))
I = torch.tensor([0, 1, -1, 7, -7, 64, 63, 2**31 - 1, -(2**31)])  # noqa: E741
P, Q = (t.flatten() for t in torch.meshgrid(I, I, indexing="ij"))
DIM = torch.export.Dim("n", min=2)
ROWS = torch.tensor([[1, NAN, 3, -INF], [2, 2, -0.0, 0.0], [INF, -INF, 1, INF], [-1, -2, -3, -1]])

UNARY = """abs acos acosh angle asin asinh atan atanh ceil cos cosh erf erfc exp exp2 expm1 floor isinf isnan
    log log10 log1p log2 logical_not neg reciprocal relu round rsqrt sgn sigmoid sign signbit sin sinh sqrt
    tan tanh trunc"""
BINARY = """add sub mul div maximum minimum fmax fmin fmod remainder floor_divide pow atan2 copysign hypot eq
    ne lt le gt ge logical_and logical_or logical_xor"""
INTEGER = "add sub mul maximum minimum eq lt bitwise_and bitwise_or bitwise_xor"
DIVIDING = "remainder fmod floor_divide true_divide"
ALONG = """sum mean prod amax amin argmax argmin logsumexp cumsum cumprod cummax cummin sort any all
    std"""


EITHER_ZERO = {"maximum", "minimum", "fmax", "fmin"}  # of 0.0 and -0.0, torch takes either


def each(names: str) -> Callable[..., dict[str, object]]:
    return lambda *values: {name: getattr(torch, name)(*values) for name in names.split()}


def along(dim: int) -> Callable[[torch.Tensor], dict[str, object]]:
    return lambda x: {name: getattr(torch, name)(x, dim=dim) for name in ALONG.split()}


def activations(x: torch.Tensor) -> dict[str, object]:
    return {
        "leaky_relu": F.leaky_relu(x),
        "elu": F.elu(x),
        "hardtanh": F.hardtanh(x),
        "hardswish": F.hardswish(x),
        "softplus": F.softplus(x),
        "clamp": x.clamp(-1, 2),
        "nan_to_num": x.nan_to_num(1, 2, 3),
        "bool": x.bool(),
        "pow2": x**2,
        "pow-1": x**-1.0,
        "pow0.5": x**0.5,
        "pow3": x**3,
        "pow-2": x**-2.0,
        "2pow": 2**x,
        "floor": torch.div(x, 2, rounding_mode="floor"),
        "trunc": torch.div(x, 0.3, rounding_mode="trunc"),
    }


def empties(x: torch.Tensor) -> dict[str, object]:
    return {
        "sum": x.sum(),
        "sum0": x.sum(0),
        "mean": x.mean(),
        "prod1": x.prod(1),
        "amax1": x.amax(1),
        "any": x.any(),
        "all": x.all(),
        "exp": x.exp() + 1,
        "sort": x.sort(1),
        "cumsum": x.cumsum(0),
        "argmax1": x.argmax(1),
        "var": x.var(1),
    }


def scalars(x: torch.Tensor, n: torch.Tensor) -> dict[str, object]:
    return {
        "sum": x.sum(),
        "argmax": x.argmax(),
        "max": x.max(0),
        "sort": x.sort(),
        "cumsum": x.cumsum(0),
        "topk": x.topk(1),
        "add": x + n,
        "half": n / 2,
        "int": n // 2,
        "std": x.std(correction=0),
    }


def any_size(x: torch.Tensor) -> dict[str, object]:
    """With a symbolic first dim."""
    n = x.shape[0]
    return {
        "arange": torch.arange(n) * 2 + torch.arange(1, n + 1),
        "full": torch.full((n, 2), n),
        "zeros_like": torch.zeros_like(x),
        "sum": x.sum(),
        "mean": x.mean(0),
        "var": x.var(0),
        "argmax": x.argmax(0),
        "flat_argmax": x.argmax(),
        "sort": x.sort(0),
        "topk": x.topk(2, dim=-1),
        "cumsum": x.cumsum(0),
        "cumprod": x.cumprod(0),
        "mul": x * n,
        "any": (x > 1).any(1),
        "tril": x @ x.T.tril(),
    }


def common(x: torch.Tensor, rows: torch.Tensor) -> dict[str, object]:
    """What models use most, for the quick run."""
    return {
        "relu": x.relu(),
        "exp": x.exp(),
        "bool": x.bool(),
        "clamp": x.clamp(-1, 2),
        "amax": rows.amax(-1),
    }


CASES = [
    Case("common", common, [X, ROWS]),
    Case("unary", each(UNARY), [X], slow=True),
    Case("binary", each(BINARY), [A, B], slow=True),
    Case("activations", activations, [X], slow=True),
    Case("integers", each(INTEGER), [P, Q], slow=True),
    Case("integer_division", each(DIVIDING), [P, torch.where(Q == 0, 3, Q)], slow=True),
    Case("shifts", lambda a, b: {"l": a << b, "r": a >> b, "not": ~a}, [P, Q.clamp(-2, 70)], slow=True),
    Case("bytes", each(INTEGER), [P.to(torch.uint8), Q.to(torch.uint8)], slow=True),
    Case("rows", along(-1), [ROWS], slow=True),
    Case("columns", along(0), [ROWS], slow=True),
    Case("empty", empties, [torch.zeros(0, 3)], slow=True),
    Case("zero_dim", scalars, [torch.tensor(3.0), torch.tensor(7)], slow=True),
    Case(
        "any_size",
        any_size,
        [torch.randn(4, 3)],
        dynamic_shapes=({0: torch.export.Dim("n", min=2)},),
        slow=True,
    ),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    check(parity, id, *parity.cases[id].inputs)


@pytest.mark.slow
@pytest.mark.parametrize("id", ["any_size"])
def test_another_size(parity: Batch, id: str) -> None:
    check(parity, id, torch.randn(9, 3))


def check(parity: Batch, id: str, *inputs: torch.Tensor) -> None:
    actual = parity.compiled(id)(*inputs)
    expected = parity.cases[id].module(*inputs)
    wrong = [text for name in expected for text in differences(name, actual[name], expected[name])]
    assert not wrong, "\n".join(wrong)


def differences(name: str, actual: object, expected: object) -> list[str]:
    """Where two results differ, including the sign of zeros."""
    if isinstance(expected, tuple):
        pairs = zip(actual, expected, strict=True)  # type: ignore[call-overload]
        return [text for i, (a, e) in enumerate(pairs) for text in differences(f"{name}[{i}]", a, e)]
    assert isinstance(actual, torch.Tensor)
    assert isinstance(expected, torch.Tensor)
    if (actual.dtype, actual.shape) != (expected.dtype, expected.shape):
        return [f"{name}: {actual.dtype}{list(actual.shape)}, torch {expected.dtype}{list(expected.shape)}"]
    a, e = actual.numpy(), expected.numpy()
    if expected.is_floating_point():
        with np.errstate(invalid="ignore"):
            bad = ~np.isclose(a, e, rtol=1e-5, atol=1e-6, equal_nan=True)
        if name not in EITHER_ZERO:
            bad |= (e == 0) & (a == 0) & (np.signbit(a) != np.signbit(e))
    else:
        bad = a != e
    return [f"{name}{tuple(map(int, i))}: {a[tuple(i)]}, torch {e[tuple(i)]}" for i in np.argwhere(bad)][:4]
