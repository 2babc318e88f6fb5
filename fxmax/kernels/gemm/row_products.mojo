"""a bᵀ of two batches of float32 matrices that both come from the graph: b is packed on the way."""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from max.runtime.asyncrt import parallelism_level

from .attention import Head
from .linear import PANEL_BYTES, SERIAL_FLOPS
from .tile import F32, KB, MR, NR, NV, PANEL, Ptr, W, ceil_div, pack_window, panel, scratch, store, tile_product


def row_products(a: Ptr, b: Ptr, result: Ptr, batch: Int, m: Int, n: Int, k: Int) raises:
    """Of each row of a (batch, m, k) with each of b (batch, n, k) → (batch, m, n)."""
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
                Head(b.unsafe_offset((i * n + column) * k), k, columns, k).pack_transposed(packed)
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
        row_products(
            rebind[Ptr](a.unsafe_ptr()), rebind[Ptr](b.unsafe_ptr()), rebind[Ptr](result.unsafe_ptr()),
            a.dim_size(0), a.dim_size(1), b.dim_size(1), a.dim_size(2),
        )
