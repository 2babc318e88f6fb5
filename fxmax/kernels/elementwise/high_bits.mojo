"""The part of a float32 that TF32 holds, by its bits: arithmetic that cuts it off may be contracted away."""

import extensibility
from extensibility import ElementwiseUnaryOp
from std.memory import bitcast


@extensibility.register("fxmax.high_bits")
struct HighBits(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](x: SIMD[dtype, width]) -> SIMD[dtype, width]:
        comptime assert dtype == DType.float32
        var bits = bitcast[DType.uint32, width](x) & 0xFFFF_E000
        return bitcast[dtype, width](bits)
