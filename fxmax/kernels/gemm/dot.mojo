"""The register tile with both sides int8, on the CPU's int8 dot product (VNNI).

A's rows are rounded to int8 as they are packed, GROUP values of K to a scale: a large value in one
place coarsens the rounding of its group alone. Tiles lie [K / BYTES][MR][BYTES], and B's panels of
int8 [N / PANEL][K / 4][PANEL][4]. K is padded to GROUP, with zeros.

The instruction sums four products of an unsigned and a signed byte. B is made unsigned by adding
128; what that adds, 128 times the group's sum of A, is where the sums start from, negated.
"""

from std.math import round
from std.memory import alloc, bitcast
from std.sys import llvm_intrinsic

from .tile import F32, MR, NR, NV, PANEL, Packed, Ptr, Vector, W, ceil_div

comptime I8 = DType.int8
comptime I32 = DType.int32
comptime GROUP = 128
comptime BYTES = 64
"""K that one row of a tile has side by side."""
comptime Ints = SIMD[I32, W]


@always_inline
def dot4(sums: Ints, b: SIMD[DType.uint8, 4 * W], a: SIMD[I8, 4 * W]) -> Ints:
    """The sums, and to each the products of its four bytes of b and of a."""
    comptime if W == 16:
        return llvm_intrinsic["llvm.x86.avx512.vpdpbusd.512", Ints](sums, b, a)
    else:
        return llvm_intrinsic["llvm.x86.avx512.vpdpbusd.256", Ints](sums, b, a)


struct Rounded(ImplicitlyCopyable, Movable):
    """A tile of A in int8: bytes, and for each group and row its scale and where its sums start."""

    var bytes: Packed[I8]
    var scales: Ptr
    var starts: Packed[I32]

    def __init__(out self, k: Int):
        self.bytes = alloc[Int8](MR * k, alignment=64)
        self.scales = alloc[Float32](MR * k // GROUP, alignment=64)
        self.starts = alloc[Int32](MR * k // GROUP, alignment=64)

    def free(self):
        self.bytes.unsafe_free()
        self.scales.unsafe_free()
        self.starts.unsafe_free()

    def pack_window(self, x: Ptr, lo: Int, hi: Int, k: Int, r: Int):
        """Row r: x[0 : k], where only lo <= j < hi is there and the rest is zero."""
        for group in range(ceil_div(k, GROUP)):
            var values = Array[Vector, GROUP // W](fill=Vector(0))
            var most = Vector(0)
            comptime for v in range(GROUP // W):
                var j = group * GROUP + v * W
                if j >= lo and j + W <= hi:
                    values[v] = x.unsafe_offset(j).unsafe_load[width=W]()
                else:
                    for i in range(W):
                        if j + i >= lo and j + i < hi:
                            values[v][i] = x[unsafe_offset=j + i]
                most = max(most, abs(values[v]))
            var top = most.reduce_max()
            var units = Float32(127) / top if top > 0 else Float32(0)
            var total = Ints(0)
            comptime for v in range(GROUP // W):
                var rounded = round(values[v] * units).cast[I32]()
                total += rounded
                var at = group * GROUP + v * W
                var to = self.bytes.unsafe_offset((at // BYTES * MR + r) * BYTES + at % BYTES)
                to.unsafe_store(rounded.cast[I8]())
            self.scales[unsafe_offset=group * MR + r] = top / 127
            self.starts[unsafe_offset=group * MR + r] = -128 * total.reduce_add()


@always_inline
def product[rows: Int](a: Rounded, b: Packed[I8], k: Int, mut total: Array[Vector, MR * NV]):
    """The first `rows` rows of a tile of A times a panel of B; k % GROUP == 0.

    One row alone would wait for each sum before it can start the next: its sums are split in four.
    """
    comptime split = 4 if rows == 1 else 1
    var pa = a.bytes
    var pb = b
    for group in range(k // GROUP):
        var sums = Array[Ints, split * rows * NV](fill=Ints(0))
        comptime for r in range(rows):
            comptime for v in range(NV):
                sums[r * NV + v] = Ints(a.starts[unsafe_offset=group * MR + r])
        for _ in range(GROUP // BYTES):
            for _ in range(BYTES // 16):
                comptime for j in range(4):
                    var panels = Array[SIMD[DType.uint8, 4 * W], NV](fill=SIMD[DType.uint8, 4 * W](0))
                    comptime for v in range(NV):
                        var signed = pb.unsafe_offset(4 * (j * PANEL + v * W)).unsafe_load[width=4 * W]()
                        panels[v] = bitcast[DType.uint8, 4 * W](signed) ^ 128
                    comptime for r in range(rows):
                        var four = pa.unsafe_offset(r * BYTES + 4 * j).unsafe_load[width=4]()
                        var x = bitcast[I8, 4 * W](Ints(bitcast[I32, 1](four)[0]))
                        comptime at = (j % split * rows + r) * NV
                        comptime for v in range(NV):
                            sums[at + v] = dot4(sums[at + v], panels[v], x)
                pa = pa.unsafe_offset(16)
                pb = pb.unsafe_offset(16 * PANEL)
            pa = pa.unsafe_offset(MR * BYTES - BYTES)
        comptime for r in range(rows):
            var scale = Vector(a.scales[unsafe_offset=group * MR + r])
            comptime for v in range(NV):
                var sum = sums[r * NV + v]
                comptime for part in range(1, split):
                    sum += sums[(part * rows + r) * NV + v]
                total[r * NV + v] = sum.cast[F32]().fma(scale, total[r * NV + v])


@always_inline
def dot_product(rows: Int, a: Rounded, b: Packed[I8], column: Int, k: Int) -> Array[Vector, MR * NV]:
    """A tile of A (`rows` of its rows are wanted) times the NR columns of B from `column` on."""
    var panel = b.unsafe_offset(column // PANEL * k * PANEL + column % PANEL * 4)
    var total = Array[Vector, MR * NV](fill=Vector(0))
    if rows == 1:
        product[1](a, panel, k, total)
    elif rows <= 4:
        product[4](a, panel, k, total)
    else:
        product[MR](a, panel, k, total)
    return total^
