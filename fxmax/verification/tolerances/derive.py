"""How far a node's result may be from torch's on the same inputs: derived from dtype and op.

Every formula is in units of the unit roundoff `u` of the dtype that MAX computes in (2^-24 for
float32) and bounds the error of each element, so that one large channel hides no other. K is the
number of terms that are added for one element. docs/verify.md has the derivations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from fxmax.fx.torch_private import OpOverload, schema_of
from fxmax.verification.tolerances.aten import ABSOLUTE, POINTWISE, SPECIAL, Bound
from fxmax.verification.tolerances.custom_ops import FUSED
from fxmax.verification.tolerances.steps import JUMPS, is_level, jumped

aten = torch.ops.aten

STEP = 2.0**-10  # relative step of the finite differences below


FORMULAS = SPECIAL | FUSED


def tolerance(
    target: OpOverload, bound: Bound, result: torch.Tensor, u: float, index: int = 0
) -> torch.Tensor:
    """The largest error of each element of `result`, the value of `target` on `bound`.

    Args:
        bound: schema argument → value, floats in the reference's dtype.
        u: unit roundoff of the dtypes that MAX and the reference compute in, added up.
        index: which of the op's results `result` is, where it has several.

    Returns:
        A tensor that broadcasts with `result`; 0 where the op moves data or counts.
    """
    zero = torch.zeros((), dtype=torch.float64)
    packet = target.overloadpacket
    if not result.is_floating_point() or packet in MOVES or target.is_view or is_level(target, bound):
        return zero
    if packet in LINEAR:
        grown = math.sqrt(LINEAR[packet](bound, result)) + 4
        magnitude = target(**{k: _absolute(v, k) for k, v in _callable(target, bound).items()})
        tol = u * grown * magnitude.double()
    elif packet in FORMULAS and index == 0:
        tol = u * FORMULAS[packet](bound, result)
    elif torch.Tag.pointwise in target.tags:
        tol = u * _pointwise(target, bound, result)
    else:
        tol = u * _unknown(target, bound, result, index)
    tiny = torch.finfo(torch.float32).tiny  # a result this small may be flushed to 0
    return torch.nan_to_num(tol, nan=math.inf).abs() + 4 * tiny


# -- ops that move data, and add nothing ----------------------------------------------------------

MOVES = {
    aten._to_copy, aten.alias, aten.amax, aten.amin, aten.cat, aten.clone, aten.constant_pad_nd, aten.copy,
    aten.embedding, aten.expand, aten.fill, aten.flip, aten.full, aten.full_like, aten.gather, aten.index,
    aten.index_put, aten.index_select, aten.lift_fresh_copy, aten.masked_fill, aten.max, aten.max_pool1d,
    aten.max_pool2d, aten.max_pool2d_with_indices, aten.max_pool3d, aten.min, aten.pad, aten.relu,
    aten.repeat, aten.repeat_interleave, aten.reshape, aten.roll, aten.scatter, aten.select_scatter,
    aten.slice_scatter, aten.sort, aten.stack, aten.tile, aten.topk, aten.tril, aten.triu, aten.where,
    aten.zeros, aten.ones, aten.zeros_like, aten.ones_like, aten.unfold, aten.channel_shuffle,
    aten.pixel_shuffle, aten.pixel_unshuffle,
}  # fmt: skip


# -- ops that are linear in their operands: |error| <= (sqrt(K) + 4) u op(|a|, |b|) ----------------


def _per_output(bound: Bound, result: torch.Tensor) -> float:
    """Elements of the input for each of the output."""
    first = next((v for v in bound.values() if isinstance(v, torch.Tensor)), result)
    return max(1.0, first.numel() / max(1, result.numel()))


def _last_axis(name: str) -> Callable[[Bound, torch.Tensor], float]:
    return lambda bound, _: float(bound[name].shape[-1]) if bound[name].ndim else 1.0


def _filter(bound: Bound, _: torch.Tensor) -> float:
    weight: torch.Tensor = bound["weight"]
    return weight.numel() / (weight.shape[1] if bound.get("transposed") else weight.shape[0])


def _transposed_filter(bound: Bound, _: torch.Tensor) -> float:
    weight: torch.Tensor = bound["weight"]
    return weight.numel() / weight.shape[1]


def _window(bound: Bound, _: torch.Tensor) -> float:
    size = bound["kernel_size"]
    return float(math.prod(size) if isinstance(size, (list, tuple)) else size)


def _running(bound: Bound, _: torch.Tensor) -> float:
    return float(bound["self"].shape[bound["dim"]]) if bound["self"].ndim else 1.0


LINEAR: dict[Any, Callable[[Bound, torch.Tensor], float]] = {
    aten.linear: _last_axis("input"),
    aten.matmul: _last_axis("self"),
    aten.mm: _last_axis("self"),
    aten.bmm: _last_axis("self"),
    torch.ops.fxmax.row_products: _last_axis("a"),
    aten.mv: _last_axis("self"),
    aten.dot: _last_axis("self"),
    aten.addmm: _last_axis("mat1"),
    aten.baddbmm: _last_axis("batch1"),
    aten.conv1d: _filter,
    aten.conv2d: _filter,
    aten.conv3d: _filter,
    aten.convolution: _filter,
    aten.conv_transpose1d: _transposed_filter,
    aten.conv_transpose2d: _transposed_filter,
    aten.sum: _per_output,
    aten.mean: _per_output,
    aten.cumsum: _running,
    aten.avg_pool1d: _window,
    aten.avg_pool2d: _window,
    aten.adaptive_avg_pool1d: _per_output,
    aten.adaptive_avg_pool2d: _per_output,
    aten._adaptive_avg_pool2d: _per_output,
}


def _absolute(value: Any, name: str) -> Any:
    """A factor's absolute value; what names an axis or a size stays as it is."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.abs()
    return abs(value) if name in ("alpha", "beta") else value


