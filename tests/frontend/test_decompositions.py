"""Our own decompositions against torch's ops, in torch: no compile."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch._ops import OpOverload
from torch.testing import assert_close

from fxmax.frontend.decompositions import ALSO_DECOMPOSED, OURS, decompositions, decompositions_for
from fxmax.rules import default_table

aten = torch.ops.aten
NAN = float("nan")
torch.manual_seed(0)
VOLUME, GRID = torch.randn(2, 3, 4, 5, 6), torch.rand(2, 3, 2, 4, 3) * 3 - 1.5
HOLES = torch.tensor([[1.0, NAN, 3.0, 2.0], [NAN, NAN, -1.0, 4.0], [5.0, 5.0, 5.0, NAN]])
A = torch.randn(3, 4)
INTS, OTHERS = torch.tensor([-12, 0, 7, 0, 18]), torch.tensor([18, 5, -14, 0, 6])
MATRIX = torch.randn(2, 3, 4)
NO_SELF = {"include_self": False}

CALLS: list[tuple[Any, ...]] = [
    (aten.addbmm.default, torch.full((3, 3), NAN), MATRIX, torch.randn(2, 4, 3), {"beta": 0}),
    (aten.addbmm.default, torch.randn(3, 3), MATRIX, torch.randn(2, 4, 3), {"beta": 2, "alpha": 0.5}),
    (aten.lcm.default, INTS, OTHERS),
    (aten._trilinear.default, A, torch.randn(2, 4, 5), torch.randn(3, 5), [1, 3], [0], [1, 2], [2, 3]),
    *(
        (aten.index_reduce.default, A, 1, torch.tensor([3, 0, 3]), torch.randn(3, 3), how, options)
        for how, options in product(("prod", "mean", "amax", "amin"), ({}, NO_SELF))
    ),
    (aten.put.default, A, torch.tensor([[0, -1], [5, 3]]), torch.randn(2, 2)),
    (aten.put.default, A, torch.tensor([1, 1, 2]), torch.randn(3), True),
    (aten.nanmedian.dim, HOLES, 1),
    (aten.nanmedian.dim, HOLES, 0, True),
    (aten.nanmedian.default, HOLES),
    *(
        (aten.grid_sampler_3d.default, VOLUME, GRID, *options)
        for options in product((0, 1), (0, 1, 2), (True, False))
    ),
    (aten.grid_sampler_3d.default, VOLUME[:, :, :1], GRID, 0, 2, True),
    (aten.diagonal_scatter.default, torch.randn(3, 4), torch.randn(3), 1),
    (aten.diagonal_scatter.default, torch.randn(4, 2, 3), torch.randn(2, 3), -1, 0, 2),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: str(call[0]))
def test_it_is_torchs_op(call: tuple[Any, ...]) -> None:
    target, *args = call
    kwargs = args.pop() if isinstance(args[-1], dict) else {}
    assert_close(OURS[target](*args, **kwargs), target(*args, **kwargs), equal_nan=True)


def test_each_is_tried() -> None:
    assert {call[0] for call in CALLS} == set(OURS)


@pytest.mark.parametrize("target", ALSO_DECOMPOSED, ids=str)
def test_what_torch_decomposes_has_a_decomposition_or_needs_none(target: OpOverload) -> None:
    """torch.export itself takes implicit composites apart: ldexp is one in torch 2.10."""
    assert target in decompositions() or target._can_decompose()


def test_a_rule_comes_before_a_decomposition() -> None:
    table = default_table()
    known = set(decompositions())
    assert set(table) & known  # there are ops with both
    assert set(decompositions_for(table)) == known - set(table)
