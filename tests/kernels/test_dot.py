"""`dtype="int8"` and `int8_dynamic`: products with dequantized weights, at rows around every tile edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import fxmax
from fxmax.kernels.packing import GROUP, PACKINGS, SMALLER, rounded, scales
from fxmax.rules import quantized_linear as int8
from tests.support.parity import assert_same

pytestmark = pytest.mark.slow  # CI runs them: minutes of compiling


class Mlp(nn.Module):
    """Weights of unequal scale; one row is all zero."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(20, 70), nn.Linear(70, 20, bias=False)
        with torch.no_grad():
            self.up.weight *= torch.logspace(-3, 2, 70).unsqueeze(1)
            self.up.weight[3] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(F.gelu(self.up(x)))


class Tied(nn.Module):
    """Logits by the embedding, which is read as float32 too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(45, 24)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens) @ self.embedding.weight.transpose(0, 1)


torch.manual_seed(0)
ROWS = torch.export.Dim("rows", min=1, max=64)
TOKENS = torch.tensor([[3, 44, 0, 7]])


@pytest.fixture(scope="module")
def compiled() -> dict[str, fxmax.Compiled]:
    torch.manual_seed(0)
    jobs = {
        "mlp": fxmax.Job(Mlp().eval(), (torch.randn(5, 20),), dynamic_shapes=({0: ROWS},)),
        "tied": fxmax.Job(Tied().eval(), (TOKENS,)),
    }
    return fxmax.lower_many(jobs, dtype="int8", device="cpu", quiet=True)


def dequantized(weight: torch.Tensor) -> torch.Tensor:
    return rounded(weight).float() * scales(weight).unsqueeze(1)


@pytest.mark.parametrize("rows", [1, 2, 12, 13, 64])
def test_equals_the_dequantized_product(compiled: dict[str, fxmax.Compiled], rows: int) -> None:
    state = compiled["mlp"].state_dict()
    x = torch.randn(rows, 20)
    hidden = F.gelu(F.linear(x, dequantized(state["up.weight"]), state["up.bias"]))
    assert_same(compiled["mlp"](x), x + hidden @ dequantized(state["down.weight"]).T)


@pytest.fixture(scope="module")
def dynamic() -> fxmax.Compiled:
    if not int8.has_int8_dot():
        pytest.skip("this CPU has no int8 dot product")
    torch.manual_seed(0)
    example = (torch.randn(5, 200),)
    return fxmax.lower(
        Wide().eval(), example, dynamic_shapes=({0: ROWS},), dtype="int8_dynamic", device="cpu", quiet=True
    )


class Wide(nn.Module):
    """More features than a group, and not a whole number of groups."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(200, 300)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.up(x))


def in_groups(x: torch.Tensor) -> torch.Tensor:
    """Each group of each row in steps of a 127th of its largest value."""
    groups = F.pad(x, (0, -x.shape[-1] % GROUP)).unflatten(-1, (-1, GROUP))
    step = groups.abs().amax(-1, keepdim=True) / 127
    units = torch.where(step > 0, groups / step, 0).round()
    return (units * step).flatten(-2)[..., : x.shape[-1]]


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 12, 13, 64])
def test_dynamic_equals_the_product_of_what_was_rounded(dynamic: fxmax.Compiled, rows: int) -> None:
    x = torch.randn(rows, 200)
    x[0] = 0
    x[-1, 150:] *= 1000  # coarsens the second group alone
    state = dynamic.state_dict()
    expected = F.relu(F.linear(in_groups(x), dequantized(state["up.weight"]), state["up.bias"]))
    # A value halfway between two steps may go either way: one of 200 terms, by a step.
    assert_same(dynamic(x), expected, 1e-4)
    assert dynamic.report.layouts == {"up.weight": "int8 panels of quads, a scale a row"}


def test_dynamic_is_close_to_float(dynamic: fxmax.Compiled) -> None:
    x = torch.randn(64, 200)
    state = dynamic.state_dict()
    wanted = F.relu(F.linear(x, state["up.weight"], state["up.bias"]))
    assert 1e-4 < ((dynamic(x) - wanted).abs().max() / wanted.abs().max()) < 1e-2


def test_a_cpu_without_the_instruction_is_told_what_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "has_int8_dot", lambda: False)
    with pytest.raises(fxmax.DeviceError, match="dtype='int8' does without"):
        fxmax.explain(nn.Linear(3, 3), (torch.randn(1, 3),), device="cpu", quiet=True, dtype="int8_dynamic")


def test_tied_logits_are_int8_and_the_lookup_is_not(compiled: dict[str, fxmax.Compiled]) -> None:
    weight = compiled["tied"].state_dict()["embedding.weight"]
    assert_same(compiled["tied"](TOKENS), F.embedding(TOKENS, weight) @ dequantized(weight).T)
    assert compiled["tied"].report.layouts == {"embedding.weight": "int8 panels, a scale a row"}


def test_another_checkpoint_is_quantized_when_it_is_bound(compiled: dict[str, fxmax.Compiled]) -> None:
    weight = torch.randn(45, 24)
    compiled["tied"].load_state_dict({"embedding.weight": weight})
    assert_same(compiled["tied"](TOKENS), F.embedding(TOKENS, weight) @ dequantized(weight).T)


def test_rounding_is_within_half_a_step() -> None:
    weight = torch.randn(30, 40) * torch.logspace(-4, 3, 30).unsqueeze(1)
    assert ((dequantized(weight) - weight).abs() <= 0.5001 * scales(weight).unsqueeze(1)).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dtype": "int3"}, "int8"),
        ({"dtype": "int8", "passes": ["drop_asserts"]}, "needs the pass fuse_linear"),
    ],
)
def test_what_can_not_be_quantized_is_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(fxmax.FxmaxError, match=text):
        fxmax.explain(nn.Linear(3, 3), (torch.randn(1, 3),), device="cpu", quiet=True, **options)


@pytest.mark.parametrize("layout", SMALLER)
def test_numpy_quantizes_as_torch_does(layout: str) -> None:
    """An artifact is laid out without torch."""
    weight = torch.randn(50, 37)
    weight[7] = 0
    weight[9, :4] = torch.tensor([127.0, 2.5, 3.5, -0.5])  # halves go to the even one
    np.testing.assert_array_equal(PACKINGS[layout](weight.numpy()), PACKINGS[layout](weight).numpy())
