"""Casts that give back what they are given: dropped where we export, kept where the program is yours."""

from __future__ import annotations

import torch
from torch import nn

from fxmax.frontend.drop_noop_casts import drop_noop_casts

aten = torch.ops.aten


class Casts(nn.Module):
    """Two idle casts, one of a tensor that is then written; a real one, a copy, and one that is returned."""

    def forward(self, x: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, ...]:
        kept.to(torch.float32)[0] = x.to(x.dtype)[1]
        copied = x.to(x.dtype, copy=True)
        return kept + 1, x.to(torch.float64), copied.add_(1), x.to(torch.float32)


def test_only_idle_casts_go() -> None:
    x, kept = torch.randn(2, 3), torch.randn(2, 3)
    program = torch.export.export(Casts(), (x, kept))
    casts = [n for n in program.graph.nodes if n.target is aten.to.dtype]
    drop_noop_casts(program)
    left = [n for n in program.graph.nodes if n.target is aten.to.dtype]
    assert len(casts) == len(left) + 2
    assert not [n for n in program.graph.nodes if n.target is aten._assert_tensor_metadata.default]
    ours, theirs = kept.clone(), kept.clone()
    results = program.run_decompositions().module()(x, ours)
    for result, expected in zip(results, Casts()(x, theirs), strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=0)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
