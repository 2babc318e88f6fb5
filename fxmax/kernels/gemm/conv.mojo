"""`act(norm(conv(x, w) + bias) + residual)` over three axes, channels first: filters times windows.

Of each group, a row of A is a feature's filter, a column of B the window of one place of the result,
packed from the input in panels of places. Where there are many groups of few features, packing would cost
more than the product: there each place's window is summed where it is.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from max.runtime.asyncrt import parallelism_level
from std.math import sqrt

from .linear import PANEL_BYTES, SERIAL_FLOPS, activate
from .tile import (
    F32, KB, MR, NR, NV, PANEL, Ptr, Vector, W, ceil_div, load, pack_window, panel, scratch, store, tile_product,
)

# Where the settings of `fxmax.conv` are: the fields of KernelSettings in rules/lib/conv_kernel.py, in order.
comptime STRIDE = 0  # three, one of each axis
comptime PADDING = 3  # three
comptime DILATION = 6  # three
comptime GROUPS = 9
comptime HAS_BIAS = 10
comptime HAS_NORM_WEIGHT = 11
comptime HAS_NORM_BIAS = 12
comptime HAS_STATISTICS = 13  # the norm's mean and variance
comptime HAS_RESIDUAL = 14

comptime FEW = 8
"""Features of a group up to which their windows are not packed, where there are more groups than this."""


@fieldwise_init
struct Axis(ImplicitlyCopyable, Movable):
    """The windows of one axis of `size` places: `count` of them, of `taps` places, `step` apart."""

    var size: Int
    var count: Int
    var taps: Int
    var stride: Int
    var padding: Int
    var step: Int

    @always_inline
    def padded(self) -> Axis:
        return Axis(self.size + 2 * self.padding, self.count, self.taps, self.stride, 0, self.step)


@fieldwise_init
struct Conv(ImplicitlyCopyable, Movable):
    """From x (batch, channels, d, h, w) and w (features, channels / groups, taps of each axis)."""

    var x: Ptr
    var w: Ptr
    var scale: Ptr
    var shift: Ptr
    """Of each feature: what its sums are multiplied by, and what is added then."""
    var residual: Ptr
    var adds: Bool
    """Whether there is a residual."""
    var result: Ptr
    var batch: Int
    var channels: Int
    var features: Int
    var groups: Int
    var deep: Axis
    var high: Axis
    var wide: Axis

    @always_inline
    def pads(self) -> Bool:
        return self.deep.padding + self.high.padding + self.wide.padding > 0

    @always_inline
    def plane(self) -> Int:
        return self.deep.size * self.high.size * self.wide.size

    @always_inline
    def area(self) -> Int:
        """Places of a feature's result."""
        return self.deep.count * self.high.count * self.wide.count

    @always_inline
    def group_channels(self) -> Int:
        return self.channels // self.groups

    @always_inline
    def group_features(self) -> Int:
        return self.features // self.groups

    @always_inline
    def window(self) -> Int:
        """Values of a window."""
        return self.group_channels() * self.deep.taps * self.high.taps * self.wide.taps

    @always_inline
    def line(self, a: Int, b: Int) -> Int:
        """Where in a plane a line of windows starts."""
        return ((a * self.deep.stride) * self.high.size + b * self.high.stride) * self.wide.size

    @always_inline
    def taps_line(self, i: Int, j: Int) -> Int:
        """Where a line of taps is, from where its window starts."""
        return ((i * self.deep.step) * self.high.size + j * self.high.step) * self.wide.size

    @always_inline
    def start(self, place: Int) -> Int:
        """Where in x the window of a place of (batch, d, h, w) starts, in its first channel."""
        var c = place % self.wide.count
        var b = place // self.wide.count % self.high.count
        var a = place // (self.wide.count * self.high.count) % self.deep.count
        var i = place // self.area()
        return i * self.channels * self.plane() + self.line(a, b) + c * self.wide.stride

    def padded(self, planes: Ptr) -> Conv:
        """The same of planes that are padded already."""
        return Conv(
            planes, self.w, self.scale, self.shift, self.residual, self.adds, self.result, self.batch,
            self.channels, self.features, self.groups, self.deep.padded(), self.high.padded(), self.wide.padded(),
        )

    def pad(self, plane: Int, to: Ptr):
        """A plane of x with zeros around it."""
        var width = self.wide.size + 2 * self.wide.padding
        var at = to
        for i in range(-self.deep.padding, self.deep.size + self.deep.padding):
            for j in range(-self.high.padding, self.high.size + self.high.padding):
                if i < 0 or i >= self.deep.size or j < 0 or j >= self.high.size:
                    fill(at, width)
                else:
                    var line = (plane * self.deep.size + i) * self.high.size + j
                    fill(at, self.wide.padding)
                    var inner = at.unsafe_offset(self.wide.padding)
                    copy(self.x.unsafe_offset(line * self.wide.size), inner, self.wide.size)
                    fill(inner.unsafe_offset(self.wide.size), self.wide.padding)
                at = at.unsafe_offset(width)


