"""The register tile of a float32 matrix product, and the two packed layouts that feed it.

A is packed in row tiles of MR rows: [K / KB][MR][KB]. B is packed in panels of PANEL columns:
[N / PANEL][K][PANEL], the same on every machine, since weights are packed by the host. K is padded
to KB and N to PANEL, with zeros.
"""

from std.memory import alloc
from std.sys import simd_width_of

comptime F32 = DType.float32
comptime W = simd_width_of[F32]()
comptime NV = 2
"""Vectors of columns in a tile."""
comptime NR = NV * W
"""Columns of a tile: a panel, or a part of one."""
comptime PANEL = 32
comptime MR = 12 if W >= 16 else 6
"""Rows of a tile: MR * NV accumulators, two of B and one of A fit the 32 (or 16) registers."""
comptime KB = 16
comptime CHUNK = 8
"""Blocks of K that are summed apart: a sum of sums rounds less than one long chain."""
comptime Ptr = Pointer[Float32, MutUntrackedOrigin]
comptime Vector = SIMD[F32, W]


@always_inline
def ceil_div(a: Int, b: Int) -> Int:
    return (a + b - 1) // b


def scratch(floats: Int) -> Ptr:
    """Uninitialized memory on a cache line; `unsafe_free` it."""
    return alloc[Float32](floats, alignment=64)


comptime Packed[dtype: DType] = Pointer[Scalar[dtype], MutUntrackedOrigin]
"""Where a packed B of floats, or of int8 with a scale a column, is."""


@always_inline
def panel[dtype: DType](b: Packed[dtype], column: Int, k: Int) -> Packed[dtype]:
    """Where a tile's columns start in B, packed with k rows."""
    return b.unsafe_offset(column // PANEL * k * PANEL + column % PANEL)


@always_inline
def split[rows: Int]() -> Int:
    """Into how many each sum is split: one row alone would wait for each before it can start the next."""
    return 4 if rows == 1 else 1


@always_inline
def chunk_product[
    dtype: DType, rows: Int
](mut a: Ptr, mut b: Packed[dtype], blocks: Int) -> Array[Vector, split[rows]() * rows * NV]:
    """The first `rows` rows of a packed tile of A times a panel of B, over `blocks` blocks of K; both move on."""
    var acc = Array[Vector, split[rows]() * rows * NV](fill=Vector(0))
    for _ in range(blocks):
        for _ in range(KB // 4):
            comptime for j in range(4):
                var b0 = b.unsafe_offset(j * PANEL).unsafe_load[width=W]().cast[F32]()
                var b1 = b.unsafe_offset(j * PANEL + W).unsafe_load[width=W]().cast[F32]()
                comptime for r in range(rows):
                    comptime at = (j % split[rows]() * rows + r) * NV
                    var x = Vector(a[unsafe_offset=r * KB + j])
                    acc[at] = x.fma(b0, acc[at])
                    acc[at + 1] = x.fma(b1, acc[at + 1])
            a = a.unsafe_offset(4)
            b = b.unsafe_offset(4 * PANEL)
        a = a.unsafe_offset(MR * KB - KB)
    return acc^


@always_inline
def product[dtype: DType, rows: Int](a: Ptr, b: Packed[dtype], k: Int, mut total: Array[Vector, MR * NV]):
    """The first `rows` rows of a packed tile of A times a panel of B; k % KB == 0."""
    var pa = a
    var pb = b
    for chunk in range(0, k // KB, CHUNK):
        var acc = chunk_product[dtype, rows](pa, pb, min(CHUNK, k // KB - chunk))
        comptime for i in range(rows * NV):
            comptime for part in range(split[rows]()):
                total[i] += acc[part * rows * NV + i]


@always_inline
def tile_product[
    dtype: DType
](rows: Int, a: Ptr, b: Packed[dtype], k: Int) -> Array[Vector, MR * NV]:
    """A packed tile of A (`rows` of its rows are wanted) times a panel of B."""
    var total = Array[Vector, MR * NV](fill=Vector(0))
    if rows == 1:
        product[dtype, 1](a, b, k, total)
    elif rows <= 4:
        product[dtype, 4](a, b, k, total)
    else:
        product[dtype, MR](a, b, k, total)
    return total^


def pack_window(x: Ptr, lo: Int, hi: Int, k: Int, a: Ptr, r: Int):
    """Row r of a packed tile: x[0 : k], where only lo <= j < hi is there and the rest is zero."""
    for block in range(ceil_div(k, KB)):
        var to = a.unsafe_offset((block * MR + r) * KB)
        var j = block * KB
        if j >= lo and j + KB <= hi:
            to.unsafe_store(x.unsafe_offset(j).unsafe_load[width=KB]())
        else:
            for i in range(KB):
                to[unsafe_offset=i] = x[unsafe_offset=j + i] if j + i >= lo and j + i < hi else Float32(0)


@always_inline
def store(to: Ptr, value: Vector, columns: Int):
    """The first `columns` lanes of `value`."""
    if columns >= W:
        to.unsafe_store(value)
    else:
        for i in range(columns):
            to[unsafe_offset=i] = value[i]


@always_inline
def load(x: Ptr, columns: Int) -> Vector:
    """The first `columns` lanes, the rest zero."""
    if columns >= W:
        return x.unsafe_load[width=W]()
    var value = Vector(0)
    for i in range(columns):
        value[i] = x[unsafe_offset=i]
    return value
