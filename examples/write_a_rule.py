"""Give fxmax a rule for an op that it has none for, with a Mojo kernel for the mathematics."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from max.graph import TensorValue, ops

import fxmax

KERNEL = '''
import extensibility
from extensibility import ElementwiseUnaryOp
from std.ffi import external_call


@extensibility.register("antenna.bessel_y0")
struct BesselY0(ElementwiseUnaryOp):
    """The C library's y0 of each value."""

    @staticmethod
    def elementwise[dtype: DType, width: SIMDLength](x: SIMD[dtype, width]) -> SIMD[dtype, width]:
        var y = SIMD[dtype, width]()
        comptime for i in range(width):
            y[i] = external_call["y0", Float64](x[i].cast[DType.float64]()).cast[dtype]()
        return y
'''


class Antenna(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_y0(x) * 2


def main() -> None:
    module, x = Antenna(), torch.rand(2, 5) + 0.5
    report = fxmax.explain(module, (x,), quiet=True)
    assert not report.ok
    print(report.gaps_text())  # every gap, with a rule stub to paste

    with TemporaryDirectory() as folder:
        kernels = Path(folder) / "bessel"
        kernels.mkdir()
        (kernels / "__init__.mojo").write_text("")
        (kernels / "bessel.mojo").write_text(KERNEL)

        @fxmax.rule(torch.ops.aten.special_bessel_y0.default, platform="cpu")
        def bessel_y0(ctx: fxmax.Context, self: TensorValue) -> TensorValue:
            x = ops.cast(self, ctx.out.dtype)
            [y] = ctx.kernel(kernels, "antenna.bessel_y0", [x], [ctx.out])
            return y

        compiled = fxmax.lower(module, (x,))
        torch.testing.assert_close(compiled(x), module(x), rtol=1e-5, atol=1e-5)
    print("the rule gives torch's numbers")


if __name__ == "__main__":
    main()
