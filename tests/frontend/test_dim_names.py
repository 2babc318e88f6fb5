"""Sizes that vary have the user's names, however the inputs and their dims were given."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

import fxmax

B, T, U = Dim("batch", min=2, max=16), Dim("time", min=2, max=16), Dim("unit", min=2, max=16)
WIDE, LINE = torch.randn(3, 4, 5), torch.randn(6)


class Named(nn.Module):
    def forward(self, wide: Tensor, line: Tensor) -> tuple[Tensor, Tensor]:
        return wide.sum(0), line * 2


class Listed(nn.Module):
    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs[0].sum(0), inputs[1] * 2


WIDE_DIMS, LINE_DIMS = {0: B, 2: T}, {0: U}


@pytest.mark.parametrize(
    ("module", "args", "kwargs", "shapes"),
    [
        (Named(), (WIDE, LINE), {}, (WIDE_DIMS, LINE_DIMS)),
        (Named(), (WIDE, LINE), {}, {"line": LINE_DIMS, "wide": WIDE_DIMS}),
        (Named(), (WIDE,), {"line": LINE}, {"line": LINE_DIMS, "wide": WIDE_DIMS}),
        (Named(), (), {"line": LINE, "wide": WIDE}, (WIDE_DIMS, LINE_DIMS)),
        (Listed(), (WIDE, LINE), {}, ((WIDE_DIMS, LINE_DIMS),)),
        (Listed(), (WIDE, LINE), {}, {"inputs": (WIDE_DIMS, LINE_DIMS)}),
    ],
)
def test_each_input_has_its_own_names(module: nn.Module, args: Any, kwargs: Any, shapes: Any) -> None:
    lowered = fxmax.lower(
        module.eval(), args, kwargs, dynamic_shapes=shapes, compile=False, device="cpu", quiet=True
    )
    shapes_by_rank = {len(t.shape): [str(d) for d in t.shape] for t in lowered.signature.tensors}
    assert shapes_by_rank == {3: ["batch", "4", "time"], 1: ["unit"]}
