"""The dtype that a graph computes a torch dtype in, by its name. No torch."""

from __future__ import annotations

from max.dtype import DType

# MAX's CPU kernels do not compile for these: the CPU computes them in float32.
WIDENED_ON_CPU = frozenset({"float16", "bfloat16"})


def graph_dtype(name: str, on_cpu: bool) -> DType:
    """The graph's dtype for torch's dtype of that name, which must be one that MAX has."""
    return DType.float32 if on_cpu and name in WIDENED_ON_CPU else DType[name]
