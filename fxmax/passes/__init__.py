"""fx → fx rewrites, one idea a file, each optional. `PASSES` is the order they run in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram

import fxmax.fx.custom_ops  # noqa: F401 - defines the ops
from fxmax.core.table import RuleTable
from fxmax.errors import FxmaxError
from fxmax.fx.edit import rename_outputs
from fxmax.passes.attention_heads_first import heads_attention
from fxmax.passes.attention_layout import attention_layout
from fxmax.passes.cached_attention import cached_attention
from fxmax.passes.complex_pairs import complex_pairs
from fxmax.passes.conv_layout import conv_layout
from fxmax.passes.drop_asserts import drop_asserts
from fxmax.passes.fold_permutes import fold_permutes
from fxmax.passes.fuse_conv import fuse_conv
from fxmax.passes.fuse_linear import fuse_linear
from fxmax.passes.items_as_tensors import items_as_tensors
from fxmax.passes.linear_layout import linear_layout
from fxmax.passes.matmul_transposed import row_products
from fxmax.passes.strassen import strassen

Pass = Callable[[ExportedProgram], None]

PASSES: dict[str, Pass] = {
    "drop_asserts": drop_asserts,
    "items_as_tensors": items_as_tensors,
    "complex_pairs": complex_pairs,
    "linear_layout": linear_layout,
    "fuse_conv": fuse_conv,
    "conv_layout": conv_layout,
    "cached_attention": cached_attention,
    "attention_layout": attention_layout,
    "heads_attention": heads_attention,
    "row_products": row_products,
    "fold_permutes": fold_permutes,
    "fuse_linear": fuse_linear,
    "strassen": strassen,
}


# A pass runs only where the table lowers these ops by fxmax's own rules: a rule of yours for one of
# them would otherwise be passed over, and a table without the new op could not lower it.
aten, fused = torch.ops.aten, torch.ops.fxmax
FOLLOWERS = (
    aten.add.Tensor,
    aten.gelu.default,
    aten.relu.default,
    aten.silu.default,
    aten.hardtanh.default,
    aten.hardswish.default,
)
NEEDS: dict[str, tuple[OpOverload, ...]] = {
    "items_as_tensors": (aten.select.int, aten.index.Tensor, aten.reshape.default),
    "linear_layout": (aten.matmul.default, aten.mm.default, aten.addmm.default, aten.linear.default),
    "fuse_conv": (
        aten.conv1d.default,
        aten.conv2d.default,
        aten.conv3d.default,
        aten._native_batch_norm_legit_no_training.default,
        aten.batch_norm.default,
        *FOLLOWERS,
        fused.conv.default,
    ),
    "conv_layout": (aten.conv1d.default, aten.permute.default, fused.conv1d.default),
    "cached_attention": (
        aten.scaled_dot_product_attention.default,
        aten.mul.Tensor,
        aten.slice.Tensor,
        aten.slice_scatter.default,
        aten.copy.default,
        fused.cached_attention.default,
        fused.write_places.default,
    ),
    "attention_layout": (
        aten.scaled_dot_product_attention.default,
        aten.permute.default,
        fused.attention.default,
    ),
    "heads_attention": (aten.scaled_dot_product_attention.default, fused.heads_attention.default),
    "row_products": (
        aten.matmul.default,
        aten.bmm.default,
        aten.mm.default,
        aten.permute.default,
        aten.transpose.int,
        fused.row_products.default,
    ),
    "fold_permutes": (aten.permute.default,),
    "fuse_linear": (
        aten.linear.default,
        *FOLLOWERS,
        fused.linear.default,
        fused.conv1d.default,
    ),
    "strassen": (fused.linear.default,),
}


def run_passes(program: ExportedProgram, table: RuleTable, names: Sequence[str] | None = None) -> None:
    """Run the named passes (None: all of them) on `program`, in place, in the order of `PASSES`."""
    if names is not None and (unknown := set(names) - set(PASSES)):
        raise FxmaxError(f"no such pass: {', '.join(sorted(unknown))}; known: {', '.join(PASSES)}")
    for name, rewrite in PASSES.items():
        built_in = all(_built_in(table, op) for op in NEEDS.get(name, ()))
        if built_in and (names is None or name in names):
            rewrite(program)
            rename_outputs(program.graph, program.graph_signature)
    program.graph_module.graph.lint()
    program.graph_module.recompile()


def _built_in(table: RuleTable, op: OpOverload) -> bool:
    """Whether one of fxmax's own rules lowers `op`."""
    rule = table.get(op)
    return rule is not None and rule.builtin