@always_inline
def finish[activation: StaticString](conv: Conv, sum: Vector, feature: Int, at: Int, count: Int):
    """Write a feature's results from sums: the first `count`, to result[at]."""
    var y = sum.fma(Vector(conv.scale[unsafe_offset=feature]), Vector(conv.shift[unsafe_offset=feature]))
    if conv.adds:
        y += load(conv.residual.unsafe_offset(at), count)
    store(conv.result.unsafe_offset(at), activate[activation](y), count)


def fill(to: Ptr, count: Int):
    """Zeros."""
    for i in range(count):
        to[unsafe_offset=i] = 0


def copy(x: Ptr, to: Ptr, count: Int):
    """The first `count` floats."""
    for i in range(0, count // W * W, W):
        to.unsafe_offset(i).unsafe_store(x.unsafe_offset(i).unsafe_load[width=W]())
    for i in range(count // W * W, count):
        to[unsafe_offset=i] = x[unsafe_offset=i]


@always_inline
def apart[stride: Int](x: Ptr) -> Vector:
    """x[0], x[stride], …; a stride of 2 reads one float more."""
    comptime if stride == 2:
        return rebind[Vector](x.unsafe_load[width = 2 * W]().deinterleave()[0])
    else:
        return x.unsafe_load[width=W]()


def pack[stride: Int](conv: Conv, starts: Array[Int, W], packed: Ptr):
    """The windows that start there, W columns of a panel; they are `stride` apart, or, if it is 0, anywhere."""
    var to = packed
    var wide = conv.wide
    for c in range(conv.group_channels()):
        for i in range(conv.deep.taps):
            for j in range(conv.high.taps):
                var x = conv.x.unsafe_offset(c * conv.plane() + conv.taps_line(i, j))
                for _ in range(wide.taps):
                    comptime if stride == 0:
                        var value = Vector(0)
                        comptime for lane in range(W):
                            value[lane] = x[unsafe_offset=starts[lane]]
                        to.unsafe_store(value)
                    else:
                        to.unsafe_store(apart[stride](x.unsafe_offset(starts[0])))
                    to = to.unsafe_offset(PANEL)
                    x = x.unsafe_offset(wide.step)
    for _ in range(conv.window(), ceil_div(conv.window(), KB) * KB):
        to.unsafe_store(Vector(0))
        to = to.unsafe_offset(PANEL)


def pack_panel(conv: Conv, group: Int, first: Int, packed: Ptr):
    """A group's windows of PANEL places from `first` on; beyond the last place, its own again."""
    var last = conv.batch * conv.area() - 1
    var base = group * conv.group_channels() * conv.plane()
    comptime for v in range(PANEL // W):
        var starts = Array[Int, W](fill=0)
        comptime for i in range(W):
            starts[i] = base + conv.start(min(first + v * W + i, last))
        var stride = starts[1] - starts[0]
        comptime for i in range(1, W):
            if starts[i] - starts[i - 1] != stride:
                stride = 0
        if first + v * W + W > last:  # what `apart` reads beyond its lanes may not be there
            stride = 0
        var to = packed.unsafe_offset(v * W)
        if stride == 1:
            pack[1](conv, starts, to)
        elif stride == 2:
            pack[2](conv, starts, to)
        else:
            pack[0](conv, starts, to)


def products[activation: StaticString](conv: Conv, threads: Int) raises:
    """The convolution by packed panels."""
    var k = conv.window()
    var kp = ceil_div(k, KB) * KB
    var places = conv.batch * conv.area()
    var panels = ceil_div(places, PANEL)
    var units = conv.groups * panels
    var tiles = ceil_div(conv.group_features(), MR)
    # Each of `across` parts of the panels meets each of `down` parts of the features.
    var across = min(units, threads)
    var down = min(ceil_div(2 * threads, across), tiles) if units < 2 * threads else 1
    var chunk = max(4, PANEL_BYTES // (kp * PANEL * 4))

    def work(t: Int) raises {
        var conv, var k, var kp, var places, var panels, var units, var tiles, var across, var down, var chunk,
    }:
        var packed = scratch(min(chunk, panels) * kp * PANEL)
        var a = scratch(MR * kp)
        var area = conv.area()
        var unit = units * (t // down) // across
        var unit_to = units * (t // down + 1) // across
        while unit < unit_to:
            var group = unit // panels
            var first = unit % panels
            var count = min(min(chunk, unit_to - unit), panels - first)
            for p in range(count):
                pack_panel(conv, group, (first + p) * PANEL, packed.unsafe_offset(p * PANEL * kp))
            for tile in range(tiles * (t % down) // down, tiles * (t % down + 1) // down):
                var feature = group * conv.group_features() + tile * MR
                var rows = min(MR, conv.group_features() - tile * MR)
                for r in range(rows):
                    pack_window(conv.w.unsafe_offset((feature + r) * k), 0, k, k, a, r)
                for j in range(0, count * PANEL, NR):
                    var acc = tile_product(rows, a, panel(packed, j, kp), kp)
                    comptime for v in range(NV):
                        var place = first * PANEL + j + v * W
                        if place < places:
                            var item = place // area
                            var at = (item * conv.features + feature) * area + place % area
                            var left = (item + 1) * area - place
                            comptime for r in range(MR):
                                if r < rows:
                                    var sum = acc[r * NV + v]
                                    finish[activation](conv, sum, feature + r, at + r * area, left)
                                    # The rest is the next items' first places.
                                    for lane in range(left, min(W, places - place)):
                                        var next = (place + lane) // area * conv.features + feature + r
                                        var to = next * area + (place + lane) % area
                                        finish[activation](conv, Vector(sum[lane]), feature + r, to, 1)
            unit += count
        packed.unsafe_free()
        a.unsafe_free()

    sync_parallelize(work, across * down)


@always_inline
def sum_block[
    stride: Int, lines: Int, vectors: Int, activation: StaticString
](conv: Conv, feature: Int, start: Int, to: Int, columns: Int):
    """Results of a feature: `lines` lines of at most `vectors` vectors, the windows from `start` on."""
    var acc = Array[Vector, lines * vectors](fill=Vector(0))
    var filter = conv.w.unsafe_offset(feature * conv.window())
    var below = conv.high.stride * conv.wide.size
    for c in range(conv.group_channels()):
        for i in range(conv.deep.taps):
            for j in range(conv.high.taps):
                var x = conv.x.unsafe_offset(start + c * conv.plane() + conv.taps_line(i, j))
                for _ in range(conv.wide.taps):
                    var tap = Vector(filter[])
                    comptime for r in range(lines):
                        comptime for v in range(vectors):
                            var value = apart[stride](x.unsafe_offset(r * below + v * W * stride))
                            acc[r * vectors + v] = tap.fma(value, acc[r * vectors + v])
                    filter = filter.unsafe_offset(1)
                    x = x.unsafe_offset(conv.wide.step)
    comptime for r in range(lines):
        comptime for v in range(vectors):
            if v * W < columns:
                var at = to + r * conv.wide.count + v * W
                finish[activation](conv, acc[r * vectors + v], feature, at, columns - v * W)


def sum_lines[
    stride: Int, vectors: Int, activation: StaticString
](conv: Conv, feature: Int, to: Int):
    """A feature's results, from a group's planes at conv.x, padded, and with some floats after them."""
    comptime lines = 4 // vectors
    for a in range(conv.deep.count):
        var lines_to = to + a * conv.high.count * conv.wide.count
        for b in range(0, conv.high.count, lines):
            for c in range(0, conv.wide.count, vectors * W):
                var columns = conv.wide.count - c
                if b + lines <= conv.high.count:
                    sum_block[stride, lines, vectors, activation](
                        conv, feature, conv.line(a, b) + c * stride,
                        lines_to + b * conv.wide.count + c, columns,
                    )
                else:
                    for line in range(b, conv.high.count):
                        sum_block[stride, 1, vectors, activation](
                            conv, feature, conv.line(a, line) + c * stride,
                            lines_to + line * conv.wide.count + c, columns,
                        )


def sums[stride: Int, activation: StaticString](conv: Conv, threads: Int) raises:
    """The convolution place by place, for many groups of few features; `stride` is that along w."""
    var units = conv.batch * conv.groups

    def work(t: Int) raises {var conv, var units, var threads}:
        var plane = conv.padded(conv.x).plane()
        var planes = scratch(conv.group_channels() * plane + 4 * stride * W)
        for unit in range(units * t // threads, units * (t + 1) // threads):
            for c in range(conv.group_channels()):
                conv.pad(unit * conv.group_channels() + c, planes.unsafe_offset(c * plane))
            var group = conv.padded(planes)
            for f in range(conv.group_features()):
                var feature = unit % conv.groups * conv.group_features() + f
                var to = (unit * conv.group_features() + f) * conv.area()
                if conv.wide.count > 2 * W:
                    sum_lines[stride, 4, activation](group, feature, to)
                elif conv.wide.count > W:
                    sum_lines[stride, 2, activation](group, feature, to)
                else:
                    sum_lines[stride, 1, activation](group, feature, to)
        planes.unsafe_free()

    sync_parallelize(work, threads)


def pad_all(conv: Conv, threads: Int) raises -> Ptr:
    """All planes with zeros around each; free them."""
    var count = conv.batch * conv.channels
    var plane = conv.padded(conv.x).plane()
    var made = scratch(count * plane)

    def work(t: Int) raises {var conv, var count, var plane, var made, var threads}:
        for i in range(count * t // threads, count * (t + 1) // threads):
            conv.pad(i, made.unsafe_offset(i * plane))

    sync_parallelize(work, threads)
    return made


@extensibility.register("fxmax.conv")
struct Convolution:
    """From x (batch, c, d, h, w) and w (f, c / groups, taps…) → (batch, f, d', h', w').

    Of the operands that `settings` says are not there, one element stands for each.
    """

    @staticmethod
    def execute[
        activation: StaticString, target: StaticString
    ](
        result: OutputTensor[dtype=F32, rank=5, ...],
        x: InputTensor[dtype=F32, rank=5, ...],
        w: InputTensor[dtype=F32, rank=5, ...],
        bias: InputTensor[dtype=F32, rank=1, ...],
        norm_weight: InputTensor[dtype=F32, rank=1, ...],
        norm_bias: InputTensor[dtype=F32, rank=1, ...],
        mean: InputTensor[dtype=F32, rank=1, ...],
        variance: InputTensor[dtype=F32, rank=1, ...],
        eps: InputTensor[dtype=F32, rank=1, ...],
        residual: InputTensor[dtype=F32, rank=5, ...],
        settings: InputTensor[dtype=DType.int64, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        var s = settings.unsafe_ptr()

        def axis(i: Int) {x, w, result, s} -> Axis:
            return Axis(
                x.dim_size(i + 2), result.dim_size(i + 2), w.dim_size(i + 2), Int(s[unsafe_offset=STRIDE + i]),
                Int(s[unsafe_offset=PADDING + i]), Int(s[unsafe_offset=DILATION + i]),
            )

        var features = w.dim_size(0)
        if x.dim_size(0) == 0:
            return
        var scale = scratch(2 * features)
        var shift = scale.unsafe_offset(features)
        for f in range(features):
            var factor = Float32(1)
            var added = Float32(0)
            if s[unsafe_offset=HAS_BIAS] != 0:
                added = bias.unsafe_ptr()[unsafe_offset=f]
            if s[unsafe_offset=HAS_STATISTICS] != 0:
                factor = 1 / sqrt(variance.unsafe_ptr()[unsafe_offset=f] + eps.unsafe_ptr()[])
                added -= mean.unsafe_ptr()[unsafe_offset=f]
            if s[unsafe_offset=HAS_NORM_WEIGHT] != 0:
                factor *= norm_weight.unsafe_ptr()[unsafe_offset=f]
            added *= factor
            if s[unsafe_offset=HAS_NORM_BIAS] != 0:
                added += norm_bias.unsafe_ptr()[unsafe_offset=f]
            scale[unsafe_offset=f] = factor
            shift[unsafe_offset=f] = added
        var conv = Conv(
            rebind[Ptr](x.unsafe_ptr()), rebind[Ptr](w.unsafe_ptr()), scale, shift,
            rebind[Ptr](residual.unsafe_ptr()), s[unsafe_offset=HAS_RESIDUAL] != 0, rebind[Ptr](result.unsafe_ptr()),
            x.dim_size(0), x.dim_size(1), features, Int(s[unsafe_offset=GROUPS]), axis(0), axis(1), axis(2),
        )
        var small = 2 * conv.batch * conv.features * conv.area() * conv.window() < SERIAL_FLOPS
        var threads = 1 if small else parallelism_level(None)
        var many_groups = conv.groups > FEW and conv.group_features() <= FEW
        if many_groups and conv.wide.stride == 1:
            sums[1, activation](conv, threads)
        elif many_groups and conv.wide.stride == 2:
            sums[2, activation](conv, threads)
        elif conv.pads():
            var planes = pad_all(conv, threads)
            products[activation](conv.padded(planes), threads)
            planes.unsafe_free()
        else:
            products[activation](conv, threads)
        scale.unsafe_free()
