"""`fxmax.verify` on one small model: clean, with faults, with another checkpoint."""

import json

import pytest
import torch
from torch import nn

import fxmax
from fxmax.verification.taps import lower_tapped
from tests.support import faults as wrong
from tests.support.faults import Fault, Suite

aten = torch.ops.aten


class Small(nn.Module):
    """Named parts, so that FQNs are told apart."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.last = nn.Linear(8, 8)

    def forward(self, x):
        return self.last(self.norm(torch.nn.functional.gelu(self.first(x))))


def small():
    torch.manual_seed(1)
    return Small().eval()


PARITY = Suite(
    small(),
    lambda: (torch.randn(4, 8),),
    [
        Fault("a dropped bias", aten.linear.default, 1, wrong.no_bias),
        Fault("a transposed weight", aten.linear.default, 0, wrong.transposed_weight),
    ],
)


@pytest.mark.parametrize("seed", range(5))
def test_a_clean_run_claims_nothing(parity, seed):
    parity.check_clean(seed)


@pytest.mark.parametrize("id", PARITY.faults)
def test_a_fault_is_found_at_its_node(parity, id):
    parity.check_found(id)


def test_the_text_says_where_what_and_what_fed_it(parity):
    result = parity.verify("a dropped bias")
    first = result.first_divergent
    assert (first.op, first.path, first.shape) == ("aten.linear.default", "last", (4, 8))
    assert first.source.code == "return self.last(self.norm(torch.nn.functional.gelu(self.first(x))))"
    assert first.own_error > 100 * first.tolerance
    assert [(i.kind, i.name) for i in first.inputs] == [
        ("node", "layer_norm"),
        ("weight", "last.weight"),
        ("weight", "last.bias"),
    ]
    assert first.inputs[0].max_abs_error < 1e-5  # it was fed right, and went wrong itself
    text = str(result)
    assert "first divergence: aten.linear.default in last" in text
    assert "fed by node layer_norm" in text
    assert "test_verify.py:" in text
    data = json.loads(result.json())
    assert not data["ok"]
    assert data["first_divergent"]["path"] == "last"
    assert len(result.table().splitlines()) == 1 + len(result.nodes)


def test_a_checkpoint_swapped_in_later_shows_at_the_changed_tensor(parity):
    verifier = parity.cases["clean"].verifier
    before = verifier.compiled.state_dict()
    changed = {k: v.clone() for k, v in before.items()}
    changed["norm.weight"][3] += 0.01
    verifier.compiled.load_state_dict(changed)
    try:
        result = parity.verify("clean")
    finally:
        verifier.compiled.load_state_dict(before)
    assert result.first_divergent.path == "norm"
    assert list(result.changed_weights) == ["norm.weight"]
    assert result.changed_weights["norm.weight"] == pytest.approx(0.01, rel=1e-3)
    assert "weight norm.weight is not the one that was lowered" in str(result)
    assert parity.verify("clean").ok


def test_a_lowered_module_is_verified_with_the_rules_it_was_lowered_with():
    with fxmax.default_table().override(aten.gelu.default, lambda ctx, self, approximate: self):
        lowered = fxmax.lower(small(), (torch.randn(4, 8),), compile=False, quiet=True)
    assert lowered.table[aten.gelu.default].fn.__name__ == "<lambda>"
    assert fxmax.default_table()[aten.gelu.default].fn.__name__ != "<lambda>"


@pytest.mark.slow
def test_a_compiled_module_is_verified_with_its_own_rules_and_weights():
    x = torch.randn(3, 8)
    with fxmax.default_table().override(aten.gelu.default, lambda ctx, self, approximate: self):
        compiled = fxmax.lower(nn.Sequential(nn.Linear(8, 8), nn.GELU()), (x,), check=False, quiet=True)
    result = fxmax.verify(compiled, x, level="module", quiet=True)
    assert [n.path for n in result.nodes] == ["0", "1"]
    assert result.first_divergent.op == "aten.gelu.default"


@pytest.mark.parametrize("wrong", [{"level": "layer"}, {"reference": "float16"}])
def test_a_wrong_option_is_told_at_once(wrong):
    with pytest.raises(fxmax.FxmaxError, match="use"):
        fxmax.verify(small(), torch.randn(4, 8), **wrong)


@pytest.mark.slow
def test_bisecting_finds_a_fault_that_hides_from_many_taps(monkeypatch):
    watched: list[str] = []

    def lower_noting_taps(captured, taps, shared=None):
        watched[:] = taps
        return lower_tapped(captured, watched, shared)

    def shy(ctx, right, self, approximate):
        """Wrong only where few nodes are watched, as a bad fusion is."""
        return right(self=self, approximate="tanh" if len(watched) < 6 else "none")

    monkeypatch.setattr("fxmax.verification.verifier.lower_tapped", lower_noting_taps)
    torch.manual_seed(0)
    module = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8)) for _ in range(3)])
    fault, x = Fault("shy", aten.gelu.default, 1, shy), torch.randn(4, 8)
    table = wrong.table_with(fault, "gelu_1")
    hidden = fxmax.verify(module, x, table=table, quiet=True)
    assert all(not n.diverges for n in hidden.nodes)
    assert hidden.first_divergent.name == "output without taps"
    assert "bisect=True finds where" in str(hidden)
    found = fxmax.verify(module, x, table=table, bisect=True, quiet=True)
    assert found.first_divergent.name == "gelu_1"
    assert found.first_divergent.path == "1.1"
    assert "bisected in" in found.notes[-1]
