"""Core ATen against the table: which overloads an inference graph can hold, and how each is lowered."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from fxmax.core.table import RuleTable
from fxmax.frontend.decompositions import decompositions_for
from fxmax.fx.torch_private import OpOverload, OpOverloadPacket

TRAINING = "computes gradients; fxmax lowers inference"
RANDOM = "draws random numbers: MAX's generator gives others than torch's, so no output could be compared"
COMPLEX = "has a complex operand or result, and MAX has no complex dtype"
OUT = "writes to an out= tensor; torch.export never emits it (it makes graphs functional)"
STORAGE = "asks for a tensor's memory layout, which a MAX value does not have; export resolves it"

# Core ATen overloads that are not lowered on purpose: overload → reason.
EXCLUDED: dict[str, str] = {
    "aten._adaptive_avg_pool2d_backward.default": TRAINING,
    "aten.avg_pool2d_backward.default": TRAINING,
    "aten.convolution_backward.default": TRAINING,
    "aten.embedding_dense_backward.default": TRAINING,
    "aten.max_pool2d_with_indices_backward.default": TRAINING,
    "aten.native_group_norm_backward.default": TRAINING,
    "aten.native_layer_norm_backward.default": TRAINING,
    "aten._native_batch_norm_legit.default": "updates running statistics, as training does; "
    "in eval mode export emits _native_batch_norm_legit_no_training",
    "aten.rand.default": RANDOM,
    "aten.randn.default": RANDOM,
    "aten.randperm.default": RANDOM,
    "aten._fft_r2c.default": COMPLEX,
    "aten._fft_c2r.default": COMPLEX,
    "aten.atan2.out": OUT,
    "aten.sym_is_contiguous.default": STORAGE,
    "aten.sym_storage_offset.default": STORAGE,
    "aten.sym_stride.int": STORAGE,
    "aten._local_scalar_dense.default": "reads a tensor's value into Python; MAX's shapes and control "
    "flow cannot depend on it",
}

# Nodes whose result is a size: the walk turns them into MAX dims without a rule.
STRUCTURAL = frozenset({"aten.sym_size.int", "aten.sym_numel.default"})

# Overloads that no sample can prove: overload → why.
UNPROVABLE: dict[str, str] = {
    "aten.empty_strided.default": "its values are undefined",
    **dict.fromkeys(STRUCTURAL, "a size: see tests/lowering/test_dynamic_sizes.py"),
}

How = Literal["rule", "decomposition", "structural", "excluded", "missing"]


class Status(NamedTuple):
    """How a core overload is lowered; `detail` is the rule's file, or the reason of an exclusion."""

    how: How
    detail: str = ""


def core_overloads() -> list[OpOverload]:
    """Every ATen overload that torch tags as core, by name."""
    overloads = []
    for name in dir(torch.ops.aten):
        packet = getattr(torch.ops.aten, name)
        if isinstance(packet, OpOverloadPacket):
            overloads += [getattr(packet, overload) for overload in packet.overloads()]
    return sorted((o for o in overloads if torch.Tag.core in o.tags), key=str)


def statuses(table: RuleTable) -> dict[str, Status]:
    """How `table` lowers each core overload, by name."""
    decomposed = decompositions_for(table)
    return {str(o): _status(o, table, o in decomposed) for o in core_overloads()}


def _status(overload: OpOverload, table: RuleTable, decomposed: bool) -> Status:
    name = str(overload)
    if overload in table:
        return Status("rule", rule_file(overload, table))
    if name in EXCLUDED:
        return Status("excluded", EXCLUDED[name])
    if name in STRUCTURAL:
        return Status("structural")
    return Status("decomposition" if decomposed else "missing")


def rule_file(overload: OpOverload, table: RuleTable) -> str:
    """`rules/conv.py`: where the overload's rule is written; `rules/norm.py [any, cpu]` of more than one.

    What has the CPU's alone, `rules/sort.py [cpu]`, runs on the host in a GPU's graph.
    """
    platforms: dict[str, list[str]] = {}
    for rule in table.rules_of(overload):
        path = rule.where.rpartition(":")[0].replace("\\", "/")
        platforms.setdefault("/".join(path.split("/")[-2:]), []).append(rule.platform or "any")
    return ", ".join(f if on == ["any"] else f"{f} [{', '.join(on)}]" for f, on in platforms.items())
