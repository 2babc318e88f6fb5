"""`act(x @ w.T + bias) + residual` with w in packed panels: bias, activation and sum cost no pass.

w is float32, or int8 with a float32 scale for each of its rows, which multiplies the sums. With
int8 weights x may be rounded to int8 too (`dynamic`), in groups, as its rows are packed.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from max.runtime.asyncrt import parallelism_level
from std.math import erf, exp, tanh
from std.utils.numerics import min_or_neg_inf, nan
from std.sys import size_of

from .dot import GROUP, I8, Rounded, dot_product
from .tile import (
    F32, KB, MR, NR, NV, Packed, Ptr, Vector, W, ceil_div, load, pack_window, panel, scratch, store, tile_product,
)

comptime PANEL_BYTES = 1 << 20
"""Panels of B that a thread goes through before it takes its next rows: about an L2 cache."""
comptime SERIAL_FLOPS = 100_000
"""Below this, starting a second thread costs more than it saves."""


@always_inline
def activate[activation: StaticString](x: Vector) -> Vector:
    """As torch has it: NaN stays, and minus infinity times a curve's 0 is NaN."""
    comptime if activation == "relu":
        return x.lt(0).select(Vector(0), x)
    elif activation == "relu6":
        return x.gt(6).select(Vector(6), x.lt(0).select(Vector(0), x))
    elif activation == "hardswish":
        return x * activate["relu6"](x + 3) / 6
    elif activation == "":
        return x
    else:
        return x.eq(min_or_neg_inf[F32]()).select(Vector(nan[F32]()), curve[activation](x))


@always_inline
def curve[activation: StaticString](x: Vector) -> Vector:
    comptime if activation == "gelu":
        return x * 0.5 * (1 + erf(x * 0.70710678118654752))
    elif activation == "gelu_tanh":
        return x * 0.5 * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)))
    else:
        comptime assert activation == "silu", "no such activation"
        return x / (1 + exp(-x))


@fieldwise_init
struct Rows(ImplicitlyCopyable, Movable):
    """Where the rows of A are: row i is x[i * stride - shift :][: k], of an array of `length` floats.

    A linear has shift 0 and stride k; a 1-d convolution over (length, channels) is the same
    product, its rows being windows that overlap and that may start or end outside.
    """

    var x: Ptr
    var stride: Int
    var shift: Int
    var length: Int

    def pack(self, first: Int, rows: Int, k: Int, a: Ptr):
        for r in range(rows):
            var start = (first + r) * self.stride - self.shift
            pack_window(self.x.unsafe_offset(start), -start, min(k, self.length - start), k, a, r)

    def round(self, first: Int, rows: Int, k: Int, a: Rounded):
        for r in range(rows):
            var start = (first + r) * self.stride - self.shift
            a.pack_window(self.x.unsafe_offset(start), -start, min(k, self.length - start), k, r)


