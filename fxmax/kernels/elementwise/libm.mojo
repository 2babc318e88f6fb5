"""Float functions whose C library form has torch's exact special cases (NaN, infinity, zeros). CPU."""

import extensibility
from extensibility import ElementwiseBinaryOp, ElementwiseUnaryOp
from std.ffi import external_call


def lanes[
    name: StaticString, name32: StaticString, dtype: DType, width: SIMDLength
](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
    """Call the C function on each lane: `name` on doubles, `name32` on floats."""
    var out = SIMD[dtype, width]()
    comptime for i in range(width):
        comptime if dtype == DType.float32:
            out[i] = external_call[name32, Scalar[dtype]](a[i])
        else:
            out[i] = external_call[name, Scalar[dtype]](a[i])
    return out


def lanes[
    name: StaticString, name32: StaticString, dtype: DType, width: SIMDLength
](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
    var out = SIMD[dtype, width]()
    comptime for i in range(width):
        comptime if dtype == DType.float32:
            out[i] = external_call[name32, Scalar[dtype]](a[i], b[i])
        else:
            out[i] = external_call[name, Scalar[dtype]](a[i], b[i])
    return out


@extensibility.register("fxmax.acos")
struct Acos(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["acos", "acosf"](a)


@extensibility.register("fxmax.acosh")
struct Acosh(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["acosh", "acoshf"](a)


@extensibility.register("fxmax.asin")
struct Asin(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["asin", "asinf"](a)


@extensibility.register("fxmax.asinh")
struct Asinh(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["asinh", "asinhf"](a)


@extensibility.register("fxmax.atan")
struct Atan(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["atan", "atanf"](a)


@extensibility.register("fxmax.cosh")
struct Cosh(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["cosh", "coshf"](a)


@extensibility.register("fxmax.erfc")
struct Erfc(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["erfc", "erfcf"](a)


@extensibility.register("fxmax.expm1")
struct Expm1(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["expm1", "expm1f"](a)


@extensibility.register("fxmax.lgamma")
struct Lgamma(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["lgamma", "lgammaf"](a)


@extensibility.register("fxmax.log10")
struct Log10(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["log10", "log10f"](a)


@extensibility.register("fxmax.log2")
struct Log2(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["log2", "log2f"](a)


@extensibility.register("fxmax.sinh")
struct Sinh(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["sinh", "sinhf"](a)


@extensibility.register("fxmax.tan")
struct Tan(ElementwiseUnaryOp):
    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](a: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["tan", "tanf"](a)


@extensibility.register("fxmax.atan2")
struct Atan2(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["atan2", "atan2f"](a, b)


@extensibility.register("fxmax.copysign")
struct Copysign(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["copysign", "copysignf"](a, b)


@extensibility.register("fxmax.fmod")
struct Fmod(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["fmod", "fmodf"](a, b)


@extensibility.register("fxmax.hypot")
struct Hypot(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["hypot", "hypotf"](a, b)


@extensibility.register("fxmax.nextafter")
struct Nextafter(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["nextafter", "nextafterf"](a, b)


@extensibility.register("fxmax.pow")
struct Pow(ElementwiseBinaryOp):
    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        return lanes["pow", "powf"](a, b)
