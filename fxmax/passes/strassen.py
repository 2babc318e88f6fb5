"""Large linears with seven products of half the size for eight: Strassen's algorithm.

For where the multiplications themselves are the limit: up to 17 % less time, for 1.75 times the memory
of these weights and about three times the rounding (relative to the output's scale, some 2e-6).
"""

from __future__ import annotations

import math

import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import statically_known_true

from fxmax.fx.edit import arguments, calls, emit, parameters, rank, replace
from fxmax.kernels.packing import BLOCK, PANEL

LEAST = 256
"""Rows, features in and features out: below it, the sums cost what they save."""


def strassen(program: ExportedProgram) -> None:
    """fxmax.linear of a float32 weight, where it is large and splits in halves → itself with `strassen`."""
    weights = parameters(program)
    for node in calls(program, torch.ops.fxmax.linear.default):
        a = arguments(node)
        if a["weight"].name in weights and _large(a["input"], a["weight"]):
            replace(node, emit(node, node.target, tuple((a | {"strassen": True}).values()), node))  # type: ignore[arg-type]


def _large(input: Node, weight: Node) -> bool:
    """Sizes that strassen.mojo takes and gains by; a symbolic number of rows may be at least so large."""
    x = input.meta["val"]
    if x.dtype != torch.float32 or rank(weight) != 2:
        return False
    n, k = weight.meta["val"].shape
    splits = n % (2 * PANEL) == k % (2 * BLOCK) == 0
    return splits and min(n, k) >= LEAST and statically_known_true(math.prod(x.shape[:-1]) >= LEAST)
