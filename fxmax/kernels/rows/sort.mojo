"""A stable sort of each row, with where each value came from. NaN is greater than every number."""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext


@always_inline
def precedes[dtype: DType, descending: Bool](a: Scalar[dtype], b: Scalar[dtype]) -> Bool:
    """Whether a comes strictly before b."""
    comptime if dtype.is_floating_point():
        if a != a or b != b:
            comptime if descending:
                return a != a and b == b
            return a == a and b != b
    comptime if descending:
        return a > b
    return a < b


@extensibility.register("fxmax.sort")
struct Sort:
    @staticmethod
    def execute[
        target: StaticString, dtype: DType, descending: Bool
    ](
        values: OutputTensor[dtype=dtype, rank=2, ...],
        indices: OutputTensor[dtype=DType.int64, rank=2, ...],
        scratch: OutputTensor[dtype=DType.int64, rank=2, ...],
        x: InputTensor[dtype=dtype, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        var rows = x.dim_size(0)
        var n = x.dim_size(1)
        var xp = x.unsafe_ptr()
        var vp = values.unsafe_ptr()
        var ip = indices.unsafe_ptr()
        var sp = scratch.unsafe_ptr()

        def row(r: Int) raises {var n, var xp, var vp, var ip, var sp}:
            var source = xp.unsafe_offset(r * n)
            var a = ip.unsafe_offset(r * n)
            var b = sp.unsafe_offset(r * n)
            for i in range(n):
                a[unsafe_offset=i] = Int64(i)
            # Bottom-up merges of the permutation: runs of `run`, from a to b and copied back.
            var run = 1
            while run < n:
                var low = 0
                while low < n:
                    var middle = min(low + run, n)
                    var high = min(low + 2 * run, n)
                    var i = low
                    var j = middle
                    for k in range(low, high):
                        var right = i >= middle
                        if not right and j < high:
                            right = precedes[dtype, descending](
                                source[unsafe_offset=Int(a[unsafe_offset=j])],
                                source[unsafe_offset=Int(a[unsafe_offset=i])],
                            )
                        if right:
                            b[unsafe_offset=k] = a[unsafe_offset=j]
                            j += 1
                        else:
                            b[unsafe_offset=k] = a[unsafe_offset=i]
                            i += 1
                    low = high
                for i in range(n):
                    a[unsafe_offset=i] = b[unsafe_offset=i]
                run *= 2
            for i in range(n):
                vp[unsafe_offset=r * n + i] = source[unsafe_offset=Int(a[unsafe_offset=i])]

        sync_parallelize(row, rows)
