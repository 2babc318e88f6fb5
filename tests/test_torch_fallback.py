"""`unsupported="torch"`: parts on MAX, the rest in torch, never silently; the default refuses."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

import fxmax
from fxmax.torch_fallback import Partitioned
from tests.support.parity import assert_same

pytestmark = pytest.mark.compiles


class Mixed(nn.Module):
    """Linears around an op that has no rule, a symbolic size used as a number, and a counter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(4))

    def forward(self, x):
        self.calls.add_(1)
        y = nn.functional.gelu(self.b(self.a(x)))
        return self.c(torch.special.bessel_j0(y) * x.shape[0]) + self.calls


BATCH = ({0: torch.export.Dim("batch", min=2, max=9)},)


@pytest.fixture(scope="module")
def both() -> tuple[Partitioned, Mixed]:
    module, x = Mixed().eval(), torch.randn(3, 4)
    reference = copy.deepcopy(module)
    partitioned = fxmax.lower(
        module, (x,), dynamic_shapes=BATCH, unsupported="torch", device="cpu", quiet=True
    )
    assert torch.equal(module.calls, torch.zeros(4))  # the run that gives the parts their inputs is undone
    assert isinstance(partitioned, Partitioned)
    return partitioned, reference


def test_it_equals_torch_and_keeps_state(both) -> None:
    partitioned, reference = both
    with torch.no_grad():
        for batch in (2, 5, 9):
            x = torch.randn(batch, 4)
            assert_same(partitioned(x), reference(x))


def test_the_report_says_what_runs_where_and_why(both) -> None:
    report = both[0].report
    fates = {n.op: n.fate for n in report.nodes}
    assert fates["aten.special_bessel_j0.default"] == "torch"
    assert fates["fxmax.linear.default"] == "decomposed"
    text = str(report)
    assert "in torch: aten.special_bessel_j0.default ×1 (missing: the table has no rule for it" in text
    assert "test_torch_fallback.py" in text
    assert "2 parts on MAX" in text
    assert "cross between MAX and torch" in text
    for part in ("max_0", "max_1"):
        assert f"compared with torch on {part}, the example: " in text.replace(" earlier on this machine", "")
    assert {check.inputs.partition(", ")[2] for check in report.checks} > {"the example", "permuted data"}
    assert json.loads(report.json())["notes"] == report.notes


def test_a_checkpoint_reaches_both_sides(both) -> None:
    partitioned, reference = both
    torch.manual_seed(7)
    state = {k: torch.randn_like(v) for k, v in reference.state_dict().items()}
    partitioned.load_state_dict(state)
    reference.load_state_dict(state)
    x = torch.randn(4, 4)
    with torch.no_grad():
        assert_same(partitioned(x), reference(x))


def test_what_it_writes_is_nobody_elses(both) -> None:
    partitioned, _ = both
    memory = dict(partitioned._module.named_buffers())["calls"]
    with pytest.raises(fxmax.OverlapError, match="x shares memory with calls, which the module writes"):
        partitioned(memory.expand(3, 4))


def test_the_default_refuses() -> None:
    with pytest.raises(fxmax.LoweringError, match="bessel_j0"):
        fxmax.lower(Mixed(), (torch.randn(3, 4),), quiet=True)
    with pytest.raises(ValueError, match="it is 'error' or 'torch'"):
        fxmax.lower(Mixed(), (torch.randn(3, 4),), unsupported="skip", quiet=True)


def test_a_module_with_no_gap_is_compiled_whole(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("fxmax.api.compile_lowered", lambda *args: seen.append(args) or args[0])
    fxmax.lower(nn.Linear(2, 2), (torch.zeros(1, 2),), unsupported="torch", check=False, quiet=True)
    assert len(seen) == 1
