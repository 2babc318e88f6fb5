"""Ops of one element: activations, arithmetic, comparisons, bits, functions of one number, casts."""

from __future__ import annotations

from tests.support.fuzz.drawing import Builder
from tests.support.fuzz.ops.table import table

ACTIVATIONS: list[Builder] = [
    *table("float", """
        F.relu({a})
        F.hardtanh({a}, -1.5, {p})
    """, exact=True),
    *table("float", """
        F.hardswish({a})
        F.silu({a})
        F.gelu({a})
        F.gelu({a}, approximate="tanh")
        F.leaky_relu({a}, 0.1)
        F.elu({a}, {p})
        F.softplus({a}, 1.5)
        F.relu6({a})
        F.mish({a})
        F.hardsigmoid({a})
        F.softsign({a})
        F.logsigmoid({a})
        torch.native_dropout({a}, 0.3, False)[0]
    """),
]  # fmt: skip
ARITHMETIC: list[Builder] = [
    *table("number", """
        {a} + {b}
        {a} + {s}
        torch.add({a}, {b}, alpha=2)
        {a} - {b}
        {a} - {s}
        torch.rsub({a}, {b})
        {s} - {a}
        {a} * {b}
        {a} * {s}
        {a} * {b} + {c}
        torch.addcmul({a}, {b}, {c})
    """),
    *table("float", """
        {a} / {b}
        {a} / {p}
        torch.ops.aten.div.Scalar({a}, {p})
        torch.ops.aten.sub.Scalar({a}, {p})
        {p} / {a}
        {a} / ({b}.abs() + {p})
        torch.atan2({a}, {b})
        torch.hypot({a}, {b})
        torch.pow({a}, 2)
        torch.pow({a}, 3)
        torch.pow({a}.abs(), {p})
        torch.pow({a}.abs() + {p}, {b})
        torch.pow({p}, {a})
        torch.nn.functional.normalize({a}, dim={d})
        torch.lerp({a}, {b}, 0.3)
        torch.xlogy({a}, {b}.abs() + {p})
    """),
    *table("number", """
        torch.maximum({a}, {b})
        torch.minimum({a}, {b})
        torch.fmax({a}, {b})
        torch.fmin({a}, {b})
        {a}.clamp(-1, 2)
        {a}.clamp(min={s})
        {a}.clamp(max={s})
        torch.clamp({a}, {b}, {c})
        torch.clamp({a}, min={b})
        torch.clamp_min({a}, {b})
        torch.clamp_max({a}, {b})
        torch.clamp_max({a}, {s})
        torch.clamp({a}, max={b})
        torch.where({m}, {a}, {b})
        torch.where({m}, {a}, {s})
        {a}.masked_fill({m}, {s})
    """, exact=True),
    *table("float", """
        torch.copysign({a}, {b})
        torch.copysign({a}, -2.0)
        torch.nextafter({a}, {b})
    """, exact=True, decides=True),
    *table("float", """
        torch.div({a}, {b}, rounding_mode="floor")
        torch.div({a}, {p}, rounding_mode="trunc")
        torch.floor_divide({a}, {b})
        {a} // {p}
        torch.ops.aten.div.Scalar_mode({a}, {p}, rounding_mode="trunc")
        torch.ops.aten.floor_divide.Scalar({a}, {p})
        torch.remainder({a}, {b})
        {a} % {p}
        torch.remainder({p}, {a})
        torch.fmod({a}, {b})
        torch.fmod({a}, {p})
    """, decides=True),
    *table("integer", """
        torch.div({a}, {b} | 1, rounding_mode="floor")
        torch.div({a}, {k}, rounding_mode="trunc")
        {a} // ({b} | 1)
        {a} // {k}
        {a} % ({b} | 1)
        {a} % {k}
        torch.remainder({k}, {a} | 1)
        torch.fmod({a}, {b} | 1)
        torch.fmod({a}, {k})
        torch.gcd({a}, {b})
        torch.pow({a}, {k})
        torch.pow({a}, {b} & 3)
        torch.pow({k}, {a} & 3)
        {a} / {k}
    """, exact=True),
]  # fmt: skip
COMPARISONS: list[Builder] = [
    *table("any", """
        {a} == {b}
        {a} == {s}
        {a} != {b}
        {a} != {s}
        {a} > {b}
        {a} > {s}
        {a} >= {b}
        {a} >= {s}
        {a} < {b}
        {a} < {s}
        {a} <= {b}
        {a} <= {s}
        torch.isnan({a})
        torch.logical_and({a}, {b})
        torch.logical_or({a}, {b})
        torch.logical_xor({a}, {b})
        torch.logical_not({a})
    """, exact=True, decides=True),
    *table("float", """
        torch.isinf({a})
        torch.isfinite({a})
        torch.signbit({a})
        torch.isclose({a}, {b})
    """, exact=True, decides=True),
    *table("whole", """
        {a} & {b}
        {a} & {s}
        {a} | {b}
        {a} | {s}
        {a} ^ {b}
        {a} ^ {s}
        torch.bitwise_and({s}, {a})
        torch.ops.aten.bitwise_and.Scalar({a}, {s})
        torch.ops.aten.bitwise_or.Scalar({a}, {s})
        torch.ops.aten.bitwise_xor.Scalar({a}, {s})
        torch.bitwise_xor({a}, {b})
        torch.bitwise_or({s}, {a})
        torch.bitwise_xor({s}, {a})
        ~{a}
        torch.ops.aten.__and__({a}, {b})
        torch.ops.aten.__and__({a}, {s})
        torch.ops.aten.__or__({a}, {b})
        torch.ops.aten.__or__({a}, {s})
        torch.ops.aten.__xor__({a}, {b})
        torch.ops.aten.__xor__({a}, {s})
    """, exact=True),
    *table("integer", """
        {a} << ({b} & 3)
        {a} << {k}
        torch.bitwise_left_shift({a}, {b} & 3)
        torch.bitwise_left_shift({a}, {k})
        torch.bitwise_left_shift({k}, {a} & 3)
        {a} >> ({b} & 3)
        {a} >> {k}
        torch.bitwise_right_shift({a}, {b} & 3)
        torch.bitwise_right_shift({a}, {k})
        torch.bitwise_right_shift({k}, {a} & 3)
    """, exact=True),
]  # fmt: skip
FUNCTIONS: list[Builder] = [
    *table("float", """
        torch.cos({a})
        torch.erf({a})
        torch.exp({a}.clamp(max=4))
        torch.exp(-{a}.abs())
        torch.exp2({a}.clamp(max=4))
        torch.log({a}.abs() + {p})
        torch.log1p({a}.abs())
        torch.reciprocal({a})
        torch.rsqrt({a}.abs() + {p})
        torch.sigmoid({a})
        torch.sin({a})
        torch.sqrt({a}.abs())
        torch.tanh({a})
        torch.atanh({a}.clamp(-0.9, 0.9))
        torch.acos({a}.clamp(-0.9, 0.9))
        torch.asin({a}.clamp(-0.9, 0.9))
        torch.acosh({a}.abs() + 1.25)
        torch.asinh({a})
        torch.atan({a})
        torch.cosh({a}.clamp(-4, 4))
        torch.sinh({a}.clamp(-4, 4))
        torch.erfc({a})
        torch.expm1({a}.clamp(max=4))
        torch.lgamma({a}.abs() + {p})
        torch.log10({a}.abs() + {p})
        torch.log2({a}.abs() + {p})
        torch.tan({a}.clamp(-1, 1))
        torch.special.entr({a}.abs())
        torch.square({a})
    """),
    *table("number", """
        torch.abs({a})
        {a}.clone()
        torch.relu({a})
    """, exact=True),
    *table("signed", """
        -{a}
        torch.sgn({a})
    """, exact=True),
    *table("integer", "-{a}", exact=True),
    *table("float", """
        -{a}
        torch.nan_to_num({a}, 0.5, 2.0, -2.0)
    """, exact=True),
    *table("float", """
        torch.ceil({a})
        torch.floor({a})
        torch.round({a})
        torch.trunc({a})
        torch.sign({a})
        torch.sgn({a})
        torch.frac({a})
        torch.heaviside({a}, {b})
    """, exact=True, decides=True),
    *table("float", """
        torch.round({a}, decimals=1)
        torch.angle({a})
    """, decides=True),
]  # fmt: skip
CASTS: list[Builder] = [
    *table("any", """
        {a}.float()
        {a}.double()
        {a}.half()
        {a}.bfloat16()
        {a}.to(torch.bool).to(torch.float32)
        {a}.bool()
        {a}.contiguous() + 0
        {a}.detach()
        torch.ops.prims.convert_element_type({a}, torch.float32)
        torch.ops.aten.alias({a}).clone()
        torch.ops.aten.lift_fresh_copy({a})
    """, exact=True, decides=True),
    *table("whole", """
        {a}.long()
        {a}.int()
        {a}.short()
        {a}.to(torch.int8)
        {a}.to(torch.uint8)
    """, exact=True),
    *table("float", """
        torch.nan_to_num({a}, 0.0, 9.0, -9.0).clamp(-9, 9).to(torch.int64)
        torch.nan_to_num({a}, 0.0, 9.0, -9.0).clamp(-9, 9).to(torch.int8)
        torch.nan_to_num({a}, 0.0, 9.0, 0.0).clamp(0, 9).to(torch.uint8)
    """, exact=True, decides=True),
]  # fmt: skip
