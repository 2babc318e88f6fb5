"""scripts/op_coverage.py: the page follows the table, and --check hears of it when it does not."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from core_aten import EXCLUDED, core_overloads

import fxmax
from tests.support.torch_versions import needs_the_core_of_now

SCRIPT = Path(__file__).parents[2] / "scripts" / "op_coverage.py"
aten = torch.ops.aten


@pytest.fixture
def coverage(tmp_path, monkeypatch):
    """The script as a module that writes into a folder of the test's; call it with its options."""
    spec = importlib.util.spec_from_file_location("coverage_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in {"ROOT": tmp_path, "PAGE": tmp_path / "c.md", "DATA": tmp_path / "c.json"}.items():
        monkeypatch.setattr(module, name, value)

    def call(*options):
        monkeypatch.setattr(sys, "argv", ["op_coverage.py", *options])
        return module.main()

    module.call = call
    return module


def test_check_hears_of_a_changed_table(coverage, capsys):
    assert coverage.call("--check") == 1  # nothing written yet
    assert coverage.call() == 0
    assert coverage.call("--check") == 0
    with fxmax.default_table().override(aten.relu.default, None):
        assert coverage.call("--check") == 1
    assert "out of date" in capsys.readouterr().out
    coverage.PAGE.write_text("edited")
    assert coverage.call("--check") == 1


def test_page_shows_samples(coverage):
    outcomes = {
        "add-float32-0": ["passed", "", ["aten.add.Tensor"]],
        "flip-float32-0": ["gap", "why", []],
    }
    coverage.DATA.write_text(json.dumps({"samples": {"float32": outcomes}}))
    coverage.call()
    page = coverage.PAGE.read_text()
    assert "| float32 | 2 | 2 | 1 (50.0%) | 0 | 1 |" in page
    assert "| `aten.add.Tensor` | rules/arithmetic.py | float32 1 |" in page
    assert "| `flip-float32-0` | gap | why |" in page


@needs_the_core_of_now
def test_exclusions_are_core_overloads_without_a_rule():
    core = {str(o) for o in core_overloads()}
    assert len(core) > 180
    assert set(EXCLUDED) <= core
    assert not set(EXCLUDED) & {str(o) for o in fxmax.default_table()}


def test_the_least_rate_is_wilsons(coverage):
    assert coverage.least_rate(300, 300) == pytest.approx(300 / (300 + 1.6449**2), rel=1e-6)
    assert coverage.least_rate(90, 100) == pytest.approx(0.83964, abs=1e-4)


@pytest.mark.parametrize("other", ["--again", "--limit=3", "--ops=sum"])
def test_a_draw_is_from_all_samples(coverage, other):
    with pytest.raises(SystemExit):
        coverage.call("--run", "--draw", "5", other)
