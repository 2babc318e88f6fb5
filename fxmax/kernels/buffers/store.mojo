"""Writing into a part of a mutable buffer, in place: a cache's next places."""

import extensibility
from extensibility import InputTensor
from extensibility import _MutableInputTensor as MutableInputTensor
from max.gpu.host import DeviceContext


@extensibility.register("fxmax.store_places")
struct StorePlaces:
    """Write x (…, count, …) to the buffer (…, places, …) from place `first` on, along `axis`."""

    @staticmethod
    def execute[
        dtype: DType, rank: Int, axis: Int, target: StaticString
    ](
        buffer: MutableInputTensor[dtype=dtype, rank=rank, ...],
        x: InputTensor[dtype=dtype, rank=rank, ...],
        first: Int64,
        ctx: DeviceContext,
    ) raises:
        if Int(first) < 0 or Int(first) + x.dim_size(axis) > buffer.dim_size(axis):
            raise Error("fxmax.store_places: these places are not all in the buffer")
        var outer = 1
        comptime for i in range(axis):
            outer *= x.dim_size(i)
        var inner = 1
        comptime for i in range(axis + 1, rank):
            inner *= x.dim_size(i)
        var run = x.dim_size(axis) * inner
        var stride = buffer.dim_size(axis) * inner
        var source = x.unsafe_ptr()
        var to = buffer.unsafe_ptr().unsafe_offset(Int(first) * inner)
        comptime W = 16
        for i in range(outer):
            var s = source.unsafe_offset(i * run)
            var t = to.unsafe_offset(i * stride)
            for j in range(0, run // W * W, W):
                t.unsafe_offset(j).unsafe_store(s.unsafe_offset(j).unsafe_load[width=W]())
            for j in range(run // W * W, run):
                t[unsafe_offset=j] = s[unsafe_offset=j]
