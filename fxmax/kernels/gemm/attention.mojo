"""Attention, softmax(scale · q kᵀ + mask) v, a tile of query rows at a time.

Arrays are (batch, seq, heads, dim), and nothing masks; or heads first, with a mask, causal, or with
heads of keys and values that several of the queries' share.

The scores of MR query rows against every key fit a core's L2 cache (72 KB at 1500 keys), so the
softmax is the plain one, and the score tile is written in the layout in which the second product
reads its left side. Keys and values are packed once for each head and thread.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from max.runtime.asyncrt import parallelism_level
from std.bit import log2_floor
from std.math import exp

from .attention_rows import Held, Sizes, attend_all
from .tile import (
    F32, KB, MR, NR, NV, PANEL, Ptr, Vector, W,
    ceil_div, load, pack_window, panel, scratch, store, tile_product,
)


def turn(mut block: Array[Vector, W]):
    """Transposes W vectors: each round interleaves the first half of the rows with the second."""
    comptime for _ in range(log2_floor(W)):
        var old = block.copy()
        comptime for i in range(W // 2):
            var pair = old[i].interleave(old[i + W // 2])
            block[2 * i] = pair.slice[W]()
            block[2 * i + 1] = pair.slice[W, offset=W]()


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
        for s in range(0, ceil_div(self.rows, PANEL) * PANEL, W):
            var column = panel(to, s, dp)
            for d in range(0, dp, W):
                var block = Array[Vector, W](fill=Vector(0))
                for i in range(min(W, self.rows - s) if d < self.dim else 0):
                    block[i] = load(self.x.unsafe_offset((s + i) * self.stride + d), self.dim - d)
                turn(block)
                for i in range(W):
                    column.unsafe_offset((d + i) * PANEL).unsafe_store(block[i])

    def pack(self, to: Ptr):
        """As B of p v: [dim / PANEL][rows padded][PANEL]."""
        var rp = ceil_div(self.rows, KB) * KB
        for s in range(rp):
            for j in range(0, ceil_div(self.dim, PANEL) * PANEL, W):
                var value = Vector(0)
                if s < self.rows and j < self.dim:
                    value = load(self.x.unsafe_offset(s * self.stride + j), self.dim - j)
                panel(to, j, rp).unsafe_offset(s * PANEL).unsafe_store(value)


@fieldwise_init
struct Mask(ImplicitlyCopyable, Movable):
    """What is added to the scores of one head: row s is x[s * stride :], where `step` is 0 the same for every key.

    With `causal`, row s sees its first s + 1 keys only. A row that sees nothing is zero, as torch's is.
    """

    var x: Ptr
    var stride: Int
    var step: Int
    var there: Bool
    var causal: Bool

    def seen(self, row: Int, keys: Int) -> Int:
        return min(keys, row + 1) if self.causal else keys

    def add(self, scores: Ptr, r: Int, row: Int, keys: Int):
        """To row r of a packed score tile, which is row `row` of the scores."""
        var start = self.x.unsafe_offset(row * self.stride)
        for j in range(0, keys, KB):
            var at = scores.unsafe_offset((j // KB * MR + r) * KB)
            if self.step == 1 and j + KB <= keys:
                at.unsafe_store(at.unsafe_load[width=KB]() + start.unsafe_offset(j).unsafe_load[width=KB]())
            else:
                for i in range(min(KB, keys - j)):
                    at[unsafe_offset=i] += start[unsafe_offset=(j + i) * self.step]


@always_inline
def softmax(scores: Ptr, r: Int, keys: Int, seen: Int) -> Float32:
    """Row r of a packed score tile → exp(x - max), in place, zero past the keys that are seen; its sum."""
    var blocks = ceil_div(keys, KB)
    comptime B = SIMD[F32, KB]
    var most = B(Float32.MIN_FINITE)
    for b in range(seen // KB):
        most = max(most, scores.unsafe_offset((b * MR + r) * KB).unsafe_load[width=KB]())
    var top = most.reduce_max()
    for j in range(seen // KB * KB, seen):
        top = max(top, scores[unsafe_offset=((j // KB) * MR + r) * KB + j % KB])
    var total = B(0)
    for b in range(blocks):
        var at = scores.unsafe_offset((b * MR + r) * KB)
        var x = exp(at.unsafe_load[width=KB]() - top)
        if (b + 1) * KB > seen:
            for j in range(max(0, seen - b * KB), KB):
                x[j] = 0
        at.unsafe_store(x)
        total += x
    return total.reduce_add()


def attend_rows(
    q: Head, first: Int, k: Ptr, v: Ptr, keys: Int, scale: Float32, mask: Mask, a: Ptr, scores: Ptr, result: Head
):
    """The output rows of one tile of query rows; no further than the last key that any of them sees."""
    var rows = min(MR, q.rows - first)
    var dp = ceil_div(q.dim, KB) * KB
    var padded = ceil_div(keys, KB) * KB
    var last = mask.seen(first + rows - 1, keys)
    var kp = ceil_div(last, KB) * KB
    for r in range(rows):
        pack_window(q.x.unsafe_offset((first + r) * q.stride), 0, q.dim, q.dim, a, r)
    for i in range(0, MR * dp, W):
        var at = a.unsafe_offset(i)
        at.unsafe_store(at.unsafe_load[width=W]() * scale)
    for p in range(ceil_div(last, NR)):
        var acc = tile_product(rows, a, panel(k, p * NR, dp), dp)
        comptime for v_ in range(NV):
            var j = p * NR + v_ * W
            if j < kp:
                comptime for r in range(MR):
                    if r < rows:
                        scores.unsafe_offset(((j // KB) * MR + r) * KB + j % KB).unsafe_store(acc[r * NV + v_])
    var sums = Array[Float32, MR](fill=Float32(1))
    for r in range(rows):
        if mask.there:
            mask.add(scores, r, first + r, last)
        sums[r] = softmax(scores, r, last, mask.seen(first + r, keys))
        if mask.there and sums[r] == 0:
            sums[r] = 1
    for p in range(ceil_div(result.dim, NR)):
        var acc = tile_product(rows, scores, panel(v, p * NR, padded), kp)
        comptime for v_ in range(NV):
            var j = p * NR + v_ * W
            if j < result.dim:
                comptime for r in range(MR):
                    if r < rows:
                        var to = result.x.unsafe_offset((first + r) * result.stride + j)
                        store(to, acc[r * NV + v_] / sums[r], result.dim - j)


@fieldwise_init
struct Layout(ImplicitlyCopyable, Movable):
    """Where batch b, head h of an array of four axes begins: heads first, or (batch, seq, heads, dim)."""

    var x: Ptr
    var heads_first: Bool
    var heads: Int
    var rows: Int
    var dim: Int

    def head(self, b: Int, h: Int) -> Head:
        if self.heads_first:
            return Head(self.x.unsafe_offset((b * self.heads + h) * self.rows * self.dim), self.dim, self.rows, self.dim)
        var start = self.x.unsafe_offset((b * self.rows * self.heads + h) * self.dim)
        return Head(start, self.heads * self.dim, self.rows, self.dim)


@fieldwise_init
struct Masks(ImplicitlyCopyable, Movable):
    """The masks of all heads: strides of batch, head, row and key, 0 where one serves all."""

    var x: Ptr
    var batch: Int
    var head: Int
    var row: Int
    var key: Int
    var there: Bool
    var causal: Bool

    def of(self, b: Int, h: Int) -> Mask:
        return Mask(self.x.unsafe_offset(b * self.batch + h * self.head), self.row, self.key, self.there, self.causal)


def attend_tiles(
    batch: Int, q: Layout, k: Layout, v: Layout, masks: Masks, scale: Float32, result: Layout
) raises:
    """All tiles of all heads, shared among the threads; several heads of q may share one of k and v."""
    var tiles = ceil_div(q.rows, MR)
    var items = batch * q.heads * tiles
    var workers = min(parallelism_level(None), items)

    def work(t: Int) raises {
        var q, var k, var v, var masks, var scale, var result, var tiles, var items, var workers,
    }:
        var wide = ceil_div(q.dim, KB) * KB
        var long = ceil_div(k.rows, KB) * KB
        var packed_k = scratch(ceil_div(k.rows, PANEL) * PANEL * wide)
        var packed_v = scratch(ceil_div(v.dim, PANEL) * PANEL * long)
        var a = scratch(MR * wide)
        var scores = scratch(MR * long)
        var packed = -1
        for item in range(items * t // workers, items * (t + 1) // workers):
            var b = item // tiles // q.heads
            var h = item // tiles % q.heads
            var shared = h * k.heads // q.heads
            if b * k.heads + shared != packed:
                k.head(b, shared).pack_transposed(packed_k)
                v.head(b, shared).pack(packed_v)
                packed = b * k.heads + shared
            attend_rows(
                q.head(b, h), item % tiles * MR, packed_k, packed_v, k.rows, scale, masks.of(b, h), a, scores,
                result.head(b, h),
            )
        packed_k.unsafe_free()
        packed_v.unsafe_free()
        a.unsafe_free()
        scores.unsafe_free()

    sync_parallelize(work, workers)


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
        var h = q.dim_size(2)
        var qp = rebind[Ptr](q.unsafe_ptr())
        attend_tiles(
            q.dim_size(0),
            Layout(qp, False, h, q.dim_size(1), q.dim_size(3)),
            Layout(rebind[Ptr](k.unsafe_ptr()), False, h, k.dim_size(1), k.dim_size(3)),
            Layout(rebind[Ptr](v.unsafe_ptr()), False, h, v.dim_size(1), v.dim_size(3)),
            Masks(qp, 0, 0, 0, 0, False, False), scale,
            Layout(rebind[Ptr](result.unsafe_ptr()), False, h, q.dim_size(1), v.dim_size(3)),
        )


@extensibility.register("fxmax.heads_attention")
struct HeadsAttention:
    """From q (b, h, s, d), k (b, g, t, d), v (b, g, t, e), mask broadcasting to (b, h, s, t), scale () → (b, h, s, e).

    Each head of k and v serves h / g of q. `dim` is d where it is v's too and whole vectors, else 0.
    """

    @staticmethod
    def execute[
        dim: Int, has_mask: Bool, causal: Bool, target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=4, ...],
        q: InputTensor[dtype=F32, rank=4, ...],
        k: InputTensor[dtype=F32, rank=4, ...],
        v: InputTensor[dtype=F32, rank=4, ...],
        mask: InputTensor[dtype=F32, rank=4, ...],
        scale: Float32,
        ctx: DeviceContext,
    ) raises:
        var b = q.dim_size(0)
        var h = q.dim_size(1)
        var g = k.dim_size(1)
        var s = q.dim_size(2)
        var t = k.dim_size(2)
        var qp = rebind[Ptr](q.unsafe_ptr())
        var kp = rebind[Ptr](k.unsafe_ptr())
        var vp = rebind[Ptr](v.unsafe_ptr())
        var to = rebind[Ptr](result.unsafe_ptr())
        comptime if dim > 0 and not has_mask and not causal:
            if s < MR and h == g:  # packing keys and values would cost more than they are read for
                attend_all[F32, dim](qp, Held[F32](kp, qp), Held[F32](vp, qp), Sizes(b * h, s, t, t), scale, to)
                return
        var rows = mask.dim_size(2)
        var columns = mask.dim_size(3)
        var masks = Masks(
            rebind[Ptr](mask.unsafe_ptr()),
            mask.dim_size(1) * rows * columns if mask.dim_size(0) > 1 else 0,
            rows * columns if mask.dim_size(1) > 1 else 0,
            columns if rows > 1 else 0,
            1 if columns > 1 else 0,
            has_mask, causal,
        )
        attend_tiles(
            b, Layout(qp, True, h, s, q.dim_size(3)), Layout(kp, True, g, t, k.dim_size(3)),
            Layout(vp, True, g, t, v.dim_size(3)), masks, scale, Layout(to, True, h, s, v.dim_size(3)),
        )
