"""Which values get memory of their own before they are broadcast or sliced; no compile."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from max.graph import TensorValue, ops
from torch import Tensor
from torch.export import Dim

import fxmax
import fxmax.rules
from fxmax.lowering.broadcast_workaround import RESHAPES, STORED
from fxmax.runtime.max_private import mo, rmo
from tests.support.parity import Fn

X, M, C = torch.randn(3, 4, 5), torch.randn(4, 5), torch.randn(5)
B, N, K = (Dim(name, min=3) for name in "bnk")
VARYING = ({0: B, 1: N, 2: K}, {0: N, 1: K}, {0: K})
COPIED = {
    "a_sum_with_a_broadcast": lambda x, m, c: x * (m + c),
    "a_sum_behind_other_ops": lambda x, m, c: x * (m + c).exp().T.neg().T,
    "a_sum_reshaped": lambda x, m, c: x * (m + c).unsqueeze(1).squeeze(1),
    "a_sum_joined": lambda x, m, c: x * torch.cat([m + c, m])[: m.shape[0]],
    "a_broadcast_that_all_share": lambda x, m, c: m.expand_as(x) - c.expand_as(x),
}
LEFT = {
    "a_product": lambda x, m, c: x * (m @ m.T @ m),
    "a_sum_summed": lambda x, m, c: x * (m + c).sum(0),
    "a_sum_sorted": lambda x, m, c: x * (m + c).sort().values,
    "an_input": lambda x, m, c: x * m + c,
}


def copies(fn: Callable[..., Tensor], sizes: object) -> int:
    lowered = fxmax.lower(*(Fn(fn), (X, M, C)), dynamic_shapes=sizes, device="cpu", compile=False, quiet=True)
    return str(lowered.graph.module.mlir_module).count('symbol = "fxmax.dense"')


def test_max_has_every_op_that_is_told_by_name() -> None:
    classes = {name for dialect in (mo, rmo) for name in vars(dialect)}
    known = {name.removeprefix("Mo").removesuffix("Op") for name in classes if name.endswith("Op")}
    assert not (STORED | RESHAPES) - known


SLICED = {
    "a_row_of_a_sum": lambda x, m, c: (m + c)[1],
    "the_end_of_a_broadcast": lambda x, m, c: c.expand_as(m)[:, 1:],
    "a_window_of_both_axes": lambda x, m, c: (m + c)[1:, 1:],
    "two_slices_of_one": lambda x, m, c: torch.cat([(y := m + c)[1:], y[2:]]),
    "cropped": lambda x, m, c: torch.nn.functional.pad(m + c, (-1, 0)),
    "unbound": lambda x, m, c: (c * torch.ones(3, 1)).unbind()[1],
}  # fmt: skip
NOT_SLICED = {
    "every_other_from_its_start": lambda x, m, c: (m + c)[::2, ::2],
    "from_its_start": lambda x, m, c: (m + c)[:, :2],
    "slices_of_an_input": lambda x, m, c: m[1:] + m[:-1],
    "what_is_broadcast_after": lambda x, m, c: x[:, 1:] + m[1:] + c,
    "flipped": lambda x, m, c: (m + c).flip(0),
    "rolled": lambda x, m, c: (m + c).roll(1, 0),
}


@pytest.mark.parametrize("name", COPIED | SLICED)
def test_copied_where_sizes_vary(name: str) -> None:
    assert copies((COPIED | SLICED)[name], VARYING) == 1
    assert copies((COPIED | SLICED)[name], None) == 0


@pytest.mark.parametrize("name", LEFT | NOT_SLICED)
def test_not_copied_where_max_reads_it_right(name: str) -> None:
    assert copies((LEFT | NOT_SLICED)[name], VARYING) == 0


def by_slices(x: TensorValue) -> TensorValue:
    return ops.concat([x[:1], x[1:]])


def by_split(x: TensorValue) -> TensorValue:
    return ops.reshape(ops.split(ops.broadcast_to(x, [2, *x.shape]), [1, 1], 0)[1], x.shape)


@pytest.mark.parametrize("same", [by_slices, by_split])
def test_a_rule_that_slices_a_broadcast_is_named(
    same: Callable[[TensorValue], TensorValue],
) -> None:
    table = fxmax.RuleTable(parent=fxmax.default_table())

    @table.rule(torch.ops.aten.relu.default, override=True)
    def relu(ctx, self):
        return ops.rebind(same(self), ctx.out.shape)

    def last(x: Tensor, m: Tensor, c: Tensor) -> Tensor:
        return torch.relu(m + c)

    with pytest.raises(fxmax.RuleError, match=r"the rule of relu slices a broadcast.*ctx\.viewable"):
        fxmax.explain(Fn(last), (X, M, C), dynamic_shapes=VARYING, device="cpu", table=table, quiet=True)


def test_rules_slice_in_one_place() -> None:
    """Where it is decided what needs memory of its own."""
    calls = re.compile(r"\bops\.(slice_tensor|split|chunk)\(")
    rules = sorted(Path(fxmax.rules.__file__).parent.rglob("*.py"))
    assert [path.name for path in rules if calls.search(path.read_text())] == ["sizes.py"]
