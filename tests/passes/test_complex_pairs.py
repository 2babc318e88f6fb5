"""Complex tensors as pairs of real ones: what is rewritten, what is left to be reported, and the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.export import Dim

import fxmax
from tests.support.parity import Batch, Case, Fn, parity_fixture

torch.manual_seed(0)


class Rotary(torch.nn.Module):
    """Rotary embeddings as Meta's Llama has them: factors held as a complex buffer or constant."""

    def __init__(self, is_buffer: bool) -> None:
        super().__init__()
        factors = torch.polar(torch.ones(16, 4), torch.outer(torch.arange(16.0), torch.rand(4)))
        if is_buffer:
            self.register_buffer("factors", factors)
        else:
            self.factors = factors

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        turned = pairs * self.factors[: x.shape[1]][None, :, None]
        return torch.view_as_real(turned).flatten(3)


def computed(x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    factors = torch.polar(torch.ones_like(angle), angle)[None, :, None]
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))) * factors).flatten(3)


def arithmetic(x: torch.Tensor, y: torch.Tensor, r: torch.Tensor) -> tuple[torch.Tensor, ...]:
    a, b = torch.complex(x, y), torch.view_as_complex(torch.stack([y, x], -1))
    z = torch.cat([a * b + a - 2 * b.conj(), (r - a) / 3], 1)[:, 1:7].transpose(0, 1)
    return z.abs(), z.angle(), z.real, z.imag, torch.view_as_real(-z.sum(0)), (z + r.mT[:1]).flip(0).imag


CASES = [
    Case("computed", computed, [torch.randn(2, 5, 3, 8), torch.randn(5, 4)]),
    Case("buffer", Rotary(True), [torch.randn(2, 5, 3, 8)]),
    Case("constant", Rotary(False), [torch.randn(2, 5, 3, 8)]),
    Case("arithmetic", arithmetic, [torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 4)]),
    Case("double", computed, [torch.randn(1, 5, 1, 8).double(), torch.randn(5, 4).double()], tolerance=1e-8),
    Case(
        "any_length",
        Rotary(True),
        [torch.randn(2, 5, 3, 8)],
        dynamic_shapes=({0: Dim("batch"), 1: Dim("length", max=16)},),
    ),
]
parity = parity_fixture(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("id", [c.id for c in CASES])
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)


@pytest.mark.slow
def test_one_compile_serves_other_lengths(parity: Batch) -> None:
    parity.check("any_length", torch.randn(1, 16, 3, 8))


def test_a_complex_weight_is_bound_by_name_and_saved(tmp_path: Path) -> None:
    x, other = torch.randn(2, 5, 3, 8), Rotary(True)
    compiled = fxmax.lower(Rotary(True), (x,), device="cpu", quiet=True)
    assert compiled.report.bound == ["factors"]
    loaded = fxmax.load(compiled.save(tmp_path / "rotary.fxmax"))
    torch.testing.assert_close(torch.from_dlpack(loaded(x.numpy())), compiled(x), rtol=0, atol=0)
    other.factors.mul_(2)
    compiled.load_state_dict(other.state_dict())
    torch.testing.assert_close(compiled(x), other(x))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: torch.view_as_complex(x),
        lambda x: torch.fft.fft(x).real,
        lambda x: (torch.view_as_complex(x) * 1j).real,
        lambda x: (torch.view_as_complex(x) / torch.view_as_complex(x)).real,
        lambda x: (torch.view_as_complex(x)[:1] + x).real,
    ],
)
def test_what_has_no_pairs_is_reported(fn: Callable[[torch.Tensor], torch.Tensor]) -> None:
    report = fxmax.explain(Fn(fn), (torch.randn(2, 2),), device="cpu", quiet=True)
    assert report.gaps
