"""The table: schema-checked registration, overrides, decompositions derived from it."""

from __future__ import annotations

import pytest
import torch

from fxmax import RuleError, RuleTable, default_table
from fxmax.table import stub

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
    assert aten.layer_norm.default in table.decompositions()
    table.rule(aten.layer_norm.default)(
        lambda ctx, input, normalized_shape, weight, bias, eps, cudnn_enable: input
    )
    assert aten.layer_norm.default not in table.decompositions()


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
