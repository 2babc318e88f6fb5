"""The table: schema-checked registration, overrides, decompositions derived from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fxmax import RuleError, RuleTable, default_table
from fxmax.core.table import stub
from fxmax.frontend.decompositions import decompositions_for

aten = torch.ops.aten


def test_a_rule_must_take_the_schemas_arguments() -> None:
    table = RuleTable()
    with pytest.raises(RuleError, match=r"approximate"):
        table.rule(aten.gelu.default)(lambda ctx, self: self)
    with pytest.raises(RuleError, match=r"parameters after ctx are \(x, approximate\)"):
        table.rule(aten.gelu.default)(lambda ctx, x, approximate: x)
    table.rule(aten.gelu.default)(lambda ctx, self, approximate: self)
    assert aten.gelu.default in table


def test_tensor_options_may_be_left_out() -> None:
    table = RuleTable()
    table.rule(aten.zeros.default)(lambda ctx, size: size)
    assert table[aten.zeros.default].arguments == ("size",)


def test_a_second_registration_needs_override() -> None:
    table = RuleTable()
    table.rule(aten.relu.default)(lambda ctx, self: self)
    with pytest.raises(RuleError, match=r"has a rule already, at .*test_table\.py"):
        table.rule(aten.relu.default)(lambda ctx, self: self)
    table.rule(aten.relu.default, override=True)(lambda ctx, self: None)
    assert table[aten.relu.default].fn(None, 1) is None


def rules(table: RuleTable, op: torch._ops.OpOverload = aten.relu.default) -> list[str | None]:
    """What the rule for the CPU, for a GPU and for neither returns."""
    found = [table.lookup(op, platform) for platform in ("cpu", "gpu", None)]
    return [rule.fn(None, None) if rule else None for rule in found]


def returning(text: str):
    return lambda ctx, self: text


def test_a_rule_of_one_platform_is_taken_there() -> None:
    table = RuleTable()
    table.rule(aten.relu.default)(returning("any"))
    assert rules(table) == ["any", "any", "any"]
    table.rule(aten.relu.default, platform="cpu")(returning("cpu"))
    assert rules(table) == ["cpu", "any", "any"]
    table.rule(aten.relu.default, platform="gpu")(returning("gpu"))
    assert rules(table) == ["cpu", "gpu", "any"]
    assert [rule.platform for rule in table.rules_of(aten.relu.default)] == [None, "cpu", "gpu"]
    assert table[aten.relu.default].platform == "cpu"
    assert list(table) == [aten.relu.default]


def test_what_has_the_cpus_rule_alone_has_it_on_a_gpu_too() -> None:
    """It runs on the host there. Nothing lowers on the CPU what has a GPU's rule alone."""
    table = RuleTable()
    table.rule(aten.relu.default, platform="cpu")(returning("cpu"))
    assert rules(table) == ["cpu", "cpu", "cpu"]
    table.rule(aten.cos.default, platform="gpu")(returning("gpu"))
    assert rules(table, aten.cos.default) == [None, "gpu", None]
    assert table[aten.cos.default].platform == "gpu"


def test_the_general_rule_comes_before_those_of_one_platform() -> None:
    table = RuleTable()
    table.rule(aten.relu.default, platform="cpu")(returning("cpu"))
    with pytest.raises(RuleError, match=r"has a rule already, at .*test_table.py:\d+ \[cpu\]"):
        table.rule(aten.relu.default)(returning("any"))
    with pytest.raises(RuleError, match="has a rule already"):
        table.rule(aten.relu.default, platform="cpu")(returning("another"))
    with pytest.raises(RuleError, match="platform='tpu'"):
        table.rule(aten.relu.default, platform="tpu")


def test_an_override_is_of_all_platforms_or_of_one() -> None:
    table = RuleTable()
    table.rule(aten.relu.default)(returning("any"))
    table.rule(aten.relu.default, platform="cpu")(returning("cpu"))
    with table.override(aten.relu.default, returning("gpu"), platform="gpu"):
        assert rules(table) == ["cpu", "gpu", "any"]
        with table.override(aten.relu.default, None, platform="cpu"):
            assert rules(table) == ["any", "gpu", "any"]
        with table.override(aten.relu.default, returning("mine")):
            assert rules(table) == ["mine", "mine", "mine"]
    assert rules(table) == ["cpu", "any", "any"]
    table.rule(aten.relu.default, platform="cpu", override=True)(returning("new"))
    assert rules(table) == ["new", "any", "any"]
    table.rule(aten.relu.default, override=True)(returning("mine"))
    assert rules(table) == ["mine", "mine", "mine"]


def test_keys_are_overloads() -> None:
    with pytest.raises(RuleError, match="not an overload"):
        RuleTable().rule(aten.relu)(lambda ctx, self: self)


def test_override_is_scoped() -> None:
    table = RuleTable(parent=default_table())
    before = table[aten.gelu.default]
    with table.override(aten.gelu.default, lambda ctx, self, approximate: self):
        assert table[aten.gelu.default] is not before
        with table.override(aten.gelu.default, None):
            assert aten.gelu.default not in table
    assert table[aten.gelu.default] is before


def test_a_private_table_leaves_its_parent_alone() -> None:
    size = len(default_table())
    table = RuleTable(parent=default_table())
    table.rule(aten.gelu.default, override=True)(lambda ctx, self, approximate: self)
    assert len(default_table()) == size
    assert default_table()[aten.gelu.default] is not table[aten.gelu.default]


def test_decompositions_are_torchs_less_those_with_a_rule() -> None:
    table = RuleTable()
    assert aten.layer_norm.default in decompositions_for(table)
    table.rule(aten.layer_norm.default)(
        lambda ctx, input, normalized_shape, weight, bias, eps, cudnn_enable: input
    )
    assert aten.layer_norm.default not in decompositions_for(table)


def test_the_stub_is_a_rule_that_registers() -> None:
    """Paste it, run it: it must be accepted by the table as it stands."""
    table = RuleTable()
    code = stub(aten.addcmul.default)
    assert str(aten.addcmul.default._schema) in code
    namespace = {"torch": torch, "fxmax": type("fxmax", (), {"rule": staticmethod(table.rule)})}
    exec(code, namespace)
    assert table[aten.addcmul.default].arguments == ("self", "tensor1", "tensor2", "value")


def test_every_built_in_rule_is_where_it_says() -> None:
    for rule in default_table().values():
        file, _, line = rule.where.rpartition(":")
        assert file.endswith(".py"), rule
        assert int(line) > 0


PLUGIN = """
import torch, fxmax
from max.graph import ops

@fxmax.rule(torch.ops.aten.special_bessel_j1.default)
def special_bessel_j1(ctx, self):
    return ops.sin(self)
"""


def test_an_installed_package_brings_its_rules(tmp_path: Path) -> None:
    """As an installer leaves it: the package, and beside it the entry points in its dist-info."""
    (tmp_path / "antenna").mkdir()
    (tmp_path / "antenna" / "__init__.py").touch()
    (tmp_path / "antenna" / "rules.py").write_text(PLUGIN)
    info = tmp_path / "antenna-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: antenna\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fxmax.rules]\nantenna = antenna.rules\n")
    code = (
        "import torch, fxmax\n"
        "module = type('M', (torch.nn.Module,), {'forward': lambda self, x: torch.special.bessel_j1(x)})()\n"
        "[node] = fxmax.explain(module, (torch.ones(3),), quiet=True).nodes\n"
        "print(node.fate, node.rule)"
    )
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"lowered .*antenna/rules.py:\d+\n", done.stdout)
