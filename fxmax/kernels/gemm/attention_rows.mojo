"""Attention of a few query rows over many keys and values: softmax(scale · q kᵀ) v.

A step of a decoder does little with each key and value that it reads, so that reading them is what
it costs: they are read where the cache holds them, each once for a tile of query rows, and may be
int8 with a scale a row, a quarter of float32's bytes. The sums are float32.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from extensibility import _MutableInputTensor as MutableInputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from max.runtime.asyncrt import parallelism_level
from std.math import exp

from .tile import F32, Packed, Ptr, Vector, W, ceil_div, scratch

comptime ROWS = 4
"""Query rows that read a key together."""
comptime SERIAL_PRODUCTS = 50_000
"""Below this, starting a second thread costs more than it saves."""


@fieldwise_init
struct Held[dtype: DType](ImplicitlyCopyable, Movable):
    """Rows of one head: row t is values[t * dim :][: dim], times scales[t] where they are scaled."""

    var values: Packed[Self.dtype]
    var scales: Ptr

    @always_inline
    def row[dim: Int](self, t: Int) -> Array[Vector, dim // W]:
        """Row t, before its scale."""
        var vectors = Array[Vector, dim // W](fill=Vector(0))
        comptime for c in range(dim // W):
            vectors[c] = self.values.unsafe_offset(t * dim + c * W).unsafe_load[width=W]().cast[F32]()
        return vectors^


@always_inline
def weigh[scaled: Bool](scores: Ptr, keys: Int, scales: Ptr) -> Float32:
    """Turns scores into exp(scores - max), times the scales; the sum is that before the scales."""
    var whole = keys // W * W
    var most = Vector(Float32.MIN_FINITE)
    for t in range(0, whole, W):
        most = max(most, scores.unsafe_offset(t).unsafe_load[width=W]())
    var top = most.reduce_max()
    for t in range(whole, keys):
        top = max(top, scores[unsafe_offset=t])
    var sums = Vector(0)
    for t in range(0, whole, W):
        var x = exp(scores.unsafe_offset(t).unsafe_load[width=W]() - top)
        sums += x
        comptime if scaled:
            x *= scales.unsafe_offset(t).unsafe_load[width=W]()
        scores.unsafe_offset(t).unsafe_store(x)
    var sum = sums.reduce_add()
    for t in range(whole, keys):
        var x = exp(scores[unsafe_offset=t] - top)
        sum += x
        comptime if scaled:
            x *= scales[unsafe_offset=t]
        scores[unsafe_offset=t] = x
    return sum


@always_inline
def attend[
    dtype: DType, rows: Int, dim: Int
](q: Ptr, k: Held[dtype], v: Held[dtype], keys: Int, scale: Float32, scores: Ptr, result: Ptr):
    """`rows` query rows of one head, side by side in q and in the result."""
    comptime scaled = dtype != F32
    comptime columns = dim // W
    var query = Array[Vector, rows * columns](fill=Vector(0))
    comptime for i in range(rows * columns):
        query[i] = q.unsafe_offset(i * W).unsafe_load[width=W]() * scale
    for t in range(keys):
        var key = k.row[dim](t)
        comptime for r in range(rows):
            var products = query[r * columns] * key[0]
            comptime for c in range(1, columns):
                products = query[r * columns + c].fma(key[c], products)
            var score = products.reduce_add()
            comptime if scaled:
                score *= k.scales[unsafe_offset=t]
            scores[unsafe_offset=r * keys + t] = score
    var sums = Array[Float32, rows](fill=Float32(1))
    comptime for r in range(rows):
        sums[r] = weigh[scaled](scores.unsafe_offset(r * keys), keys, v.scales)
    var acc = Array[Vector, rows * columns](fill=Vector(0))
    for t in range(keys):
        var value = v.row[dim](t)
        comptime for r in range(rows):
            var weight = Vector(scores[unsafe_offset=r * keys + t])
            comptime for c in range(columns):
                acc[r * columns + c] = weight.fma(value[c], acc[r * columns + c])
    comptime for i in range(rows * columns):
        result.unsafe_offset(i * W).unsafe_store(acc[i] / sums[i // columns])


@fieldwise_init
struct Sizes(ImplicitlyCopyable, Movable):
    """Of one attention: `heads` of every batch, `queries` of each, and its `keys` of so many `places`."""

    var heads: Int
    var queries: Int
    var places: Int
    var keys: Int


def attend_all[
    dtype: DType, dim: Int
](q: Ptr, k: Held[dtype], v: Held[dtype], sizes: Sizes, scale: Float32, result: Ptr) raises:
    """Every head, shared among threads where that pays."""
    if sizes.keys < 1 or sizes.keys > sizes.places:
        raise Error("fxmax.cached_attention: more keys than places, or none")
    var tiles = ceil_div(sizes.queries, ROWS)
    var items = sizes.heads * tiles
    var products = sizes.heads * sizes.queries * sizes.keys * dim
    var workers = min(parallelism_level(None), items) if products > SERIAL_PRODUCTS else 1

    def work(t: Int) raises {var q, var k, var v, var sizes, var scale, var result, var tiles, var items, var workers}:
        var queries = sizes.queries
        var keys = sizes.keys
        var scores = scratch(ROWS * keys)
        for item in range(items * t // workers, items * (t + 1) // workers):
            var head = item // tiles
            var first = item % tiles * ROWS
            var at = (head * queries + first) * dim
            var start = head * sizes.places
            var ks = Held[dtype](k.values.unsafe_offset(start * dim), k.scales.unsafe_offset(start))
            var vs = Held[dtype](v.values.unsafe_offset(start * dim), v.scales.unsafe_offset(start))
            if queries - first >= ROWS:
                attend[dtype, ROWS, dim](q.unsafe_offset(at), ks, vs, keys, scale, scores, result.unsafe_offset(at))
            else:
                for r in range(at, at + (queries - first) * dim, dim):
                    attend[dtype, 1, dim](q.unsafe_offset(r), ks, vs, keys, scale, scores, result.unsafe_offset(r))
        scores.unsafe_free()

    if workers == 1:
        work(0)
    else:
        sync_parallelize(work, workers)


@extensibility.register("fxmax.cached_attention")
struct CachedAttention:
    """From q (b, h, s, dim), the first `keys` places of k and v (…, h, t, dim), scale () → (b, h, s, dim).

    int8 keys and values have scales (…, h, t, 1); float32 ones have none, and those inputs are not read.
    """

    @staticmethod
    def execute[
        dtype: DType, rank: Int, dim: Int, target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=4, ...],
        q: InputTensor[dtype=F32, rank=4, ...],
        k: InputTensor[dtype=dtype, rank=rank, ...],
        k_scales: InputTensor[dtype=F32, ...],
        v: InputTensor[dtype=dtype, rank=rank, ...],
        v_scales: InputTensor[dtype=F32, ...],
        keys: Int64,
        scale: Float32,
        ctx: DeviceContext,
    ) raises:
        attend_all[dtype, dim](
            rebind[Ptr](q.unsafe_ptr()),
            Held[dtype](rebind[Packed[dtype]](k.unsafe_ptr()), rebind[Ptr](k_scales.unsafe_ptr())),
            Held[dtype](rebind[Packed[dtype]](v.unsafe_ptr()), rebind[Ptr](v_scales.unsafe_ptr())),
            Sizes(q.dim_size(0) * q.dim_size(1), q.dim_size(2), k.dim_size(rank - 2), Int(keys)),
            scale, rebind[Ptr](result.unsafe_ptr()),
        )


@extensibility.register("fxmax.buffer_attention")
struct BufferAttention:
    """`fxmax.cached_attention` of float32 keys and values that lie in mutable buffers: MAX would copy those."""

    @staticmethod
    def execute[
        rank: Int, dim: Int, target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=4, ...],
        q: InputTensor[dtype=F32, rank=4, ...],
        k: MutableInputTensor[dtype=F32, rank=rank, ...],
        v: MutableInputTensor[dtype=F32, rank=rank, ...],
        keys: Int64,
        scale: Float32,
        ctx: DeviceContext,
    ) raises:
        var qp = rebind[Ptr](q.unsafe_ptr())
        attend_all[F32, dim](
            qp, Held[F32](rebind[Ptr](k.unsafe_ptr()), qp), Held[F32](rebind[Ptr](v.unsafe_ptr()), qp),
            Sizes(q.dim_size(0) * q.dim_size(1), q.dim_size(2), k.dim_size(rank - 2), Int(keys)),
            scale, rebind[Ptr](result.unsafe_ptr()),
        )
