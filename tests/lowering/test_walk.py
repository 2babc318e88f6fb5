"""The walk: every gap at once with its place, types checked after every rule, no compile."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from max.graph import ops
from torch import nn

import fxmax
from fxmax import LoweringError, RuleTable, default_table

aten = torch.ops.aten


@pytest.fixture(autouse=True)
def no_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in this file may reach MAX's compiler."""

    def refuse(*args, **kwargs):
        raise AssertionError("this must not compile")

    monkeypatch.setattr("fxmax.compiled.compiling.compile_graph", refuse)


class Inner(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x) + torch.special.bessel_j0(2 * x)


class ThreeGaps(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def forward(self, x):
        y = self.inner(x)
        z = torch.special.i1e(y)
        return torch.special.ndtri(z) * 2


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if text in line)


def test_three_unsupported_ops_are_reported_at_once() -> None:
    with pytest.raises(LoweringError) as caught:
        fxmax.lower(ThreeGaps(), (torch.ones(3),), quiet=True)
    report = caught.value.report
    gaps = {g.target: g for g in report.gaps}
    assert set(gaps) == {
        "aten.special_bessel_j0.default",
        "aten.special_i1e.default",
        "aten.special_ndtri.default",
    }
    bessel = gaps["aten.special_bessel_j0.default"]
    assert bessel.kind == "missing"
    assert len(bessel.nodes) == 2
    assert bessel.path == "inner"
    assert bessel.source.file == __file__
    assert bessel.source.line == line_of("bessel_j0(x) + torch")
    assert gaps["aten.special_ndtri.default"].source.line == line_of("torch.special.ndtri(z)")
    text = str(caught.value)
    for gap in gaps.values():
        assert gap.target in text
        assert gap.stub in "\n".join(line.removeprefix("    ") for line in text.splitlines())
        assert f"{gap.source.file}:{gap.source.line}" in text


def test_explain_says_the_same_as_lower() -> None:
    report = fxmax.explain(ThreeGaps(), (torch.ones(3),), quiet=True)
    with pytest.raises(LoweringError) as caught:
        fxmax.lower(ThreeGaps(), (torch.ones(3),), quiet=True)
    assert report.gaps == caught.value.report.gaps
    assert not report.ok
    assert 0 < report.coverage < 1


def test_the_nodes_after_a_gap_are_lowered_too() -> None:
    report = fxmax.explain(ThreeGaps(), (torch.ones(3),), quiet=True)
    assert [n.op for n in report.nodes if n.fate == "lowered"].count("aten.mul.Tensor") == 2


class Gelu(nn.Module):
    def forward(self, x):
        return nn.functional.gelu(x)


@pytest.mark.parametrize(
    ("rule", "kind", "detail"),
    [
        (
            lambda ctx, self, approximate: ops.cast(self, ops.cast(self, ctx.out.dtype).dtype).reshape([6]),
            "mistyped",
            "float32[6]",
        ),
        (lambda ctx, self, approximate: None, "mistyped", "NoneType"),
        (lambda ctx, self, approximate: 1 / 0, "raised", "ZeroDivisionError"),
        (lambda ctx, self, approximate: _decline(), "declined", "only on Sundays"),
    ],
)
def test_what_a_wrong_rule_returns_is_a_gap(rule, kind, detail) -> None:
    table = RuleTable(parent=default_table())
    with table.override(aten.gelu.default, rule):
        report = fxmax.explain(Gelu(), (torch.ones(2, 3),), table=table, quiet=True)
    [gap] = report.gaps
    assert gap.kind == kind
    assert detail in gap.detail


def _decline():
    raise fxmax.Declined("only on Sundays")


def test_a_missing_rule_falls_back_to_torchs_decomposition() -> None:
    class Norm(nn.Module):
        def forward(self, x):
            return nn.functional.layer_norm(x, (3,))

    table = RuleTable(parent=default_table())
    whole = fxmax.explain(Norm(), (torch.ones(2, 3),), table=table, quiet=True)
    with table.override(aten.layer_norm.default, None):
        parts = fxmax.explain(Norm(), (torch.ones(2, 3),), table=table, quiet=True)
    assert whole.ops() == {"aten.layer_norm.default": 1}
    assert "aten.layer_norm.default" not in parts.ops()
    assert len(parts.nodes) > 1


def test_a_complex_value_blocks_what_it_feeds_and_nothing_else() -> None:
    class Complex(nn.Module):
        def forward(self, x):
            return torch.view_as_real(torch.view_as_complex(x) * 2j) + 1

    report = fxmax.explain(Complex(), (torch.ones(3, 2),), quiet=True)
    assert report.gaps
    assert {n.fate for n in report.nodes} <= {"gap", "blocked", "lowered", "decomposed"}


def test_an_fx_graph_module_takes_the_same_road() -> None:
    module = torch.fx.symbolic_trace(Gelu())
    assert fxmax.explain(module, (torch.ones(2),), quiet=True).ops() == {"aten.gelu.default": 1}


def test_an_exported_program_brings_its_inputs() -> None:
    program = torch.export.export(Gelu(), (torch.ones(2),))
    assert fxmax.explain(program, quiet=True).ops() == {"aten.gelu.default": 1}
    with pytest.raises(fxmax.CaptureError, match="has its inputs already"):
        fxmax.explain(program, (torch.ones(2),), quiet=True)


def test_inputs_that_nobody_knows_are_asked_for_by_name() -> None:
    with pytest.raises(fxmax.CaptureError, match=r"forward takes \(x\)[\s\S]*fxmax\.lower\(module, kwargs"):
        fxmax.explain(Gelu(), quiet=True)


def test_a_function_is_not_a_module() -> None:
    with pytest.raises(fxmax.CaptureError, match="Wrap a function"):
        fxmax.explain(torch.relu, (torch.ones(2),), quiet=True)


def test_a_module_torch_cant_export_says_so() -> None:
    class Branches(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(fxmax.CaptureError, match="can't trace Branches"):
        fxmax.explain(Branches(), (torch.ones(2),), quiet=True)


def test_training_mode_is_noted_and_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    module[0].eval()
    report = fxmax.explain(module, (torch.ones(1, 2),), quiet=True)
    assert any("training mode" in note for note in report.notes)
    assert module.training
    assert module[1].training
    assert not module[0].training


def test_no_such_device() -> None:
    with pytest.raises(fxmax.DeviceError, match="no device 'tpu'"):
        fxmax.explain(Gelu(), (torch.ones(2),), device="tpu", quiet=True)
    with pytest.raises(fxmax.DeviceError, match="gpu:99 was asked for"):
        fxmax.explain(Gelu(), (torch.ones(2),), device="gpu:99", quiet=True)


def test_an_unknown_pass_is_refused() -> None:
    with pytest.raises(fxmax.FxmaxError, match="no such pass: fuse_everything"):
        fxmax.explain(Gelu(), (torch.ones(2),), passes=["fuse_everything"], quiet=True)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_an_input_of_complex_numbers_is_named(dtype: torch.dtype) -> None:
    class Turned(nn.Module):
        def forward(self, x, z):
            return x * z.abs()

    with pytest.raises(
        fxmax.CaptureError, match=rf"input z: MAX has no tensors of {dtype}; pass torch\.view_as"
    ):
        fxmax.explain(Turned(), (torch.ones(3), torch.ones(3, dtype=dtype)), quiet=True)
