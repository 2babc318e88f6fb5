"""`act(x @ w.T + bias) + residual` with seven products of half the size for eight: Strassen, one level.

Strassen, "Gaussian elimination is not optimal" (1969), tile by tile as in Huang, Smith, Henry and van
de Geijn, "Strassen's algorithm reloaded" (SC16): the sums of A are made as its rows are packed, the
results meet in the L1 cache, and the sums of B are packed when a checkpoint is bound. A and B are
halved so that nothing else changes its place: A by K and by neighbouring tiles of rows, B by K and by
neighbouring panels.

The sums mix two rows. So a row with NaN, infinities or another magnitude than its neighbours would
reach into their results: such rows get the eight products.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from max.runtime.asyncrt import parallelism_level

from .linear import Rows, activate
from .tile import F32, KB, MR, NR, NV, PANEL, Ptr, Vector, W, ceil_div, chunk_product, pack_window, scratch

comptime PAIR = 2 * PANEL
"""Columns that are computed together."""
comptime GROUP = 2 * MR
"""Rows that are computed together."""
comptime TILE = MR * NR
comptime CHUNK = 12
"""Blocks of K that are summed apart."""
comptime CHUNK_BYTES = 8 << 20
"""Of B that a thread goes through before it takes its next rows: a part of an L3 cache."""
comptime LARGEST = Float32(1e30)
"""Sums of absolute values below this leave room for sums of sums."""
comptime ALIKE = Float32(8)
"""Rows are mixed where the largest is at most so many times the smallest."""


struct Quarters(Movable):
    """A group of rows, packed: its quarters [[a11, a12], [a21, a22]] and their sums."""

    var at: Ptr
    var size: Int
    var top: Int
    """Rows of a11; a21 has as many, or one less."""
    var rows: Int
    var k: Int

    def __init__(out self, k: Int):
        self.size = MR * k // 2
        self.at = scratch(9 * self.size)
        self.top = 0
        self.rows = 0
        self.k = k

    def part(self, i: Int) -> Ptr:
        """The quarters are parts 0 to 3."""
        return self.at.unsafe_offset(i * self.size)

    def pack(mut self, rows_of: Rows, first: Int, rows: Int):
        self.rows = rows
        self.top = ceil_div(rows, 2)
        rows_of.pack(first, self.top, self.k, self.part(0))
        rows_of.pack(first + self.top, rows - self.top, self.k, self.part(2))
        if rows % 2:
            pack_window(self.at, 0, 0, self.k, self.part(2), self.top - 1)
        self.sum[1](0, 3, 4)
        self.sum[1](2, 3, 5)
        self.sum[1](0, 1, 6)
        self.sum[-1](2, 0, 7)
        self.sum[-1](1, 3, 8)

    def sum[sign: Int](self, i: Int, j: Int, to: Int):
        var x = self.part(i)
        var y = self.part(j)
        var z = self.part(to)
        for at in range(0, self.size, W):
            var b = y.unsafe_offset(at).unsafe_load[width=W]()
            z.unsafe_offset(at).unsafe_store(b.fma(Vector(sign), x.unsafe_offset(at).unsafe_load[width=W]()))

    def alike(self) -> Bool:
        """Whether the rows can be mixed."""
        var least = LARGEST
        var most = Float32(0)
        for i in range(self.rows):
            var row = self.part(0 if i < self.top else 2).unsafe_offset(i % self.top * KB)
            var total = SIMD[F32, KB](0)
            for block in range(self.k // KB):
                total += abs(row.unsafe_offset(block * MR * KB).unsafe_load[width=KB]())
            var magnitude = total.reduce_add()
            if not magnitude < LARGEST:
                return False
            least = min(least, magnitude)
            most = max(most, magnitude)
        return most <= ALIKE * least

    def free(self):
        self.at.unsafe_free()


struct Sums(Movable):
    """The tiles [[c11, c12], [c21, c22]] of a group of rows and a pair of panels."""

    var at: Ptr

    def __init__(out self):
        self.at = scratch(4 * TILE)

    def clear(self):
        for i in range(0, 4 * TILE, W):
            self.at.unsafe_offset(i).unsafe_store(Vector(0))

    @no_inline
    def add(self, rows: Int, a: Ptr, b: Ptr, k: Int, i: Int, j: Int, sign_i: Int, sign_j: Int):
        """Add sign · a @ b to tiles i and j."""
        if rows <= 4:
            self._add[4](a, b, k, i, j, sign_i, sign_j)
        else:
            self._add[MR](a, b, k, i, j, sign_i, sign_j)

    @always_inline
    def _add[rows: Int](self, a: Ptr, b: Ptr, k: Int, i: Int, j: Int, sign_i: Int, sign_j: Int):
        var pa = a
        var pb = b
        for chunk in range(0, k // KB, CHUNK):
            var acc = chunk_product[F32, rows](pa, pb, min(CHUNK, k // KB - chunk))
            comptime for v in range(rows * NV):
                var to = self.at.unsafe_offset(i * TILE + v * W)
                to.unsafe_store(acc[v].fma(Vector(sign_i), to.unsafe_load[width=W]()))
            if sign_j != 0:
                comptime for v in range(rows * NV):
                    var to = self.at.unsafe_offset(j * TILE + v * W)
                    to.unsafe_store(acc[v].fma(Vector(sign_j), to.unsafe_load[width=W]()))

    def free(self):
        self.at.unsafe_free()


def seven(a: Quarters, b: Ptr, c: Sums):
    """B's seven sums times A's: Strassen's table."""
    var half = a.k // 2
    var step = half * PANEL
    c.add(a.top, a.part(4), b, half, 0, 3, 1, 1)
    c.add(a.top, a.part(5), b.unsafe_offset(step), half, 2, 3, 1, -1)
    c.add(a.top, a.part(0), b.unsafe_offset(2 * step), half, 1, 3, 1, 1)
    c.add(a.top, a.part(3), b.unsafe_offset(3 * step), half, 0, 2, 1, 1)
    c.add(a.top, a.part(6), b.unsafe_offset(4 * step), half, 0, 1, -1, 1)
    c.add(a.top, a.part(7), b.unsafe_offset(5 * step), half, 3, 3, 1, 0)
    c.add(a.top, a.part(8), b.unsafe_offset(6 * step), half, 0, 0, 1, 0)


