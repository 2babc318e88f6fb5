"""Large linears with seven products of half the size for eight: Strassen's algorithm.

For where the multiplications themselves are the limit: up to 17 % less time, for 1.75 times the memory
of these weights and about three times the rounding (relative to the output's scale, some 2e-6).
"""

from __future__ import annotations

import math

import torch
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import statically_known_true

from fxmax.fx.edit import emit
from fxmax.fx.schema import arguments
from fxmax.kernels.packing import BLOCK, PANEL
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite
from fxmax.support.signals import Skip

LINEAR = torch.ops.fxmax.linear.default
LEAST = 256
"""Rows, features in and features out: below it, the sums cost what they save."""


@rewrite(replaces=(), emits=(LINEAR,), after=("fuse_linear",))
def strassen(r: Rewriter) -> None:
    """fxmax.linear(x, w) → fxmax.linear(x, w, strassen=True), of a large float32 w that splits in halves."""
    r.each([LINEAR], _in_sevenths)


def _in_sevenths(r: Rewriter, node: Node) -> Node:
    """For sizes that strassen.mojo takes and gains by; of rows, a symbolic number may be known to suffice."""
    a = arguments(node)
    x: torch.Tensor = a["input"].meta["val"]
    n, k = a["weight"].meta["val"].shape
    if not r.is_weight(a["weight"]):
        raise Skip("its weight is computed in the graph, not a parameter of the module")
    if x.dtype != torch.float32:
        raise Skip("it is not in float32, which the kernel is for")
    if min(n, k) < LEAST or not statically_known_true(math.prod(x.shape[:-1]) >= LEAST):
        raise Skip(f"it has fewer than {LEAST} rows, features in or features out: too few to gain")
    if n % (2 * PANEL) or k % (2 * BLOCK):
        raise Skip(f"its features don't split into halves of whole blocks ({PANEL} out, {BLOCK} in)")
    return emit(node, LINEAR, tuple((a | {"strassen": True}).values()), node)
