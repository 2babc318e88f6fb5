"""The kernels that go row by row, against torch: layer norm and slices by index, and what they refuse.

Widths are around a vector's 8 and 16 floats; the large cases are shared by several threads.
"""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim
from torch.nn import functional as F

import fxmax
from tests.support.parity import Batch, Case

pytestmark = pytest.mark.slow  # CI runs them: minutes of compiling

torch.manual_seed(0)
x = torch.randn
rows, count = Dim("rows"), Dim("count")


def norms(y: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> list[torch.Tensor]:
    """Layer norms over the last 1 to 33 places, each in its own width, with and without an affine part."""
    widths = (1, 7, 8, 9, 16, 17, 33)
    return [F.layer_norm(y[..., :n], (n,), weight[:n], bias[:n]) for n in widths] + [
        F.layer_norm(y[..., :n], (n,)) for n in widths
    ]


def special() -> torch.Tensor:
    """Rows with an infinity, a NaN, both infinities, nothing but one number, and numbers nearly alike."""
    y = x(6, 19)
    y[0, 3], y[1, 18], y[2, 0], y[2, 1] = torch.inf, torch.nan, torch.inf, -torch.inf
    y[3], y[4] = 3, 30 + x(19)
    return y


def taken(y: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return y.index_select(0, index), y.index_select(1, index), y[..., index], y[:, index.reshape(1, -1, 1)]


CASES = [
    Case("layer_norm", norms, [x(3, 4, 33), x(33), x(33)]),
    Case("layer_norm_axes", lambda y: F.layer_norm(y, (5, 7), eps=1e-3), [x(3, 2, 5, 7)]),
    Case("layer_norm_vector", lambda y: F.layer_norm(y, (40,)), [x(40)]),
    Case("layer_norm_threads", lambda y: F.layer_norm(y, (200,)), [x(401, 200) * 3 + 50]),
    Case("layer_norm_special", lambda y: F.layer_norm(y, (19,)), [special()]),
    Case("layer_norm_no_eps", lambda y: F.layer_norm(y, (19,), eps=0.0), [special()]),
    Case(
        "layer_norm_any_size",
        lambda y: F.layer_norm(y, y.shape[-1:]),
        [x(3, 20)],
        dynamic_shapes=({0: rows, 1: Dim("width")},),
    ),
    Case("take", taken, [x(5, 6, 7), torch.tensor([4, 0, 2, 2])]),
    Case("take_int32", taken, [x(5, 6, 7), torch.tensor([4, 0, 2, 2], dtype=torch.int32)]),
    Case("take_bools", taken, [x(5, 6, 37) > 0, torch.tensor([1, 3])]),
    Case("take_doubles", taken, [x(5, 6, 7).double(), torch.tensor([1, 3])]),
    Case("take_bytes", taken, [torch.arange(210).reshape(5, 6, 7).to(torch.uint8), torch.tensor([1])]),
    Case("take_threads", lambda y, i: y[:, i], [x(30, 50, 99), torch.arange(49, -1, -2)]),
    Case("embedding", F.embedding, [torch.tensor([[3, 0], [1, 3]]), x(4, 5)]),
    Case(
        "embedding_any_size",
        F.embedding,
        [torch.tensor([[3, 0], [1, 3]]), x(4, 5)],
        dynamic_shapes=({0: count}, {0: rows}),
    ),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", [c.id for c in CASES])
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)


@pytest.mark.parametrize("kernel", ["layer_norm", "take"])
def test_the_kernel_is_called(kernel: str) -> None:
    case = next(c for c in CASES if c.id == kernel)
    lowered = fxmax.lower(case.module, tuple(case.inputs), compile=False, quiet=True)
    assert f'"fxmax.{kernel}"' in lowered.graph.module.mlir_module.asm()


def test_a_large_mean_takes_no_more_digits_than_torch_loses(parity: Batch) -> None:
    y = 1e4 + x(300, 20)
    exact = F.layer_norm(y.double(), (20,))
    ours, torchs = parity.compiled("layer_norm_any_size")(y), F.layer_norm(y, (20,))
    assert (ours - exact).abs().max() <= 1.1 * (torchs - exact).abs().max()


def test_one_compile_serves_other_sizes(parity: Batch) -> None:
    for sizes in ((0, 5), (1, 1), (500, 130)):
        parity.check("layer_norm_any_size", x(*sizes))
    for n in (0, 1, 40):
        parity.check("embedding_any_size", torch.zeros(n, 2, dtype=torch.int64), x(n + 1, 5))


@pytest.mark.parametrize("place", [-1, 4, 2**40])
def test_a_place_out_of_range_stops_the_call(parity: Batch, place: int) -> None:
    """As in torch; MAX's gather takes -1 for the last place."""
    index = torch.tensor([[3, 0], [1, place]])
    with pytest.raises(Exception, match=f"index {place} is out of range: there are 4 places"):
        parity.compiled("embedding")(index, x(4, 5))
