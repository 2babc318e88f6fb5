"""Pooling over windows of three axes, as torch's loops have it: order, ties, NaN, padding.

An input is (planes, depth, height, width). A kernel of 0 is an adaptive window, which the sizes decide; an
average with a divisor of 0 is divided by how many places it counts.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext

# Where the settings are: the fields of PoolSettings in rules/pool.py, in order.
comptime DEEP = 0  # a Window, as the next two
comptime HIGH = 4
comptime WIDE = 8
comptime COUNT_PADDING = 12
comptime DIVISOR = 13
# And of a Window, after its place.
comptime KERNEL = 0
comptime STRIDE = 1
comptime PADDING = 2
comptime DILATION = 3


@fieldwise_init
struct Axis(ImplicitlyCopyable, Movable):
    """The windows of one axis of `size` places, `count` of them."""

    var size: Int
    var count: Int
    var kernel: Int
    var stride: Int
    var padding: Int
    var step: Int

    def begin(self, o: Int) -> Int:
        """The first real place of window `o`."""
        if self.kernel == 0:
            return o * self.size // self.count
        var at = o * self.stride - self.padding
        if at < 0:
            at += (self.step - 1 - at) // self.step * self.step
        return at

    def end(self, o: Int) -> Int:
        """One beyond its last real place."""
        if self.kernel == 0:
            return ((o + 1) * self.size + self.count - 1) // self.count
        return min(o * self.stride - self.padding + (self.kernel - 1) * self.step + 1, self.size)

    def padded(self, o: Int) -> Int:
        """How many places window `o` has where padding counts; beyond the padding none do."""
        if self.kernel == 0:
            return self.end(o) - self.begin(o)
        var at = o * self.stride - self.padding
        return min(at + self.kernel, self.size + self.padding) - at


def axis_of(
    x: InputTensor[rank=4, ...], y: OutputTensor[rank=4, ...], settings: InputTensor[dtype=DType.int64, rank=1, ...], i: Int, window: Int
) -> Axis:
    var s = settings.unsafe_ptr()
    return Axis(
        x.dim_size(i + 1),
        y.dim_size(i + 1),
        Int(s[unsafe_offset=window + KERNEL]),
        Int(s[unsafe_offset=window + STRIDE]),
        Int(s[unsafe_offset=window + PADDING]),
        Int(s[unsafe_offset=window + DILATION]),
    )


@extensibility.register("fxmax.max_pool")
struct MaxPool:
    """The largest value of each window, and its place in the plane. The last NaN wins, else the first."""

    @staticmethod
    def execute[
        target: StaticString, dtype: DType
    ](
        values: OutputTensor[dtype=dtype, rank=4, ...],
        places: OutputTensor[dtype=DType.int64, rank=4, ...],
        x: InputTensor[dtype=dtype, rank=4, ...],
        settings: InputTensor[dtype=DType.int64, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        var deep = axis_of(x, values, settings, 0, DEEP)
        var high = axis_of(x, values, settings, 1, HIGH)
        var wide = axis_of(x, values, settings, 2, WIDE)
        var xp = x.unsafe_ptr()
        var vp = values.unsafe_ptr()
        var pp = places.unsafe_ptr()

        def row(r: Int) raises {var deep, var high, var wide, var xp, var vp, var pp}:
            var b = r % high.count
            var a = r // high.count % deep.count
            var plane = r // (high.count * deep.count) * deep.size * high.size * wide.size
            for c in range(wide.count):
                var place = (deep.begin(a) * high.size + high.begin(b)) * wide.size + wide.begin(c)
                var best = xp[unsafe_offset=plane + place]
                for i in range(deep.begin(a), deep.end(a), deep.step):
                    for j in range(high.begin(b), high.end(b), high.step):
                        for k in range(wide.begin(c), wide.end(c), wide.step):
                            var at = (i * high.size + j) * wide.size + k
                            var value = xp[unsafe_offset=plane + at]
                            var wins = value > best
                            comptime if dtype.is_floating_point():
                                wins = wins or value != value
                            if wins:
                                best = value
                                place = at
                vp[unsafe_offset=r * wide.count + c] = best
                pp[unsafe_offset=r * wide.count + c] = Int64(place)

        sync_parallelize(row, values.dim_size(0) * deep.count * high.count)


@extensibility.register("fxmax.avg_pool")
struct AvgPool:
    """The average of each window, summed in 64 bits."""

    @staticmethod
    def execute[
        target: StaticString, dtype: DType
    ](
        result: OutputTensor[dtype=dtype, rank=4, ...],
        x: InputTensor[dtype=dtype, rank=4, ...],
        settings: InputTensor[dtype=DType.int64, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        comptime sum_type = DType.float64 if dtype.is_floating_point() else DType.int64
        var deep = axis_of(x, result, settings, 0, DEEP)
        var high = axis_of(x, result, settings, 1, HIGH)
        var wide = axis_of(x, result, settings, 2, WIDE)
        var count_padding = settings.unsafe_ptr()[unsafe_offset=COUNT_PADDING] != 0
        var divisor = Int(settings.unsafe_ptr()[unsafe_offset=DIVISOR])
        var xp = x.unsafe_ptr()
        var rp = result.unsafe_ptr()

        def row(r: Int) raises {var deep, var high, var wide, var count_padding, var divisor, var xp, var rp}:
            var b = r % high.count
            var a = r // high.count % deep.count
            var plane = r // (high.count * deep.count) * deep.size * high.size * wide.size
            for c in range(wide.count):
                var total = Scalar[sum_type](0)
                var found = 0
                for i in range(deep.begin(a), deep.end(a)):
                    for j in range(high.begin(b), high.end(b)):
                        for k in range(wide.begin(c), wide.end(c)):
                            total += xp[unsafe_offset=plane + (i * high.size + j) * wide.size + k].cast[sum_type]()
                            found += 1
                var by = divisor
                if by == 0:
                    by = deep.padded(a) * high.padded(b) * wide.padded(c) if count_padding else found
                if found == 0:
                    by = 1
                comptime if dtype.is_floating_point():
                    total /= Scalar[sum_type](by)
                else:
                    total = total // Scalar[sum_type](by) if total >= 0 else -(-total // Scalar[sum_type](by))
                rp[unsafe_offset=r * wide.count + c] = total.cast[dtype]()

        sync_parallelize(row, result.dim_size(0) * deep.count * high.count)
