"""The greatest or least of each row and where it is first found. The first NaN wins, as in torch."""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext


@always_inline
def beats[dtype: DType, largest: Bool](a: Scalar[dtype], b: Scalar[dtype]) -> Bool:
    """Whether a replaces b as the extremum."""
    comptime if dtype.is_floating_point():
        if a != a or b != b:
            return a != a and b == b
    comptime if largest:
        return a > b
    return a < b


@extensibility.register("fxmax.extremum")
struct Extremum:
    @staticmethod
    def execute[
        target: StaticString, dtype: DType, largest: Bool
    ](
        values: OutputTensor[dtype=dtype, rank=2, ...],
        indices: OutputTensor[dtype=DType.int64, rank=2, ...],
        x: InputTensor[dtype=dtype, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        var rows = x.dim_size(0)
        var n = x.dim_size(1)
        var xp = x.unsafe_ptr()
        var vp = values.unsafe_ptr()
        var ip = indices.unsafe_ptr()

        def row(r: Int) raises {var n, var xp, var vp, var ip}:
            var source = xp.unsafe_offset(r * n)
            var best = source[unsafe_offset=0]
            var at = 0
            for i in range(1, n):
                var value = source[unsafe_offset=i]
                if beats[dtype, largest](value, best):
                    best = value
                    at = i
            vp[unsafe_offset=r] = best
            ip[unsafe_offset=r] = Int64(at)

        sync_parallelize(row, rows)


@extensibility.register("fxmax.running_extremum")
struct RunningExtremum:
    """Each prefix's extremum and its last index: torch.cummax and cummin."""

    @staticmethod
    def execute[
        target: StaticString, dtype: DType, largest: Bool
    ](
        values: OutputTensor[dtype=dtype, rank=2, ...],
        indices: OutputTensor[dtype=DType.int64, rank=2, ...],
        x: InputTensor[dtype=dtype, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        var rows = x.dim_size(0)
        var n = x.dim_size(1)
        var xp = x.unsafe_ptr()
        var vp = values.unsafe_ptr()
        var ip = indices.unsafe_ptr()

        def row(r: Int) raises {var n, var xp, var vp, var ip}:
            var best = xp[unsafe_offset=r * n]
            var at = 0
            for i in range(n):
                var value = xp[unsafe_offset=r * n + i]
                if not beats[dtype, largest](best, value):  # equal values move the index on
                    best = value
                    at = i
                vp[unsafe_offset=r * n + i] = best
                ip[unsafe_offset=r * n + i] = Int64(at)

        sync_parallelize(row, rows)
