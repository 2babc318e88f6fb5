"""Number theory on integers."""

import extensibility
from extensibility import ElementwiseBinaryOp


@extensibility.register("fxmax.gcd")
struct Gcd(ElementwiseBinaryOp):
    """Euclid's, lane by lane; never negative, and gcd(0, 0) is 0."""

    @staticmethod
    def elementwise[
        dtype: DType, width: SIMDLength
    ](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
        var result = SIMD[dtype, width]()
        comptime for i in range(width):
            var x = abs(a[i])
            var y = abs(b[i])
            while y != 0:
                var rest = x % y
                x = y
                y = rest
            result[i] = x
        return result
