"""Products of two batches of float32 matrices that both come from the graph: a b and a bᵀ; b is packed on the way."""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from max.runtime.asyncrt import parallelism_level

from .attention import Head
from .linear import PANEL_BYTES, SERIAL_FLOPS
from .tile import (
    CHUNK, F32, KB, MR, NR, NV, PANEL, Ptr, Vector, W, ceil_div, load, pack_window, panel, scratch, store, tile_product,
)


comptime FEW = 4
"""Rows up to which b is read once as it lies."""
comptime STRIP = 4
"""Vectors of columns that are read at once then."""


def products[rows_of_b: Bool](a: Ptr, b: Ptr, result: Ptr, batch: Int, m: Int, n: Int, k: Int) raises:
    """Of a (batch, m, k) and b (batch, k, n), or its rows (batch, n, k) → (batch, m, n)."""
    if batch * m * n == 0:
        return
    var kp = ceil_div(k, KB) * KB
    var tiles = ceil_div(m, MR)
    var panels = ceil_div(n, PANEL)
    var threads = parallelism_level(None)
    # A batch is cut by its columns, so that no two threads pack the same part of B.
    var parts = min(ceil_div(threads, batch), panels)
    var items = batch * parts
    var workers = min(threads, items) if 2 * batch * m * n * k >= SERIAL_FLOPS else 1
    var chunk = max(1, PANEL_BYTES // (kp * PANEL * 4))

    def work(t: Int) raises {
        var a, var b, var result, var m, var n, var k, var kp, var tiles, var panels, var parts, var items,
        var workers, var chunk,
    }:
        var packed = scratch(min(chunk, panels) * kp * PANEL)
        var rows_of_a = scratch(MR * kp)
        for item in range(items * t // workers, items * (t + 1) // workers):
            var i = item // parts
            var part = item % parts
            var panel_to = panels * (part + 1) // parts
            for first in range(panels * part // parts, panel_to, chunk):
                var column = first * PANEL
                var columns = min(min(first + chunk, panel_to) * PANEL, n) - column
                comptime if rows_of_b:
                    Head(b.unsafe_offset((i * n + column) * k), k, columns, k).pack_transposed(packed)
                else:
                    Head(b.unsafe_offset(i * k * n + column), n, k, columns).pack(packed)
                for tile in range(tiles):
                    var rows = min(MR, m - tile * MR)
                    for r in range(rows):
                        pack_window(a.unsafe_offset((i * m + tile * MR + r) * k), 0, k, k, rows_of_a, r)
                    for j in range(0, columns, NR):
                        var acc = tile_product(rows, rows_of_a, panel(packed, j, kp), kp)
                        comptime for v in range(NV):
                            if j + v * W < columns:
                                comptime for r in range(MR):
                                    if r < rows:
                                        var to = (i * m + tile * MR + r) * n + column + j + v * W
                                        store(result.unsafe_offset(to), acc[r * NV + v], columns - j - v * W)
        packed.unsafe_free()
        rows_of_a.unsafe_free()

    if workers == 1:
        work(0)
    else:
        sync_parallelize(work, workers)


@always_inline
def strip[rows: Int](a: Ptr, b: Ptr, result: Ptr, n: Int, k: Int, columns: Int):
    """The first `columns` columns, at most a strip, of a (rows, k) times b (k, n)."""
    var total = Array[Vector, rows * STRIP](fill=Vector(0))
    for first in range(0, k, KB * CHUNK):
        var acc = Array[Vector, rows * STRIP](fill=Vector(0))
        for i in range(first, min(first + KB * CHUNK, k)):
            comptime for v in range(STRIP):
                if v * W < columns:
                    var value = load(b.unsafe_offset(i * n + v * W), columns - v * W)
                    comptime for r in range(rows):
                        acc[r * STRIP + v] = Vector(a[unsafe_offset=r * k + i]).fma(value, acc[r * STRIP + v])
        comptime for i in range(rows * STRIP):
            total[i] += acc[i]
    comptime for v in range(STRIP):
        if v * W < columns:
            comptime for r in range(rows):
                store(result.unsafe_offset(r * n + v * W), total[r * STRIP + v], columns - v * W)


def few_rows(a: Ptr, b: Ptr, result: Ptr, batch: Int, m: Int, n: Int, k: Int) raises:
    """Of a (batch, m, k), m being FEW at most, and b (batch, k, n) → (batch, m, n)."""
    comptime width = STRIP * W
    var strips = ceil_div(n, width)
    var workers = parallelism_level(None) if 2 * batch * m * n * k >= SERIAL_FLOPS else 1

    def work(t: Int) raises {var a, var b, var result, var batch, var m, var n, var k, var strips, var workers}:
        for item in range(batch * strips * t // workers, batch * strips * (t + 1) // workers):
            var i = item // strips
            var column = item % strips * width
            var columns = min(width, n - column)
            var rows = a.unsafe_offset(i * m * k)
            var from_b = b.unsafe_offset(i * k * n + column)
            var to = result.unsafe_offset(i * m * n + column)
            if m == FEW:
                strip[FEW](rows, from_b, to, n, k, columns)
            else:
                for r in range(m):
                    strip[1](rows.unsafe_offset(r * k), from_b, to.unsafe_offset(r * n), n, k, columns)

    if workers == 1:
        work(0)
    else:
        sync_parallelize(work, workers)


@extensibility.register("fxmax.products")
struct Products:
    """From a (b, m, k) and b (b, k, n) → (b, m, n)."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=3, ...],
        a: InputTensor[dtype=F32, rank=3, ...],
        b: InputTensor[dtype=F32, rank=3, ...],
        ctx: DeviceContext,
    ) raises:
        var ap = rebind[Ptr](a.unsafe_ptr())
        var bp = rebind[Ptr](b.unsafe_ptr())
        var to = rebind[Ptr](result.unsafe_ptr())
        var m = a.dim_size(1)
        if m <= FEW:
            few_rows(ap, bp, to, a.dim_size(0), m, b.dim_size(2), a.dim_size(2))
        else:
            products[False](ap, bp, to, a.dim_size(0), m, b.dim_size(2), a.dim_size(2))


@extensibility.register("fxmax.row_products")
struct RowProducts:
    """From a (b, m, k) and b (b, n, k) → (b, m, n)."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=3, ...],
        a: InputTensor[dtype=F32, rank=3, ...],
        b: InputTensor[dtype=F32, rank=3, ...],
        ctx: DeviceContext,
    ) raises:
        products[True](
            rebind[Ptr](a.unsafe_ptr()), rebind[Ptr](b.unsafe_ptr()), rebind[Ptr](result.unsafe_ptr()),
            a.dim_size(0), a.dim_size(1), b.dim_size(1), a.dim_size(2),
        )
