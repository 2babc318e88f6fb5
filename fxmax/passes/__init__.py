"""fx → fx rewrites, one idea a file, each optional. `PASSES` has them in the order they run in.

A pass says beside itself what it replaces, what it makes and what it runs after (`registry.rewrite`).
What it leaves although it looks for such nodes, it says why: see `fxmax.Report.skipped`.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from torch.export import ExportedProgram

from fxmax.core.table import RuleTable
from fxmax.errors import OptionError
from fxmax.fx.edit import rename_outputs
from fxmax.passes import (  # noqa: F401 - each registers itself
    attention_heads_first,
    attention_layout,
    cached_attention,
    complex_pairs,
    conv_layout,
    drop_asserts,
    fold_permutes,
    fuse_conv,
    fuse_linear,
    items_as_tensors,
    linear_layout,
    matmul_transposed,
    strassen,
)
from fxmax.passes.lib.rewriter import skipped_nodes
from fxmax.passes.registry import REGISTERED, Pass, in_order
from fxmax.records import PassRecord, SkippedNode

__all__ = ["PASSES", "Pass", "Rewrites", "pass_names", "run_passes"]

PASSES: dict[str, Pass] = in_order(REGISTERED)


class Rewrites(NamedTuple):
    """What became of every pass, and the nodes that passes left as they were."""

    passes: list[PassRecord]
    skipped: list[SkippedNode]


def pass_names(names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The passes that are named (None: all of them), in the order that they run in.

    Raises:
        OptionError: there is no pass of such a name.
    """
    if names is None:
        return tuple(PASSES)
    for name in names:
        if name not in PASSES:
            close = get_close_matches(name, PASSES, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(PASSES)}"
            raise OptionError(f"no such pass: {name}; {hint}")
    return tuple(name for name in PASSES if name in names)


def run_passes(program: ExportedProgram, table: RuleTable, names: Sequence[str] | None = None) -> Rewrites:
    """Run the named passes (None: all of them) on `program`, in place, in the order of `PASSES`.

    Raises:
        OptionError: there is no pass of such a name.
    """
    chosen, records = pass_names(names), []
    for name, one in PASSES.items():
        if name not in chosen:
            records.append(one.skipped("passes= does not name it"))
            continue
        records.append(one.apply(program, table))
        rename_outputs(program.graph, program.graph_signature)
    program.graph.lint()
    program.graph_module.recompile()
    return Rewrites(records, skipped_nodes(program.graph))
