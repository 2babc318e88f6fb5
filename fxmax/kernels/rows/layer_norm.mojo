"""Layer norm of each row. MAX's own takes six seconds to compile, anew for each rank and static shape."""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from max.runtime.asyncrt import parallelism_level
from std.math import sqrt
from std.sys import simd_width_of

comptime F32 = DType.float32
comptime W = simd_width_of[F32]()
comptime SERIAL = 1 << 15
"""Values that one thread has done before another has started."""


@extensibility.register("fxmax.layer_norm")
struct LayerNorm:
    """(x - mean) / sqrt(variance + eps) · gamma + beta, the variance from deviations, as torch has it."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=2, ...],
        x: InputTensor[dtype=F32, rank=2, ...],
        gamma: InputTensor[dtype=F32, rank=1, ...],
        beta: InputTensor[dtype=F32, rank=1, ...],
        eps: Float32,
        ctx: DeviceContext,
    ) raises:
        var rows = x.dim_size(0)
        var n = x.dim_size(1)
        var xp = x.unsafe_ptr()
        var gp = gamma.unsafe_ptr()
        var bp = beta.unsafe_ptr()
        var op = result.unsafe_ptr()
        var workers = min(parallelism_level(None), rows) if rows * n > SERIAL else 1

        def work(t: Int) raises {var rows, var n, var xp, var gp, var bp, var op, var eps, var workers}:
            var whole = n // W * W
            for r in range(rows * t // workers, rows * (t + 1) // workers):
                var source = xp.unsafe_offset(r * n)
                var to = op.unsafe_offset(r * n)
                var sums = SIMD[F32, W](0)
                for j in range(0, whole, W):
                    sums += source.unsafe_offset(j).unsafe_load[width=W]()
                var total = sums.reduce_add()
                for j in range(whole, n):
                    total += source[unsafe_offset=j]
                var mean = total / Float32(n)
                var rests = SIMD[F32, W](0)
                var squares = SIMD[F32, W](0)
                for j in range(0, whole, W):
                    var d = source.unsafe_offset(j).unsafe_load[width=W]() - mean
                    rests += d
                    squares += d * d
                var rest = rests.reduce_add()
                var spread = squares.reduce_add()
                for j in range(whole, n):
                    var d = source[unsafe_offset=j] - mean
                    rest += d
                    spread += d * d
                rest /= Float32(n)  # what rounding left of the mean
                mean += rest
                var scale = 1 / sqrt(max(spread / Float32(n) - rest * rest, 0) + eps)
                for j in range(0, whole, W):
                    var y = (source.unsafe_offset(j).unsafe_load[width=W]() - mean) * scale
                    var g = gp.unsafe_offset(j).unsafe_load[width=W]()
                    to.unsafe_offset(j).unsafe_store(y * g + bp.unsafe_offset(j).unsafe_load[width=W]())
                for j in range(whole, n):
                    to[unsafe_offset=j] = (source[unsafe_offset=j] - mean) * scale * gp[unsafe_offset=j] + bp[unsafe_offset=j]

        if workers == 1:
            work(0)
        else:
            sync_parallelize(work, workers)