def eight(a: Quarters, b: Ptr, others: Ptr, c: Sums):
    """Quarters times quarters. b11 and b22 are among B's sums, `others` are b12 and b21."""
    var half = a.k // 2
    var step = half * PANEL
    comptime for i in range(2):
        comptime for j in range(2):
            var upper = b.unsafe_offset(step) if j == 0 else others
            var lower = others.unsafe_offset(step) if j == 0 else b.unsafe_offset(4 * step)
            c.add(a.top, a.part(2 * i), upper, half, 2 * i + j, 0, 1, 0)
            c.add(a.top, a.part(2 * i + 1), lower, half, 2 * i + j, 0, 1, 0)


def other_quarters(b: Ptr, step: Int, to: Ptr):
    """The quarters b12 and b21 out of b12 - b22 and b21 - b11."""
    for i in range(0, step, W):
        var b11 = b.unsafe_offset(step + i).unsafe_load[width=W]()
        var b22 = b.unsafe_offset(4 * step + i).unsafe_load[width=W]()
        to.unsafe_offset(i).unsafe_store(b.unsafe_offset(2 * step + i).unsafe_load[width=W]() + b22)
        to.unsafe_offset(step + i).unsafe_store(b.unsafe_offset(3 * step + i).unsafe_load[width=W]() + b11)


def strassen[
    activation: StaticString, has_bias: Bool, has_residual: Bool
](
    rows_of: Rows, w: Ptr, bias: Ptr, residual: Ptr, result: Ptr, m: Int, n: Int, k: Int, threads: Int
) raises:
    """The product (m, n) of m rows of k floats and w's pairs of panels; n % PAIR == k % (2 · KB) == 0."""
    var step = k // 2 * PANEL
    var pairs = n // PAIR
    # By rows, while each thread has two groups; a machine with more threads has them share rows.
    var row_parts = max(1, min(threads, m // (2 * GROUP)))
    var column_parts = max(1, min(threads // row_parts, pairs))
    var chunk = max(4, CHUNK_BYTES // (7 * step * 4))

    def work(t: Int) raises {
        var rows_of, var w, var bias, var residual, var result, var m, var n, var k, var step, var pairs,
        var row_parts, var column_parts, var chunk,
    }:
        var a = Quarters(k)
        var c = Sums()
        var others = scratch(2 * step)
        var row_part = t % row_parts
        var column_part = t // row_parts
        var row_to = m * (row_part + 1) // row_parts
        var pair_to = pairs * (column_part + 1) // column_parts
        for first in range(pairs * column_part // column_parts, pair_to, chunk):
            for i in range(m * row_part // row_parts, row_to, GROUP):
                a.pack(rows_of, i, min(GROUP, row_to - i))
                var alike = a.alike()
                for p in range(first, min(first + chunk, pair_to)):
                    var b = w.unsafe_offset(p * 7 * step)
                    if not alike:
                        other_quarters(b, step, others)
                    for column in range(0, PANEL, NR):
                        c.clear()
                        if alike:
                            seven(a, b.unsafe_offset(column), c)
                        else:
                            eight(a, b.unsafe_offset(column), others.unsafe_offset(column), c)
                        for tile in range(4):
                            for v in range(NV):
                                var j = p * PAIR + tile % 2 * PANEL + column + v * W
                                var plus = Vector(0)
                                comptime if has_bias:
                                    plus = bias.unsafe_offset(j).unsafe_load[width=W]()
                                for r in range(a.top if tile < 2 else a.rows - a.top):
                                    var sums = c.at.unsafe_offset(tile * TILE + (r * NV + v) * W)
                                    var y = activate[activation](sums.unsafe_load[width=W]() + plus)
                                    var at = (i + tile // 2 * a.top + r) * n + j
                                    comptime if has_residual:
                                        y += residual.unsafe_offset(at).unsafe_load[width=W]()
                                    result.unsafe_offset(at).unsafe_store(y)
        a.free()
        c.free()
        others.unsafe_free()

    if row_parts * column_parts == 1:
        work(0)
    else:
        sync_parallelize(work, row_parts * column_parts)


@extensibility.register("fxmax.strassen")
struct Strassen:
    """From x (m, k), the seven sums of w (n, k), bias (n), residual (m, n)."""

    @staticmethod
    def execute[
        activation: StaticString, has_bias: Bool, has_residual: Bool, target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=2, ...],
        x: InputTensor[dtype=F32, rank=2, ...],
        w: InputTensor[dtype=F32, rank=3, ...],
        bias: InputTensor[dtype=F32, rank=1, ...],
        residual: InputTensor[dtype=F32, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        var m = x.dim_size(0)
        var k = x.dim_size(1)
        strassen[activation, has_bias, has_residual](
            Rows(rebind[Ptr](x.unsafe_ptr()), k, 0, m * k), rebind[Ptr](w.unsafe_ptr()),
            rebind[Ptr](bias.unsafe_ptr()), rebind[Ptr](residual.unsafe_ptr()),
            rebind[Ptr](result.unsafe_ptr()), m, result.dim_size(1), k, parallelism_level(None),
        )
