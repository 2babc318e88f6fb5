"""A value in memory of its own: what MAX has to compute first, and can't fuse with what reads it."""

import extensibility
from extensibility import InputTensor, OutputTensor, foreach
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_cpu
from std.utils.coord import Coord


@extensibility.register("fxmax.dense")
struct Dense:
    """The same values."""

    @staticmethod
    def execute[
        dtype: DType, rank: Int, target: StaticString
    ](
        result: OutputTensor[dtype=dtype, rank=rank, ...],
        x: InputTensor[dtype=dtype, rank=rank, ...],
        ctx: DeviceContext,
    ) raises:
        comptime if not is_cpu[target]():

            def copied[width: Int](at: Coord[...]) {var x} -> SIMD[dtype, width]:
                return x.load[width](at)

            foreach[target=target](copied, result, ctx)
            return
        var size = 1
        comptime for i in range(rank):
            size *= x.dim_size(i)
        var source = x.unsafe_ptr()
        var to = result.unsafe_ptr()
        comptime W = 16
        for i in range(0, size // W * W, W):
            to.unsafe_offset(i).unsafe_store(source.unsafe_offset(i).unsafe_load[width=W]())
        for i in range(size // W * W, size):
            to[unsafe_offset=i] = source[unsafe_offset=i]
