"""Bitwise ops on integers. A shift by a negative count, or by the width or more, is torch's."""

import extensibility
from extensibility import ElementwiseBinaryOp, ElementwiseUnaryOp
from std.sys import bit_width_of


@extensibility.register("fxmax.bitwise_and")
struct BitwiseAnd(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return a & b


@extensibility.register("fxmax.bitwise_or")
struct BitwiseOr(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return a | b


@extensibility.register("fxmax.bitwise_xor")
struct BitwiseXor(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return a ^ b


@extensibility.register("fxmax.bitwise_not")
struct BitwiseNot(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return ~a


@extensibility.register("fxmax.shift_left")
struct ShiftLeft(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        comptime bits = Scalar[dtype](bit_width_of[dtype]())
        var fits = b.ge(0) & b.lt(bits)
        return fits.select(a << fits.select(b, 0), 0)


@extensibility.register("fxmax.shift_right")
struct ShiftRight(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        # Arithmetic on signed types; too far leaves the sign (-1 or 0).
        comptime bits = Scalar[dtype](bit_width_of[dtype]())
        return a >> (b.ge(0) & b.lt(bits)).select(b, bits - 1)
