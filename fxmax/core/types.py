"""torch dtypes and MAX dtypes, and torch symbolic sizes as MAX dims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sympy
import torch
from max.dtype import DType
from max.graph import DeviceRef, Dim

from fxmax.fx.torch_private import CleanDiv, FloorDiv, Mod, PythonMod
from fxmax.runtime import dtypes
from fxmax.support.signals import Declined

TO_MAX: dict[torch.dtype, DType] = {
    torch.bool: DType.bool,
    torch.uint8: DType.uint8,
    torch.uint16: DType.uint16,
    torch.uint32: DType.uint32,
    torch.uint64: DType.uint64,
    torch.int8: DType.int8,
    torch.int16: DType.int16,
    torch.int32: DType.int32,
    torch.int64: DType.int64,
    torch.float16: DType.float16,
    torch.bfloat16: DType.bfloat16,
    torch.float32: DType.float32,
    torch.float64: DType.float64,
}
TO_TORCH: dict[DType, torch.dtype] = {m: t for t, m in TO_MAX.items()}

WIDENED_ON_CPU = frozenset(getattr(torch, name) for name in dtypes.WIDENED_ON_CPU)


def compute_dtype(dtype: torch.dtype, device: DeviceRef) -> DType:
    """The MAX dtype that stands for `dtype` on `device`.

    Raises:
        Declined: MAX has no such dtype (complex, quantized and float8 types).
    """
    if dtype not in TO_MAX:
        raise Declined(f"MAX has no tensors of {dtype}")
    return dtypes.graph_dtype(TO_MAX[dtype].name, device.is_cpu())


def coarsest(dtypes: Iterable[torch.dtype], device: DeviceRef) -> torch.dtype | None:
    """Of the floats that stand for `dtypes` on `device` the one that rounds most; None without floats."""
    known = [dtype for dtype in dtypes if dtype.is_floating_point and dtype in TO_MAX]
    floats = [TO_TORCH[compute_dtype(dtype, device)] for dtype in known]
    return max(floats, key=lambda dtype: torch.finfo(dtype).eps, default=None)


class Symbols:
    """Names for torch's symbolic sizes: the user's `Dim` names where known, else torch's."""

    def __init__(
        self,
        names: Mapping[sympy.Symbol, str] | None = None,
        solved: Mapping[sympy.Symbol, Dim] | None = None,
    ) -> None:
        self.names = names or {}
        self.solved = solved or {}  # symbols that only derived sizes tell of

    def dim(self, size: int | torch.SymInt) -> Dim:
        """A size as a MAX dim: static, symbolic, or algebraic over symbolic ones."""
        if isinstance(size, int):
            return Dim(size)
        return self._dim(size.node.expr)

    def text(self, size: int | torch.SymInt) -> int | str:
        """A size in the user's names: an int, `batch`, or `2*half + 1`."""
        if isinstance(size, int):
            return size
        named = {s: sympy.Symbol(name) for s, name in self.names.items()}
        expr = size.node.expr.subs(named)
        return int(expr) if expr.is_Integer else str(expr)

    def _dim(self, expr: sympy.Expr) -> Dim:
        if expr.is_Integer:
            return Dim(int(expr))
        if expr in self.solved:
            return self.solved[expr]
        if isinstance(expr, sympy.Symbol):
            return Dim(self.names.get(expr, str(expr)))
        if isinstance(expr, (sympy.Add, sympy.Mul)):
            first, *rest = (self._dim(e) for e in expr.args)
            for term in rest:
                first = first + term if isinstance(expr, sympy.Add) else first * term
            return first
        if isinstance(expr, sympy.Pow) and expr.exp.is_Integer and expr.exp > 0:
            base = result = self._dim(expr.base)
            for _ in range(int(expr.exp) - 1):
                result = result * base
            return result
        if isinstance(expr, (FloorDiv, CleanDiv)):
            return self._dim(expr.args[0]) // self._dim(expr.args[1])
        if isinstance(expr, (Mod, PythonMod)):
            a, b = map(self._dim, expr.args)
            return a - (a // b) * b
        raise Declined(f"MAX has no dimension for the symbolic size {expr}")
