"""Order along one axis: arg-extrema, sorts, top-k, running extrema and products. Mojo, on the CPU.

MAX's own argmax, top_k and argsort differ from torch at NaN, at ties, or beyond one dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.dtype import DType
from max.graph import Dim, TensorType, TensorValue, ops

from fxmax.core import kernel_calls
from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.kernels.build import ROWS
from fxmax.rules.creation import filled
from fxmax.rules.lib.promotion import is_nan
from fxmax.rules.lib.sizes import has_zero, take
from fxmax.rules.lib.values import axis, cast, static

aten = torch.ops.aten


class AxisRows:
    """`x` as a matrix whose rows run along `dim`, the way to call a row kernel and to come back."""

    def __init__(self, x: TensorValue, dim: int | None) -> None:
        self.dtype = x.dtype
        if dim is None or x.rank == 0:
            x, dim = x.reshape([-1] if x.rank else [1]), 0
        self.dim = axis(dim, x.rank)
        x = ops.cast(x, DType.uint8) if x.dtype == DType.bool else x
        last = [*(d for d in range(x.rank) if d != self.dim), self.dim]
        x = x if last == sorted(last) else ops.permute(x, last)
        self.lead, self.size = list(x.shape[:-1]), x.shape[-1]
        rows = Dim(1)
        for size in self.lead:
            rows = rows * size
        self.matrix = x.reshape([rows, self.size])

    def call(self, name: str, widths: Sequence[Dim | int | None], **parameters: Any) -> list[TensorValue]:
        """The kernel's results: the first of the dtype of `x`, others int64; None is the row's size."""
        rows, types = self.matrix.shape[0], []
        for i, width in enumerate(widths):
            dtype = DType.int64 if i else self.matrix.dtype
            types.append(TensorType(dtype, [rows, self.size if width is None else width], self.matrix.device))
        device = self.matrix.device
        return kernel_calls.call(ROWS, f"fxmax.{name}", device, [self.matrix], types, **parameters)

    def back(self, matrix: TensorValue, out: TensorType) -> TensorValue:
        """A kernel's result in the place and shape that torch gives it."""
        matrix = cast(matrix, out.dtype)
        if self.dim == len(self.lead):
            return matrix.reshape(out.shape)
        y = matrix.reshape([*self.lead, matrix.shape[-1]])
        order = list(range(len(self.lead)))
        return ops.permute(y, [*order[: self.dim], len(order), *order[self.dim :]]).reshape(out.shape)


# -- extrema with their positions ----------------------------------------------------------------------


def _extremum(
    x: TensorValue, dim: int | None, outs: Sequence[TensorType], largest: bool
) -> list[TensorValue]:
    rows = AxisRows(x, dim)
    results = rows.call("extremum", [1, 1], largest=largest)
    return [rows.back(r, out) for r, out in zip(results, outs, strict=True)]


def _nothing(ctx: Context) -> list[TensorValue]:
    return [ops.broadcast_to(ctx.constant(0, out.dtype), out.shape) for out in ctx.out]


def _place(ctx: Context, x: TensorValue, dim: int | None, largest: bool) -> TensorValue:
    if has_zero(x.shape):
        return filled(ctx, 0)
    return _extremum(x, dim, [ctx.out.cast(x.dtype), ctx.out], largest)[1]


@rule(aten.argmax.default, platform="cpu")
def argmax(ctx: Context, self: TensorValue, dim: int | None, keepdim: bool) -> TensorValue:
    return _place(ctx, self, dim, True)


@rule(aten.argmin.default, platform="cpu")
def argmin(ctx: Context, self: TensorValue, dim: int | None, keepdim: bool) -> TensorValue:
    return _place(ctx, self, dim, False)


@rule(aten.max.dim, platform="cpu")
def max_dim(ctx: Context, self: TensorValue, dim: int, keepdim: bool) -> list[TensorValue]:
    return _nothing(ctx) if has_zero(self.shape) else _extremum(self, dim, ctx.out, True)


@rule(aten.min.dim, platform="cpu")
def min_dim(ctx: Context, self: TensorValue, dim: int, keepdim: bool) -> list[TensorValue]:
    return _nothing(ctx) if has_zero(self.shape) else _extremum(self, dim, ctx.out, False)