def _callable(target: OpOverload, bound: Bound) -> dict[str, Any]:
    """`bound` as keyword arguments of `target` (positional ones may be named too)."""
    return {a.name: bound[a.name] for a in schema_of(target).arguments if a.name in bound}


# -- pointwise: a few u of the result, and of each operand through the derivative ------------------

APPROXIMATED = {
    aten.atan, aten.cos, aten.elu, aten.erf, aten.exp2, aten.expm1, aten.gelu, aten.log, aten.log10,
    aten.log1p, aten.log2, aten.log_sigmoid, aten.mish, aten.sigmoid, aten.silu, aten.sin, aten.softplus,
    aten.tan, aten.tanh, aten.selu, aten.erfc, aten.cosh, aten.sinh, aten.asinh, aten.acosh, aten.atanh,
    aten.asin, aten.acos, aten.atan2, aten.celu, aten.hardswish, aten.log_sigmoid_forward,
}  # fmt: skip


def _pointwise(target: OpOverload, bound: Bound, result: torch.Tensor) -> torch.Tensor:
    """POINTWISE (|y| + Σ |x ∂y/∂x|) + ABSOLUTE max(1, |x|) where a polynomial stands for the op.

    An operand counts although it is the same on both sides: MAX may have fused what made it, and
    then goes on from the value before it was rounded.
    """
    arguments = _callable(target, bound)
    total = result.abs().double()
    for name, value in arguments.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            moved = target(**{**arguments, name: value * (1 + STEP)})
            if target.overloadpacket in JUMPS:
                moved = torch.where(jumped(target, bound, moved, result), result, moved)
            total = total + torch.nan_to_num((moved - result).abs().double() / STEP)
    total = POINTWISE * total
    if target.overloadpacket in APPROXIMATED:
        first = next(v for v in arguments.values() if isinstance(v, torch.Tensor))
        total = total + ABSOLUTE * first.abs().double().clamp(min=1)
    return total


# -- anything else: by trial --------------------------------------------------------------------


def _unknown(target: OpOverload, bound: Bound, result: torch.Tensor, index: int) -> torch.Tensor:
    """What the inputs' rounding, grown by sqrt(K), does to the result: by random perturbation."""
    arguments = _callable(target, bound)
    grown = POINTWISE * (math.sqrt(_per_output(bound, result)) + 2)
    generator = torch.Generator().manual_seed(0)
    total = result.abs().double()
    for _ in range(3):
        moved = target(**{k: _perturbed(v, generator) for k, v in arguments.items()})
        moved = moved if isinstance(moved, torch.Tensor) else moved[index]
        change = torch.nan_to_num((moved - result).abs().double() / STEP)
        total = torch.maximum(total, change + change.mean())
    return grown * total


def _perturbed(value: Any, generator: torch.Generator) -> Any:
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        signs = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
        return value * (1 + STEP * signs.to(value.dtype))
    return value
