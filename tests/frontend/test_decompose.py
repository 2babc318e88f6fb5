"""Programs brought to the table's ops op by op: the same numbers and writes as Torch, the ops torch gives."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from fxmax.frontend.decompose import _op_by_op, decompose
from fxmax.frontend.decompositions import decompositions_for
from fxmax.frontend.functionalize import LeftToTorchError, is_write
from fxmax.rules import default_table
from tests.support.parity import Fn


class Counting(nn.Module):
    """A buffer that counts calls, and one that is replaced whole."""

    calls: Tensor
    last: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(2, 3))
        self.register_buffer("last", torch.zeros(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        self.calls[1].add_(1)
        self.last.copy_(x * self.calls)
        return self.last + self.calls


def several_views(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Written through one view, read through others, made before and after."""
    early = x.transpose(0, 1)[2]
    rows = x.view(2, 2, 3).permute(1, 2, 0)
    rows[0, 1:].mul_(2)
    late = x[1]
    x.t()[0] = y
    rows.select(1, 2).copy_(y[:2])
    return early + 1, rows * 2, late, x.sum(0)


def chained(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """What a write returns is what it wrote to, with what is written later."""
    z = x.add(1)
    written = z.add_(1).mul_(2)
    z[0] = 5
    return written, written.relu_() + z


def of_what_was_written(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """What is written was itself made of something that was written before."""
    x.zero_()
    z = x.maximum(y[:3]).clamp_(max=0.25)
    x.add_(y[:3])
    w = x[:2] * z[:2]
    w[0] = 3
    return z, w.neg_() + x[0]


def of_another_dtype(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    counts = torch.zeros(3, dtype=torch.int32)
    counts[1:] = x[0, 1:]
    half = x.to(torch.float16)
    half += y[0]
    return counts, half


def diagonals_and_squeezes(x: Tensor, y: Tensor) -> Tensor:
    z = x.clone()
    z.diagonal(1).fill_(7)
    z.unsqueeze(0).squeeze(0)[:, 0:1].squeeze(1).zero_()
    z.flatten()[4::3] = -1
    z.narrow(0, 1, 2).masked_fill_(z[1:3] > 0, 3)
    z.index_put_((torch.tensor([3]), torch.tensor([0])), y[0], accumulate=True)
    return z


def with_writes_inside(x: Tensor, y: Tensor) -> Tensor:
    """Torch makes these of ops that write to what they have just made."""
    return nn.functional.cosine_similarity(x, x + 1) + x.nanmean() + torch.tensor([1.0, 2.0, 3.0, 4.0])


def sizes_and_composites(x: Tensor, y: Tensor) -> Tensor:
    n = x.shape[0]
    wide = x.tile(2, 1)[: 2 * n - 1].flatten()
    return wide.reshape(2 * n - 1, -1).movedim(0, 1) + y.numel() + torch.arange(2 * n - 1)


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, generator=generator), torch.randn(4, generator=generator)


PROGRAMS: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
    "several_views": (Fn(several_views), inputs()),
    "chained": (Fn(chained), inputs()),
    "of_another_dtype": (Fn(of_another_dtype), inputs()),
    "diagonals_and_squeezes": (Fn(diagonals_and_squeezes), inputs()),
    "of_what_was_written": (Fn(of_what_was_written), inputs()),
    "with_writes_inside": (Fn(with_writes_inside), inputs()),
    "sizes_and_composites": (Fn(sizes_and_composites), inputs()),
    "buffers": (Counting(), (torch.randn(2, 3),)),
    "inputs_returned": (Fn(lambda x, y: (x.add_(1), x, y.view(2, 2).neg_())), inputs()),
}


def exported(module: nn.Module, args: tuple[Tensor, ...], **options: object) -> ExportedProgram:
    with torch.no_grad():
        return torch.export.export(module, args, **options)  # type: ignore[arg-type]


def run(program: ExportedProgram, args: tuple[Tensor, ...]) -> tuple[object, ...]:
    """Of two calls in turn: the outputs, the inputs afterwards, the buffers afterwards."""
    module, args = copy.deepcopy(program.module()), tuple(arg.clone() for arg in args)
    calls = [copy.deepcopy((module(*args), args, dict(module.named_buffers()))) for _ in range(2)]
    return tuple(calls)


def ops(program: ExportedProgram) -> Counter[str]:
    return Counter(str(n.target) for n in program.graph.nodes if n.op == "call_function")


@pytest.mark.parametrize("name", PROGRAMS)
def test_op_by_op_is_what_torch_makes_of_it(name: str) -> None:
    module, args = PROGRAMS[name]
    program, table = exported(module, args), decompositions_for(default_table())
    before = program.graph_module.code
    ours = _op_by_op(program, table)
    assert program.graph_module.code == before
    assert not [n for n in ours.graph.nodes if is_write(n)]
    theirs = program.run_decompositions(table)
    assert [s.kind for s in ours.graph_signature.output_specs] == [
        s.kind for s in theirs.graph_signature.output_specs
    ]
    for result, expected in zip(run(ours, args), run(program, args), strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", ["sizes_and_composites", "buffers"])
def test_the_ops_are_those_that_torch_gives(name: str) -> None:
    module, args = PROGRAMS[name]
    program, table = exported(module, args), default_table()
    assert ops(_op_by_op(program, decompositions_for(table))) == ops(
        program.run_decompositions(decompositions_for(table))
    )


def test_sizes_that_vary() -> None:
    """A place in a cache, of a batch of any size: written, and read up to there."""

    def step(cache: Tensor, x: Tensor, past: Tensor) -> Tensor:
        end = past.shape[0]
        cache[..., end - 1 : end, :] = x.view(x.shape[0], 1, -1)
        return cache.flatten(0, 1)[:end] + cache[:, :end].sum()

    sizes = ({0: Dim("batch")}, {0: Dim("batch")}, {0: Dim("past", min=2, max=5)})
    args = (torch.randn(2, 6, 4), torch.randn(2, 4), torch.zeros(3))
    program = exported(Fn(step), args, dynamic_shapes=sizes)
    ours = _op_by_op(program, decompositions_for(default_table()))
    other = (torch.randn(5, 6, 4), torch.randn(5, 4), torch.zeros(4))
    for result, expected in zip(run(ours, other), run(program, other), strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=0)
    made = [n for n in ours.graph.nodes if n.target is torch.ops.aten.sym_size.int]
    assert len({str(n.meta["val"]) for n in made}) == len(made)  # none is made twice


def branches(x: Tensor, y: Tensor) -> Tensor:
    return torch.cond(x.sum() > 0, lambda a: a + 1, lambda a: a - 1, (x,))  # type: ignore[no-any-return]


def through_split(x: Tensor, y: Tensor) -> Tensor:
    x.split(2)[1].mul_(2)
    return x + 1


def through_expand(x: Tensor, y: Tensor) -> Tensor:
    z = y.clone()
    z.expand(1, 4)[0, 1] = 2
    return z


@pytest.mark.parametrize("function", [branches, through_split, through_expand])
def test_the_rest_is_left_to_torch(function: Callable[..., Tensor]) -> None:
    args = inputs()
    program, table = exported(Fn(function), args), default_table()
    with pytest.raises(LeftToTorchError):
        _op_by_op(program, decompositions_for(table))
    for result, expected in zip(run(decompose(program, table), args), run(program, args), strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=0)
