"""The tolerances: above what torch's float32 really errs, far below what a fault does. No MAX."""

import pytest
import torch

from fxmax.fx.schema import bind
from fxmax.verification.tolerances.derive import tolerance

aten = torch.ops.aten
U = torch.finfo(torch.float32).eps / 2


def r(*shape):
    return torch.randn(*shape)


CASES = {
    "linear": lambda: (aten.linear.default, (r(50, 384), r(64, 384) * 0.05, r(64) * 0.02)),
    "matmul": lambda: (aten.matmul.default, (r(4, 64, 300), r(4, 300, 32))),
    "positive matmul": lambda: (aten.mm.default, (r(8, 5000).abs(), r(5000, 8).abs())),
    "addmm": lambda: (aten.addmm.default, (r(7), r(5, 60), r(60, 7))),
    "conv1d": lambda: (aten.conv1d.default, (r(1, 80, 100), r(32, 80, 3) * 0.1, r(32), [2], [1])),
    "conv2d": lambda: (aten.conv2d.default, (r(2, 16, 20, 20), r(8, 16, 3, 3), None)),
    "conv, norm and sum": lambda: (
        torch.ops.fxmax.conv.default,
        (
            *(r(2, 16, 20, 20), r(8, 16, 3, 3), r(8), r(8), r(8), r(8), r(8).abs() + 0.1, r(2, 8, 20, 20)),
            *([1, 1], [1, 1], [1, 1], 1, 1e-5, "hardswish"),
        ),
    ),
    "transposed": lambda: (
        aten.convolution.default,
        (r(1, 8, 9), r(8, 4, 3), None, [2], [1], [1], True, [0], 1),
    ),
    "sum": lambda: (aten.sum.dim_IntList, (r(10, 10000), [1])),
    "mean": lambda: (aten.mean.dim, (r(10, 10000) + 5, [1])),
    "cumsum": lambda: (aten.cumsum.default, (r(10, 1000), 1)),
    "gelu": lambda: (aten.gelu.default, (r(1000) * 4,)),
    "exp": lambda: (aten.exp.default, (r(1000) * 10,)),
    "log": lambda: (aten.log.default, (r(1000).abs() + 0.5,)),
    "sigmoid": lambda: (aten.sigmoid.default, (r(1000) * 10,)),
    "a difference that cancels": lambda: (aten.sub.Tensor, (r(1000) + 1e4, torch.full((1000,), 1e4))),
    "power": lambda: (aten.pow.Tensor_Scalar, (r(1000), 3)),
    "softmax": lambda: (aten.softmax.int, (r(4, 1500) * 8, -1)),
    "log_softmax": lambda: (aten.log_softmax.int, (r(4, 1500) * 8, -1)),
    "layer_norm": lambda: (aten.layer_norm.default, (r(50, 384) * 3 + 2, [384], r(384), r(384), 1e-5)),
    "group_norm": lambda: (aten.group_norm.default, (r(2, 32, 50), 4, r(32), r(32), 1e-5)),
    "attention": lambda: (
        aten.scaled_dot_product_attention.default,
        (r(1, 4, 200, 64), r(1, 4, 300, 64), r(1, 4, 300, 64)),
    ),
    "causal attention": lambda: (
        aten.scaled_dot_product_attention.default,
        (r(1, 2, 30, 16), r(1, 2, 30, 16), r(1, 2, 30, 16), None, 0.0, True),
    ),
    "attention of beams that share a cache": lambda: (
        torch.ops.fxmax.cached_attention.default,
        (r(6, 4, 1, 64), r(3, 2, 4, 50, 64), None, r(3, 2, 4, 50, 64), None, 44, None),
    ),
    "batch norm in training": lambda: (
        aten.batch_norm.default,
        (r(8, 5, 30) + 3, r(5), r(5), None, None, True, 0.1, 1e-5, False),
    ),
    "a product taken away": lambda: (
        aten.addmm.default,
        (r(8, 8) + 100, r(8, 16), r(16, 8)),
        {"beta": -1, "alpha": 2},
    ),
    "an op without a formula": lambda: (aten.logsumexp.default, (r(10, 500), [1])),
}


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_within(name):
    for seed in range(5):
        torch.manual_seed(seed)
        target, args, *rest = CASES[name]()
        kwargs = rest[0] if rest else {}
        exact = target(*[a.double() if isinstance(a, torch.Tensor) else a for a in args], **kwargs)
        got = target(*args, **kwargs)
        allowed = tolerance(target, bind(target, args, kwargs), got, U)
        assert bool(((got.double() - exact).abs() <= allowed).all())
        scale = max(float(a.abs().max()) for a in [exact, *args] if isinstance(a, torch.Tensor))
        assert float(allowed.max()) < 4e-4 * scale  # and is no blank cheque


def test_moving_data_is_exact():
    x = r(3, 4)
    for target, args in [(aten.permute.default, (x, [1, 0])), (aten.view.default, (x, [12]))]:
        assert float(tolerance(target, bind(target, args, {}), target(*args), U)) == 0


def test_a_missing_bias_of_typical_size_always_trips():
    """Whisper's smallest and largest widths, and biases a twentieth of what they are there."""
    for width in (384, 1280):
        x, weight, bias = r(20, width), r(width, width) * 0.04, r(width) * 0.01
        full = torch.nn.functional.linear(x, weight, bias)
        allowed = tolerance(
            aten.linear.default, bind(aten.linear.default, (x, weight, bias), {}), full, 2 * U
        )
        excess = (full - torch.nn.functional.linear(x, weight)).abs() / allowed
        assert float(excess.max()) > 100


def strassen(x, weight):
    """x @ weight.T as strassen.mojo does it: rows r and r + 12 of 24, columns j and j + 32 of 64."""
    rows, columns = x.unflatten(0, (-1, 2, 12)), weight.unflatten(0, (-1, 2, 32))
    (a11, a12), (a21, a22) = (rows[:, i].flatten(0, 1).chunk(2, 1) for i in range(2))
    (b11, b21), (b12, b22) = (columns[:, i].flatten(0, 1).T.chunk(2, 0) for i in range(2))
    p, q, s, t = (a11 + a22) @ (b11 + b22), (a21 + a22) @ b11, a11 @ (b12 - b22), a22 @ (b21 - b11)
    u, v, w = (a11 + a12) @ b22, (a21 - a11) @ (b11 + b12), (a12 - a22) @ (b21 + b22)
    halves = [((p + t - u + w), (s + u)), ((q + t), (p - q + s + v))]
    tiles = [torch.stack([c.unflatten(1, (-1, 32)) for c in half], 2).flatten(1) for half in halves]
    return torch.stack([c.unflatten(0, (-1, 12)) for c in tiles], 1).flatten(0, 2)


@pytest.mark.parametrize("unlike", [False, True])
def test_strassens_rounding_is_allowed_and_a_missing_bias_is_not(unlike):
    target = torch.ops.fxmax.linear.default
    for width in (384, 1280):
        x, weight, bias = r(48, width), r(width // 128 * 64, width) * 0.04, r(width // 128 * 64) * 0.01
        if unlike:
            x[7] *= 7  # as unlike as rows that are mixed can be
        exact = x.double() @ weight.double().T
        got = strassen(x, weight)
        allowed = tolerance(target, bind(target, (x, weight, None, None, "", True), {}), got, 2 * U)
        error = (got.double() - exact).abs()
        assert float((got - x @ weight.T).abs().max()) > 0  # it is another product
        assert bool((error <= allowed).all())
        assert float((bias / allowed).abs().max()) > 10
