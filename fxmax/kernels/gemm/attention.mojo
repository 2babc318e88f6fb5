"""Attention, softmax(scale · q kᵀ) v over (batch, seq, heads, dim), a tile of query rows at a time.

The scores of MR query rows against every key fit a core's L2 cache (72 KB at 1500 keys), so the
softmax is the plain one, and the score tile is written in the layout in which the second product
reads its left side. Keys and values are packed once for each head and thread.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from max.runtime.asyncrt import parallelism_level
from std.math import exp

from .tile import (
    F32, KB, MR, NR, NV, PANEL, Ptr, Vector, W,
    ceil_div, load, pack_window, panel, scratch, store, tile_product,
)


@fieldwise_init
struct Head(ImplicitlyCopyable, Movable):
    """Rows of one head: row s is x[s * stride :][: dim]."""

    var x: Ptr
    var stride: Int
    var rows: Int
    var dim: Int

    def pack_transposed(self, to: Ptr):
        """As B of q kᵀ: [rows / PANEL][dim padded][PANEL], column s being row s."""
        var dp = ceil_div(self.dim, KB) * KB
        for s in range(ceil_div(self.rows, PANEL) * PANEL):
            var column = panel(to, s, dp)
            for d in range(dp):
                var there = s < self.rows and d < self.dim
                column[unsafe_offset=d * PANEL] = self.x[unsafe_offset=s * self.stride + d] if there else Float32(0)

    def pack(self, to: Ptr):
        """As B of p v: [dim / PANEL][rows padded][PANEL]."""
        var rp = ceil_div(self.rows, KB) * KB
        for s in range(rp):
            for j in range(0, ceil_div(self.dim, PANEL) * PANEL, W):
                var value = Vector(0)
                if s < self.rows and j < self.dim:
                    value = load(self.x.unsafe_offset(s * self.stride + j), self.dim - j)
                panel(to, j, rp).unsafe_offset(s * PANEL).unsafe_store(value)


@always_inline
def softmax(scores: Ptr, r: Int, keys: Int) -> Float32:
    """Row r of a packed score tile → exp(x - max), in place, zero past the last key; its sum."""
    var blocks = ceil_div(keys, KB)
    comptime B = SIMD[F32, KB]
    var most = B(Float32.MIN_FINITE)
    for b in range(keys // KB):
        most = max(most, scores.unsafe_offset((b * MR + r) * KB).unsafe_load[width=KB]())
    var top = most.reduce_max()
    for j in range(keys // KB * KB, keys):
        top = max(top, scores[unsafe_offset=((j // KB) * MR + r) * KB + j % KB])
    var total = B(0)
    for b in range(blocks):
        var at = scores.unsafe_offset((b * MR + r) * KB)
        var x = exp(at.unsafe_load[width=KB]() - top)
        if b == keys // KB:
            for j in range(keys % KB, KB):
                x[j] = 0
        at.unsafe_store(x)
        total += x
    return total.reduce_add()


def attend_rows(q: Head, first: Int, k: Ptr, v: Ptr, keys: Int, scale: Float32, a: Ptr, scores: Ptr, result: Head):
    """The output rows of one tile of query rows."""
    var rows = min(MR, q.rows - first)
    var dp = ceil_div(q.dim, KB) * KB
    var kp = ceil_div(keys, KB) * KB
    for r in range(rows):
        pack_window(q.x.unsafe_offset((first + r) * q.stride), 0, q.dim, q.dim, a, r)
    for i in range(0, MR * dp, W):
        var at = a.unsafe_offset(i)
        at.unsafe_store(at.unsafe_load[width=W]() * scale)
    for p in range(ceil_div(keys, NR)):
        var acc = tile_product(rows, a, panel(k, p * NR, dp), dp)
        comptime for v_ in range(NV):
            var j = p * NR + v_ * W
            if j < kp:
                comptime for r in range(MR):
                    if r < rows:
                        scores.unsafe_offset(((j // KB) * MR + r) * KB + j % KB).unsafe_store(acc[r * NV + v_])
    var sums = Array[Float32, MR](fill=Float32(1))
    for r in range(rows):
        sums[r] = softmax(scores, r, keys)
    for p in range(ceil_div(result.dim, NR)):
        var acc = tile_product(rows, scores, panel(v, p * NR, kp), kp)
        comptime for v_ in range(NV):
            var j = p * NR + v_ * W
            if j < result.dim:
                comptime for r in range(MR):
                    if r < rows:
                        var to = result.x.unsafe_offset((first + r) * result.stride + j)
                        store(to, acc[r * NV + v_] / sums[r], result.dim - j)


@extensibility.register("fxmax.attention")
struct Attention:
    """From q (b, s, h, d), k (b, t, h, d), v (b, t, h, e), scale () → (b, s, h, e)."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=4, ...],
        q: InputTensor[dtype=F32, rank=4, ...],
        k: InputTensor[dtype=F32, rank=4, ...],
        v: InputTensor[dtype=F32, rank=4, ...],
        scale: Float32,
        ctx: DeviceContext,
    ) raises:
        var queries = q.dim_size(1)
        var heads = q.dim_size(2)
        var d = q.dim_size(3)
        var keys = k.dim_size(1)
        var e = v.dim_size(3)
        var qp = rebind[Ptr](q.unsafe_ptr())
        var kp = rebind[Ptr](k.unsafe_ptr())
        var vp = rebind[Ptr](v.unsafe_ptr())
        var op = rebind[Ptr](result.unsafe_ptr())
        var tiles = ceil_div(queries, MR)
        var items = q.dim_size(0) * heads * tiles
        var workers = min(parallelism_level(None), items)

        def work(t: Int) raises {
            var queries, var heads, var d, var keys, var e, var qp, var kp, var vp, var op,
            var tiles, var items, var workers, var scale,
        }:
            var wide = ceil_div(d, KB) * KB
            var long = ceil_div(keys, KB) * KB
            var packed_k = scratch(ceil_div(keys, PANEL) * PANEL * wide)
            var packed_v = scratch(ceil_div(e, PANEL) * PANEL * long)
            var a = scratch(MR * wide)
            var scores = scratch(MR * long)
            var packed = -1
            for item in range(items * t // workers, items * (t + 1) // workers):
                var head = item // tiles
                var b = head // heads
                var h = head % heads
                if head != packed:
                    Head(kp.unsafe_offset((b * keys * heads + h) * d), heads * d, keys, d).pack_transposed(packed_k)
                    Head(vp.unsafe_offset((b * keys * heads + h) * e), heads * e, keys, e).pack(packed_v)
                    packed = head
                attend_rows(
                    Head(qp.unsafe_offset((b * queries * heads + h) * d), heads * d, queries, d),
                    (item % tiles) * MR, packed_k, packed_v, keys, scale, a, scores,
                    Head(op.unsafe_offset((b * queries * heads + h) * e), heads * e, queries, e),
                )
            packed_k.unsafe_free()
            packed_v.unsafe_free()
            a.unsafe_free()
            scores.unsafe_free()

        sync_parallelize(work, workers)
