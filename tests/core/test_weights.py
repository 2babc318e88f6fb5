"""Weights by FQN: what is bound, what is refused by name, and nothing of it compiles."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fxmax
from fxmax import WeightError


class Model(nn.Module):
    """A parameter, both kinds of buffer, a lifted constant, and a tied pair."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4, bias=False)
        self.b.weight = self.a.weight
        self.register_buffer("shift", torch.randn(4))
        self.register_buffer("scale", torch.randn(4), persistent=False)
        self.table = torch.arange(4.0)

    def forward(self, x):
        return self.b(self.a(x)) * self.scale + self.shift + self.table + torch.tensor([1.0, 2, 3, 4])


@pytest.fixture
def lowered() -> fxmax.Lowered:
    """Without the passes that store a linear's weight in another layout."""
    return fxmax.lower(Model(), (torch.ones(2, 4),), passes=["drop_asserts"], compile=False, quiet=True)


def test_every_kind_is_bound_by_name(lowered: fxmax.Lowered) -> None:
    kinds = {spec.fqn: spec.kind for spec in lowered.weights.specs.values()}
    assert kinds["a.weight"] == "parameter"
    assert kinds["shift"] == "buffer"
    assert kinds["scale"] == "non-persistent buffer"
    assert sum(kind == "constant" for kind in kinds.values()) == 2
    assert not lowered.report.unused
    registry = lowered.weights.bind()
    assert torch.equal(registry["shift"], lowered.weights.values["shift"])


def test_a_module_that_is_converted_after_does_not_change_what_is_bound() -> None:
    module = Model()
    lowered = fxmax.lower(module, (torch.ones(2, 4),), compile=False, quiet=True)
    before = {name: value.clone() for name, value in lowered.weights.values.items()}
    module.double()
    with torch.no_grad():
        module.a.weight.zero_()
    for name, value in lowered.weights.values.items():
        assert value.dtype == before[name].dtype, name
        assert torch.equal(value, before[name]), name


def test_tied_weights_bind_once(lowered: fxmax.Lowered) -> None:
    assert "b.weight" in lowered.report.bound
    assert "a.weight" in lowered.report.bound
    assert [name for name in lowered.weights.slots if name.endswith("weight")] == ["a.weight"]


def test_a_state_dict_of_the_module_fits(lowered: fxmax.Lowered) -> None:
    other = Model().state_dict()
    swapped = lowered.weights.replaced(other)
    assert torch.equal(swapped.bind()["a.weight"], other["a.weight"])
    assert lowered.weights.checkpoint_names() == set(other)


@pytest.mark.parametrize("name", ["a.bias", "shift"])
def test_a_missing_weight_is_named(lowered: fxmax.Lowered, name: str) -> None:
    state = Model().state_dict()
    del state[name]
    with pytest.raises(WeightError, match=f"missing from the checkpoint: {name}"):
        lowered.weights.replaced(state)
    assert lowered.weights.replaced(state, strict=False)


def test_a_renamed_weight_is_named_with_a_guess(lowered: fxmax.Lowered) -> None:
    state = Model().state_dict()
    state["a.biass"] = state.pop("a.bias")
    with pytest.raises(WeightError, match=r"a\.biass \(is it a\.bias\?\)"):
        lowered.weights.replaced(state)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(5), r"a.bias: shape \[5\], but \[4\] is needed"),
        (torch.zeros(4, dtype=torch.float64), "a.bias: torch.float64, but torch.float32 is needed"),
        (torch.zeros(4, dtype=torch.int32), "a.bias: torch.int32"),
        ([0, 0, 0, 0], "a.bias: is a list"),
    ],
)
def test_a_wrong_shape_or_dtype_is_refused_even_when_not_strict(lowered, value, message) -> None:
    before = dict(lowered.weights.values)
    for strict in (True, False):
        with pytest.raises(WeightError, match=message):
            lowered.weights.replaced(Model().state_dict() | {"a.bias": value}, strict)
    assert lowered.weights.values == before


def test_tied_names_with_two_values_are_refused(lowered: fxmax.Lowered) -> None:
    state = Model().state_dict()
    state["b.weight"] = state["b.weight"] + 1
    with pytest.raises(WeightError, match="one tied weight, but their values differ"):
        lowered.weights.replaced(state)


def test_one_of_two_tied_names_is_enough(lowered: fxmax.Lowered) -> None:
    state = Model().state_dict()
    del state["a.weight"]
    assert torch.equal(lowered.weights.replaced(state).bind()["a.weight"], state["b.weight"])


class Idle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(2, 2), nn.Linear(2, 2)
        self.register_buffer("counter", torch.zeros(()))

    def forward(self, x):
        return self.used(x)


def test_a_parameter_that_forward_ignores_is_an_error_that_names_it() -> None:
    with pytest.raises(WeightError, match=r"idle\.weight, idle\.bias"):
        fxmax.lower(Idle(), (torch.ones(1, 2),), compile=False, quiet=True)
    report = fxmax.lower(Idle(), (torch.ones(1, 2),), compile=False, strict=False, quiet=True).report
    assert report.unused == ["idle.weight", "idle.bias", "counter"]
    assert "idle.weight" in str(report)


class OnlyStrictly(Idle):
    """What non-strict export refuses: a number that the data decides."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x):
        int(x.max())
        return self.norm(self.used(x))


def test_a_buffer_that_strict_export_leaves_out_is_no_parameter() -> None:
    """torch counts `num_batches_tracked` in training mode alone."""
    with pytest.raises(WeightError, match=r"^2 parameters .*: idle\.weight, idle\.bias\."):
        fxmax.lower(OnlyStrictly(), (torch.ones(1, 2),), compile=False, quiet=True)
    lowered = fxmax.lower(OnlyStrictly(), (torch.ones(1, 2),), compile=False, strict=False, quiet=True)
    assert any("strict export worked" in note for note in lowered.report.notes)
    assert lowered.report.unused == ["idle.weight", "idle.bias", "counter", "norm.num_batches_tracked"]
    assert lowered.weights.replaced(OnlyStrictly().state_dict())


def test_a_module_without_values_lowers_and_names_what_it_lacks() -> None:
    with torch.device("meta"):
        module = nn.Linear(3, 3)
    x = torch.ones(1, 3, device="meta")
    lowered = fxmax.lower(module, (x,), compile=False, quiet=True)
    assert lowered.report.missing == ["weight", "bias"]
    with pytest.raises(WeightError, match="2 weights without a value: weight, bias"):
        fxmax.lower(module, (x,), quiet=True)
    real = nn.Linear(3, 3).state_dict()
    full = fxmax.lower(module, (x,), compile=False, state_dict=real, quiet=True)
    assert not full.report.missing
