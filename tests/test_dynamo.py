"""torch.compile(backend="fxmax"): dynamic shapes, weights that stay and change, written buffers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fxmax import dynamo
from tests.support.parity import assert_same

pytestmark = pytest.mark.compiles


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)
        self.register_buffer("shift", torch.ones(4))
        self.register_buffer("calls", torch.zeros(4))

    def forward(self, x):
        self.calls.add_(1)
        return self.norm(self.layer(x) * x.shape[0] + self.shift) + self.calls


class Unsupported(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)


@pytest.fixture(scope="module")
def compiled():
    """The model under torch.compile, its twin in torch, and how often fxmax was asked to lower."""
    torch._dynamo.reset()
    module = Model().eval()
    twin, lowered = copy.deepcopy(module), []
    original = dynamo.lower_job

    def counted(*args, **kwargs):
        lowered.append(original(*args, **kwargs))
        return lowered[-1]

    dynamo.lower_job = counted
    try:
        yield (
            torch.compile(module, backend="fxmax", dynamic=True, options={"quiet": True}),
            twin,
            lowered,
        )
    finally:
        dynamo.lower_job = original
        torch._dynamo.reset()


def test_one_graph_serves_every_batch_and_writes_the_modules_buffer(compiled) -> None:
    model, twin, lowered = compiled
    with torch.no_grad():
        for batch in (3, 5, 2, 8):
            x = torch.randn(batch, 4)
            assert_same(model(x), twin(x))
    assert len(lowered) == 1
    inputs = {check.inputs.partition(" ")[0] for check in lowered[0].report.checks}
    assert inputs == {"the", "sizes", "permuted"}
    assert_same(model.calls, twin.calls)
    assert {"layer.weight", "layer.bias", "norm.weight", "norm.bias", "shift"} == set(
        lowered[0].weights.specs
    )


def test_weights_stay_on_max_until_they_change(compiled, monkeypatch) -> None:
    model, twin, lowered = compiled
    binds = []
    original = lowered[0].load_state_dict
    monkeypatch.setattr(
        lowered[0], "load_state_dict", lambda *a, **k: binds.append(1) or original(*a, **k), raising=False
    )
    x = torch.randn(3, 4)
    with torch.no_grad():
        assert_same(model(x), twin(x))
        assert binds == []
        state = {k: torch.randn_like(v) for k, v in twin.state_dict().items()}
        model.load_state_dict({f"_orig_mod.{k}": v for k, v in state.items()})
        twin.load_state_dict(state)
        for _ in range(3):
            assert_same(model(x), twin(x))
        assert binds == [1]
        for either in (model._orig_mod, twin):
            either.layer.weight.data.mul_(-2)  # counts no version up
            either.norm.bias.data = torch.full_like(either.norm.bias, 3)
        for _ in range(3):
            assert_same(model(x), twin(x))
    assert binds == [1, 1]
    assert len(lowered) == 1


def test_backward_through_it_is_refused(compiled) -> None:
    model, twin, _ = compiled
    x = torch.randn(3, 4)
    result = model(x)  # with gradients enabled, and weights that require them
    head = nn.Linear(result.shape[-1], 1)
    with pytest.raises(RuntimeError, match="no gradient goes back through what fxmax compiled"):
        head(result).sum().backward()
    with torch.no_grad():
        assert_same(result, twin(x))
        assert not model(x).requires_grad


def test_a_call_whose_input_is_memory_that_it_writes_is_torchs(compiled) -> None:
    model, twin, _ = compiled
    results = []
    for module in (model._orig_mod, twin):
        memory = torch.arange(8.0)
        module.calls = memory[:4]
        with torch.no_grad():
            if module is twin:
                results.append(twin(memory.view(2, 4)))
            else:
                with pytest.warns(UserWarning, match="shares memory with .* torch computes this call"):
                    results.append(model(memory.view(2, 4)))
        results.append(memory)
    assert_same(results[:2], results[2:])
    assert results[1][0] == 1  # written


def test_an_op_without_a_rule_is_named() -> None:
    torch._dynamo.reset()
    model = torch.compile(Unsupported(), backend="fxmax", options={"quiet": True})
    with pytest.raises(torch._dynamo.exc.BackendCompilerFailed, match="special_bessel_j0"):
        model(torch.randn(3))


def test_the_entry_point_is_registered() -> None:
    assert "fxmax" in torch._dynamo.list_backends()
