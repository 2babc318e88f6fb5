"""Complex tensors as pairs of real ones: what is rewritten, what is left to be reported, and the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.export import Dim

import fxmax
from tests.support.parity import Batch, Case, Fn
from tests.support.rewritable import Rotary
from tests.support.rewritten import reasons

torch.manual_seed(0)


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
PARITY = Batch(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("id", [c.id for c in CASES])
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)


@pytest.mark.slow
def test_one_compile_serves_other_lengths(parity: Batch) -> None:
    parity.check("any_length", torch.randn(1, 16, 3, 8))


@pytest.mark.slow
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
    ("fn", "first"),
    [
        (lambda x: torch.view_as_complex(x), "a result is complex"),
        (lambda x: torch.fft.fft(x).real, "aten._fft_r2c.default has no form in pairs of real tensors"),
        (
            lambda x: (torch.view_as_complex(x) * 1j).real,
            "aten.mul.Tensor by a complex number has no form in pairs of real tensors",
        ),
        (
            lambda x: (torch.view_as_complex(x) / torch.view_as_complex(x)).real,
            "aten.div.Tensor by a complex tensor has no form in pairs of real tensors",
        ),
        (
            lambda x: (torch.view_as_complex(x)[:1] + x).real,
            "aten.add.Tensor broadcasts a complex tensor, or scales one",
        ),
    ],
    ids=["result", "fft", "scalar", "division", "broadcast"],
)
def test_what_has_no_pairs_is_reported_with_the_op_that_has_none(
    fn: Callable[[torch.Tensor], torch.Tensor], first: str
) -> None:
    report = fxmax.explain(Fn(fn), (torch.randn(2, 2),), device="cpu", quiet=True)
    assert report.gaps
    assert {s.by for s in report.skipped} == {"complex_pairs"}
    assert first in report.gaps_text()
    assert "@fxmax.rule" not in report.gaps_text() or "fft" in first  # MAX has no complex tensors


def test_a_complex_input_is_named() -> None:
    z = torch.randn(2, 2) + 1j
    why = "complex nodes are rewritten together, and z is a complex input"
    assert reasons(lambda z: z.abs(), z, by="complex_pairs") == {why}
