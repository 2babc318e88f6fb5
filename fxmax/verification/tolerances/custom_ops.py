"""Tolerances of the ops that passes put in (`fxmax.fx.custom_ops`), in units of u: see `derive.py`.

Each is the sum of its parts' tolerances, each felt through what follows it in the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from fxmax.fx.custom_ops import cache_read, convolve
from fxmax.kernels.packing import PANEL
from fxmax.verification.tolerances.aten import ABSOLUTE, POINTWISE, Bound, attention, wide

NEIGHBOURS, ALIKE = 12, 8  # strassen.mojo: MR, ALIKE
SLOPE = 1.5  # the steepest that an activation gets: hardswish at 3; gelu 1.13


def _linear(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    x, w, b, r = (wide(bound[n]) for n in ("input", "weight", "bias", "residual"))
    magnitude = F.linear(x.abs(), w.abs(), None if b is None else b.abs())
    if bound["strassen"]:
        magnitude = _mixed(x, w) + magnitude
    total = _activated(magnitude, x.shape[-1], bound["act"])
    return total if r is None else total + POINTWISE * (y.double().abs() + r.abs())


def _mixed(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """What Strassen's sums of products come to in absolute values: halves of k, and two rows, are added.

    Which two depends on the threads: one of the neighbours, of a like magnitude.
    """
    rows = x.abs().flatten(0, -2).unflatten(-1, (2, -1)).sum(-2)
    sums, most = rows.sum(-1, keepdim=True), torch.zeros_like(rows)
    for distance in range(1, NEIGHBOURS + 1):
        for shift in (distance, -distance):
            like = sums.roll(shift, 0) <= ALIKE * sums
            most = torch.where(like, most.maximum(rows.roll(shift, 0)), most)
    features = w.abs().unflatten(-1, (2, -1)).sum(-2).unflatten(0, (-1, 2, PANEL)).sum(1, keepdim=True)
    y = F.linear(rows + most, features.expand(-1, 2, -1, -1).flatten(0, 2))
    mixed: torch.Tensor = y.unflatten(0, x.shape[:-1])
    return mixed


def _conv1d(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    x, w, b = (wide(bound[n]) for n in ("input", "weight", "bias"))
    bias = None if b is None else b.abs()
    magnitude = F.conv1d(x.transpose(1, 2).abs(), w.abs(), bias, bound["stride"], bound["padding"])
    return _activated(magnitude.transpose(1, 2), w[0].numel(), bound["act"])


def _conv(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    x, w, b, r, var, scale, shift = (
        wide(bound[n])
        for n in ("input", "weight", "bias", "residual", "running_var", "norm_weight", "norm_bias")
    )
    settings = (bound[n] for n in ("stride", "padding", "dilation", "groups"))
    magnitude = convolve(x.abs(), w.abs(), None if b is None else b.abs(), *settings)
    along = [-1, *[1] * (w.ndim - 2)]
    if var is not None:
        factor = (var + bound["eps"]).rsqrt() * (1 if scale is None else scale.abs())
        magnitude = (magnitude + wide(bound["running_mean"]).abs().view(along)) * factor.view(along)
        magnitude = magnitude if shift is None else magnitude + shift.abs().view(along)
    magnitude = magnitude if r is None else magnitude + r.abs()
    return _activated(magnitude, w[0].numel(), bound["act"])


def _activated(magnitude: torch.Tensor, terms: int, act: str) -> torch.Tensor:
    """A sum of `terms` products whose absolute values add up to `magnitude`, then the activation."""
    error = (math.sqrt(terms) + 4) * magnitude
    if not act:
        return error
    # |y| <= |z| <= magnitude for all of them; their kernels approximate erf, tanh and exp.
    return SLOPE * error + 2 * POINTWISE * magnitude + ABSOLUTE * magnitude.clamp(min=1)


def _attention(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    """`aten.scaled_dot_product_attention`'s, in the layout (batch, seq, heads, dim)."""
    turned = {n: bound[n].transpose(1, 2) for n in ("query", "key", "value")}
    plain = {**turned, "scale": bound["scale"], "attn_mask": None, "is_causal": False}
    return attention(plain, y.transpose(1, 2)).transpose(1, 2)


def _heads_attention(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    """`aten.scaled_dot_product_attention`'s."""
    groups = bound["query"].shape[1] // bound["key"].shape[1]
    shared = {n: bound[n].repeat_interleave(groups, 1) for n in ("key", "value")}
    return attention({**bound, **shared}, y)


def _cached_attention(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    """`aten.scaled_dot_product_attention`'s: what int8 stands for is exact, and its scale one product."""
    plain = {n: bound[n] for n in ("query", "scale")} | {"attn_mask": None, "is_causal": False}
    for n in ("key", "value"):
        plain[n] = cache_read(wide(bound[n]), wide(bound[f"{n}_scales"]), bound["keys"])
    return attention(plain, y) + POINTWISE * y.double().abs()


FUSED: dict[Any, Callable[[Bound, torch.Tensor], torch.Tensor]] = {
    torch.ops.fxmax.linear: _linear,
    torch.ops.fxmax.conv1d: _conv1d,
    torch.ops.fxmax.conv: _conv,
    torch.ops.fxmax.attention: _attention,
    torch.ops.fxmax.heads_attention: _heads_attention,
    torch.ops.fxmax.cached_attention: _cached_attention,
}
