"""Which values get memory of their own before they are broadcast, by broadcast_workaround; no compile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.export import Dim

import fxmax
from fxmax.lowering.broadcast_workaround import RESHAPES, STORED
from fxmax.runtime.max_private import mo, rmo
from tests.support.parity import Fn

X, M, C = torch.randn(3, 4, 5), torch.randn(4, 5), torch.randn(5)
VARYING = ({0: Dim("b"), 1: Dim("n"), 2: Dim("k")}, {0: Dim("n"), 1: Dim("k")}, {0: Dim("k")})
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


@pytest.mark.parametrize("name", COPIED)
def test_copied_where_sizes_vary(name: str) -> None:
    assert copies(COPIED[name], VARYING) == 1
    assert copies(COPIED[name], None) == 0


@pytest.mark.parametrize("name", LEFT)
def test_not_copied_where_it_is_in_memory_already(name: str) -> None:
    assert copies(LEFT[name], VARYING) == 0


def test_max_has_every_op_that_is_told_by_name() -> None:
    classes = {name for dialect in (mo, rmo) for name in vars(dialect)}
    known = {name.removeprefix("Mo").removesuffix("Op") for name in classes if name.endswith("Op")}
    assert not (STORED | RESHAPES) - known
