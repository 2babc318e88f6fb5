"""Tolerances of ops that have a formula of their own, in units of u: see `derive.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

aten = torch.ops.aten

Bound = dict[str, Any]  # schema argument → value

POINTWISE = 4.0  # u, for a pointwise kernel and for each of its operands
ABSOLUTE = 8.0  # u, for kernels that approximate a function to an absolute error
STATISTICS = 6.0  # u, for a mean or a variance that is summed in blocks


def _softmax(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    """exp(x - max) carries the rounding of its argument; the sum is over K terms of one sign."""
    x, dim = bound["self"].double(), bound["dim"]
    away = (x - x.amax(dim, keepdim=True)).abs()
    steps = math.sqrt(x.shape[dim]) if x.ndim else 1.0
    return (2 * POINTWISE + steps + 2 * torch.nan_to_num(away, nan=0.0, posinf=0.0)) * y.double()


def _log_softmax(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    x, dim = bound["self"].double(), bound["dim"]
    steps = math.sqrt(x.shape[dim]) if x.ndim else 1.0
    largest = x.abs().amax(dim, keepdim=True) if x.ndim else x.abs()
    allowed: torch.Tensor = 2 * POINTWISE + steps + POINTWISE * (y.double().abs() + x.abs() + largest)
    return allowed


def _normalized(
    x: torch.Tensor, dims: list[int], eps: float, gamma: Any, beta: Any, y: torch.Tensor
) -> torch.Tensor:
    """STATISTICS for the mean and the deviation, each felt by every element; 2 for the affine."""
    x = x.double()
    rstd = (x.var(dims, unbiased=False, keepdim=True) + eps).rsqrt()
    normal = (x - x.mean(dims, keepdim=True)).abs() * rstd
    spread = (x.abs() + STATISTICS * x.abs().mean(dims, keepdim=True)) * rstd + STATISTICS * normal
    scale = 1.0 if gamma is None else gamma.double().abs()
    offset = 0.0 if beta is None else beta.double().abs()
    return spread * scale + 2 * offset + 2 * y.double().abs()


def _layer_norm(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    rank = len(bound["normalized_shape"])
    dims = list(range(-rank, 0))
    return _normalized(bound["input"], dims, bound["eps"], bound["weight"], bound.get("bias"), y)


def _rms_norm(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    return (2 * STATISTICS + 4) * y.double().abs()


def _group_norm(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    x, groups = bound["input"], bound["num_groups"]
    grouped = x.reshape(x.shape[0], groups, -1)
    shape = [1, -1, *[1] * (x.ndim - 2)]
    gamma, beta = (None if t is None else t.reshape(shape) for t in (bound["weight"], bound["bias"]))
    plain = _normalized(grouped, [-1], bound["eps"], None, None, torch.zeros_like(grouped)).reshape(x.shape)
    scale = 1.0 if gamma is None else gamma.double().abs()
    offset = 0.0 if beta is None else beta.double().abs()
    return plain * scale + 2 * offset + 2 * y.double().abs()


def _batch_norm(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    x = bound["input"].double()
    shape = [1, -1, *[1] * (x.ndim - 2)]
    if bound.get("training"):
        axes = [0, *range(2, x.ndim)]
        statistics = x.mean(axes), x.var(axes, unbiased=False)
    else:
        statistics = bound["running_mean"].double(), bound["running_var"].double()
    mean, var = (t.reshape(shape) for t in statistics)
    scale = (var + bound["eps"]).rsqrt()
    offset = 0.0
    if bound["weight"] is not None:
        scale = scale * bound["weight"].double().abs().reshape(shape)
    if bound["bias"] is not None:
        offset = bound["bias"].double().abs().reshape(shape)
    units = STATISTICS if bound.get("training") else POINTWISE
    allowed: torch.Tensor = units * ((x.abs() + mean.abs()) * scale + offset + y.double().abs())
    return allowed


def attention(bound: Bound, y: torch.Tensor) -> torch.Tensor:
    """The scores as a product (and 2 u more for scaling q), their softmax, and the product with v.

    In place where it can be: of long sequences the scores are what costs.
    """
    q, k, v = (wide(bound[n]) for n in ("query", "key", "value"))
    if bound.get("enable_gqa"):
        k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    scale = bound["scale"] if bound["scale"] is not None else 1 / math.sqrt(q.shape[-1])
    scores = (q @ k.transpose(-1, -2)).mul_(scale)
    mask = bound["attn_mask"]
    if bound["is_causal"]:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    p = scores.softmax(-1).nan_to_num_()
    away = scores.sub_(scores.amax(-1, keepdim=True)).abs_().nan_to_num_(nan=0.0, posinf=0.0)
    # Each score's own part, then what all of a row share.
    felt = (q.abs() @ k.abs().transpose(-1, -2)).mul_((math.sqrt(q.shape[-1]) + 6) * abs(scale)).mul_(p)
    shared = felt.sum(-1, keepdim=True) + 2 * POINTWISE + 2 * math.sqrt(v.shape[-2])
    allowed: torch.Tensor = felt.addcmul_(p, away, value=2) @ v.abs() + shared * (p @ v.abs())
    return allowed.double() + 2 * y.double().abs()


def wide(value: Any) -> Any:
    """A tensor of floats in float32 at least: a bound on rounding needs no more, unless the numbers do."""
    if not isinstance(value, torch.Tensor) or value.dtype is torch.float64:
        return value
    return value.float()


SPECIAL: dict[Any, Callable[[Bound, torch.Tensor], torch.Tensor]] = {
    aten.softmax: _softmax,
    aten._softmax: _softmax,
    aten._safe_softmax: _softmax,
    aten.log_softmax: _log_softmax,
    aten._log_softmax: _log_softmax,
    aten.layer_norm: _layer_norm,
    aten.native_layer_norm: _layer_norm,
    aten.rms_norm: _rms_norm,
    aten.group_norm: _group_norm,
    aten.batch_norm: _batch_norm,
    aten._native_batch_norm_legit_no_training: _batch_norm,
    aten.scaled_dot_product_attention: attention,
}
