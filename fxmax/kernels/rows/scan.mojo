"""Running products and running log-sum-exp along each row."""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from std.math import exp, log1p


@extensibility.register("fxmax.cumprod")
struct Cumprod:
    @staticmethod
    def execute[
        target: StaticString, dtype: DType
    ](
        result: OutputTensor[dtype=dtype, rank=2, ...],
        x: InputTensor[dtype=dtype, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        var rows = x.dim_size(0)
        var n = x.dim_size(1)
        var xp = x.unsafe_ptr()
        var op = result.unsafe_ptr()

        def row(r: Int) raises {var n, var xp, var op}:
            comptime wide = DType.float64 if dtype.is_floating_point() else dtype
            var product = Scalar[wide](1)
            for i in range(r * n, (r + 1) * n):
                product *= xp[unsafe_offset=i].cast[wide]()
                op[unsafe_offset=i] = product.cast[dtype]()

        sync_parallelize(row, rows)


@extensibility.register("fxmax.logcumsumexp")
struct Logcumsumexp:
    @staticmethod
    def execute[
        target: StaticString, dtype: DType
    ](
        result: OutputTensor[dtype=dtype, rank=2, ...],
        x: InputTensor[dtype=dtype, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        var rows = x.dim_size(0)
        var n = x.dim_size(1)
        var xp = x.unsafe_ptr()
        var op = result.unsafe_ptr()

        def row(r: Int) raises {var n, var xp, var op}:
            if n == 0:
                return
            var total = xp[unsafe_offset=r * n].cast[DType.float64]()
            op[unsafe_offset=r * n] = total.cast[dtype]()
            for i in range(r * n + 1, (r + 1) * n):
                var x = xp[unsafe_offset=i].cast[DType.float64]()
                if x != x or total != total:
                    total = x + total
                elif x != total or x - x == 0:  # equal infinities stay
                    var high = max(x, total)
                    total = high + log1p(exp(min(x, total) - high))
                op[unsafe_offset=i] = total.cast[dtype]()

        sync_parallelize(row, rows)
