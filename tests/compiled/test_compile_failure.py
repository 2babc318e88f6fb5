"""What MAX's compiler fails on is named, with its module and line, and what to do. MAX does fail here."""

from __future__ import annotations

import pytest
import torch
from max.dtype import DType
from max.graph import ops
from torch import nn

import fxmax
from fxmax.runtime.compile_once_more import in_kernels

aten = torch.ops.aten


class Block(nn.Module):
    def forward(self, x):
        return torch.sin(torch.cos(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm = nn.ReLU()

    def forward(self, x):
        return self.norm(self.blocks[1](self.blocks[0](x)[:, :4]))


def sum_of_a_broadcast(x):
    """Over an axis that was broadcast: a pass over the graph fails."""
    return ops.sum(ops.broadcast_to(x, [3, 4]), 1)[:1]


def gather_by_a_number(x):
    """By an index without axes: a kernel can't be instantiated."""
    return ops.gather(x, ops.cast(x[0, 0], DType.int64), 0)


def scaled_by_row(x):
    """Taken for a LayerNorm, whose gamma is of the last axis: a kernel's call has the wrong types."""
    y, by_row = ops.reshape(x, [1, 2, 2]), ops.reshape(x[:, :2], [2, 1])
    centred = y - ops.mean(y)
    return ops.reshape(centred * ops.rsqrt(ops.mean(centred * centred) + 1e-5) * by_row + by_row, [1, 4])


@pytest.mark.parametrize(
    "fails",
    [
        sum_of_a_broadcast,
        pytest.param(gather_by_a_number, marks=pytest.mark.slow),
        pytest.param(scaled_by_row, marks=pytest.mark.slow),
    ],
)
def test_a_failure_of_max_names_op_module_line_and_what_to_do(fails) -> None:
    table = fxmax.RuleTable(parent=fxmax.default_table())

    @table.rule(aten.sin.default, override=True)
    def sin(ctx, self):
        return ops.broadcast_to(fails(self), [1, 4]) if self.shape[1] == 4 else ops.sin(self)

    with pytest.raises(fxmax.CompileError) as raised:
        fxmax.lower(Net(), (torch.randn(1, 8),), table=table, quiet=True)
    text = str(raised.value)
    assert "sin_1" in raised.value.nodes
    assert not {"sin", "cos"} & set(raised.value.nodes)
    assert "sin_1: aten.sin.default in blocks.1, lowered by compiled/test_compile_failure.py" in text
    assert "return torch.sin(torch.cos(x))" in text
    assert "by a rule of your own" in text
    assert "MAX says:\n" in text


MOJO = """\
@export
def __cos_async(arg__0: Pointer) abi("Mojo"):
    __cos(arg__0)
def __cos(arg__0: OpaquePointer) raises:
    with Trace("cos", "fx-node-0:0:node"):
        cos.execute[1](arg__0)
struct store_1:
    def store(self): gather(self)
def __gather(arg__0: OpaquePointer) raises:
    with Trace("mul", "fx-node-2:0:node\\nfx-node-1:0:node"):
        gather.execute[2](arg__0)
"""


@pytest.mark.parametrize(
    ("error", "nodes"),
    [
        ("<unknown>:11:9: note: call expansion failed", ["2", "1"]),
        ("<unknown>:3:9: note: expansion failed\n<unknown>:6:30: note: expansion failed", ["0"]),
        ("error: invalid call\n        gather.execute[2](arg__0)\n    ~~~~~~~~~~", ["2", "1"]),
        ("<unknown>:8:9: note: in a struct\n<unknown>:0:0: note: nowhere", []),
        ("error: out of memory", []),
    ],
)
def test_an_error_in_the_mojo_that_max_made_is_of_the_kernel_around_it(tmp_path, error, nodes) -> None:
    (tmp_path / "graph.mojo").write_text(MOJO)
    assert list(in_kernels(tmp_path, error)) == nodes