# -- sorts ------------------------------------------------------------------------------------------


def _sorted(
    ctx: Context, x: TensorValue, dim: int, descending: bool, start: int = 0, count: int | None = None
) -> Any:
    """Stable sort along `dim`: (values, indices), of each row `count` from `start` (default: all)."""
    if has_zero(x.shape):
        return _nothing(ctx)
    rows = AxisRows(x, dim)
    values, indices, _ = rows.call("sort", [None, None, None], descending=descending)
    if count is not None:
        values, indices = (take(ctx, m, 1, start, count) for m in (values, indices))
    return rows.back(values, ctx.out[0]), rows.back(indices, ctx.out[1])


@rule(aten.sort.default, platform="cpu")
def sort(ctx: Context, self: TensorValue, dim: int, descending: bool) -> Any:
    return _sorted(ctx, self, dim, descending)


@rule(aten.sort.stable, platform="cpu")
def sort_stable(ctx: Context, self: TensorValue, stable: bool | None, dim: int, descending: bool) -> Any:
    return _sorted(ctx, self, dim, descending)


@rule(aten.topk.default, platform="cpu")
def topk(ctx: Context, self: TensorValue, k: Any, dim: int, largest: bool, sorted: bool) -> Any:
    return _sorted(ctx, self, dim, largest, count=static(k, "k"))


@rule(aten.kthvalue.default, platform="cpu")
def kthvalue(ctx: Context, self: TensorValue, k: Any, dim: int, keepdim: bool) -> Any:
    return _sorted(ctx, self, dim, False, static(k, "k") - 1, 1)


@rule(aten.median.dim, platform="cpu")
def median(ctx: Context, self: TensorValue, dim: int, keepdim: bool) -> Any:
    """The lower of the two middle values; the first NaN where there is one."""
    if has_zero(self.shape):
        return _nothing(ctx)
    size = static(self.shape[axis(dim, self.rank)], "the size of the axis") if self.rank else 1
    middle = _sorted(ctx, self, dim, False, (size - 1) // 2, 1)
    top = _extremum(self, dim, ctx.out, True)
    return [ops.where(is_nan(top[0]), t, m) for t, m in zip(top, middle, strict=True)]


@rule(aten.median.default, platform="cpu")
def median_all(ctx: Context, self: TensorValue) -> TensorValue:
    rows = AxisRows(self, None)
    size = static(rows.size, "the number of values")
    if size == 0:
        return filled(ctx, float("nan"))
    values = rows.call("sort", [None, None, None], descending=False)[0]
    middle, top = (rows.back(take(ctx, values, 1, i, 1), ctx.out) for i in ((size - 1) // 2, size - 1))
    return ops.where(is_nan(top), top, middle)


# -- running ----------------------------------------------------------------------------------------


def _running(ctx: Context, x: TensorValue, dim: int, largest: bool) -> list[TensorValue]:
    if has_zero(x.shape):
        return _nothing(ctx)
    rows = AxisRows(x, dim)
    results = rows.call("running_extremum", [None, None], largest=largest)
    return [rows.back(r, out) for r, out in zip(results, ctx.out, strict=True)]


@rule(aten.cummax.default, platform="cpu")
def cummax(ctx: Context, self: TensorValue, dim: int) -> list[TensorValue]:
    return _running(ctx, self, dim, True)


@rule(aten.cummin.default, platform="cpu")
def cummin(ctx: Context, self: TensorValue, dim: int) -> list[TensorValue]:
    return _running(ctx, self, dim, False)


@rule(aten.cumprod.default, platform="cpu")
def cumprod(ctx: Context, self: TensorValue, dim: int) -> TensorValue:
    return _scan(ctx, "cumprod", self, dim)


@rule(aten.logcumsumexp.default, platform="cpu")
def logcumsumexp(ctx: Context, self: TensorValue, dim: int) -> TensorValue:
    return _scan(ctx, "logcumsumexp", self, dim)


def _scan(ctx: Context, name: str, x: TensorValue, dim: int) -> TensorValue:
    if has_zero(x.shape):
        return filled(ctx, 0)
    rows = AxisRows(cast(x, ctx.out.dtype), dim)
    return rows.back(rows.call(name, [None])[0], ctx.out)