def matmul[
    dtype: DType, dynamic: Bool, activation: StaticString, has_bias: Bool, has_residual: Bool
](
    rows_of: Rows, w: Packed[dtype], scales: Ptr, bias: Ptr, residual: Ptr,
    result: Ptr, m: Int, n: Int, k: Int, threads: Int,
) raises:
    """The product (m, n) of m rows of k floats and the packed panels w."""
    comptime step = GROUP if dynamic else KB
    var kp = ceil_div(k, step) * step
    var panels = ceil_div(n, NR)
    var tiles = ceil_div(m, MR)
    var by_rows = tiles >= 2 * threads
    # The int8 dot product does four times as much in the time.
    var workers = threads if 2 * m * n * k >= SERIAL_FLOPS * (4 if dynamic else 1) else 1
    var chunk = max(4, PANEL_BYTES // (kp * NR * size_of[dtype]()))

    def work(t: Int) raises {
        var rows_of, var w, var scales, var bias, var residual, var result,
        var m, var n, var k, var kp, var panels, var tiles, var by_rows, var workers, var chunk,
    }:
        var a = scratch(0 if dynamic else MR * kp)
        var rounded = Rounded(kp if dynamic else 0)
        var tile_from = tiles * t // workers if by_rows else 0
        var tile_to = tiles * (t + 1) // workers if by_rows else tiles
        var panel_from = 0 if by_rows else panels * t // workers
        var panel_to = panels if by_rows else panels * (t + 1) // workers
        for first in range(panel_from, panel_to, chunk):
            for tile in range(tile_from, tile_to):
                var i = tile * MR
                var rows = min(MR, m - i)
                comptime if dynamic:
                    rows_of.round(i, rows, k, rounded)
                else:
                    rows_of.pack(i, rows, k, a)
                for p in range(first, min(first + chunk, panel_to)):
                    var acc: Array[Vector, MR * NV]
                    comptime if dynamic:
                        acc = dot_product(rows, rounded, rebind[Packed[I8]](w), p * NR, kp)
                    else:
                        acc = tile_product(rows, a, panel(w, p * NR, kp), kp)
                    comptime for v in range(NV):
                        var j = p * NR + v * W
                        if j < n:
                            var b = Vector(0)
                            comptime if has_bias:
                                b = load(bias.unsafe_offset(j), n - j)
                            var scale = Vector(1)
                            comptime if dtype != F32:
                                scale = load(scales.unsafe_offset(j), n - j)
                            comptime for r in range(MR):
                                if r < rows:
                                    var y = activate[activation](acc[r * NV + v].fma(scale, b))
                                    var at = (i + r) * n + j
                                    comptime if has_residual:
                                        y += load(residual.unsafe_offset(at), n - j)
                                    store(result.unsafe_offset(at), y, n - j)
        a.unsafe_free()
        rounded.free()

    if workers == 1:
        work(0)
    else:
        sync_parallelize(work, workers)


@extensibility.register("fxmax.linear")
struct Linear:
    """From x (m, k), w packed of (n, k), its scales (n) where it is int8, bias (n), residual (m, n)."""

    @staticmethod
    def execute[
        dtype: DType, dynamic: Bool, activation: StaticString, has_bias: Bool, has_residual: Bool,
        target: StaticString,
    ](
        result: OutputTensor[dtype=F32, rank=2, ...],
        x: InputTensor[dtype=F32, rank=2, ...],
        w: InputTensor[dtype=dtype, rank=3, ...],
        scales: InputTensor[dtype=F32, rank=1, ...],
        bias: InputTensor[dtype=F32, rank=1, ...],
        residual: InputTensor[dtype=F32, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        var m = x.dim_size(0)
        var k = x.dim_size(1)
        matmul[dtype, dynamic, activation, has_bias, has_residual](
            Rows(rebind[Ptr](x.unsafe_ptr()), k, 0, m * k), rebind[Packed[dtype]](w.unsafe_ptr()),
            rebind[Ptr](scales.unsafe_ptr()), rebind[Ptr](bias.unsafe_ptr()),
            rebind[Ptr](residual.unsafe_ptr()), rebind[Ptr](result.unsafe_ptr()),
            m, result.dim_size(1), k, parallelism_level(None),
        )


@extensibility.register("fxmax.conv1d")
struct Conv1d:
    """From x (batch, length, c), w packed of (f, taps * c), bias (f) → (batch, length', f)."""

    @staticmethod
    def execute[
        activation: StaticString, taps: Int, stride: Int, padding: Int, has_bias: Bool, target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=3, ...],
        x: InputTensor[dtype=F32, rank=3, ...],
        w: InputTensor[dtype=F32, rank=3, ...],
        bias: InputTensor[dtype=F32, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        var length = x.dim_size(1)
        var c = x.dim_size(2)
        var m = result.dim_size(1)
        var n = result.dim_size(2)
        var b = rebind[Ptr](bias.unsafe_ptr())
        for i in range(x.dim_size(0)):
            var xp = rebind[Ptr](x.unsafe_ptr()).unsafe_offset(i * length * c)
            var op = rebind[Ptr](result.unsafe_ptr()).unsafe_offset(i * m * n)
            matmul[F32, False, activation, has_bias, False](
                Rows(xp, stride * c, padding * c, length * c), rebind[Ptr](w.unsafe_ptr()), b, b, b,
                op, m, n, taps * c, parallelism_level(None),
            )
