"""Torch ops that passes put in place of several: what they compute is written here, in torch.

Rules lower them like any other overload; `fxmax.verify` and torch itself run these definitions.
Layouts are the fast kernels': attention is (batch, seq, heads, dim), or heads first where keys and
values lie so; `conv1d` is (batch, length, channels).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
}

library = torch.library.Library("fxmax", "DEF")


def linear(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    act: str,
    strassen: bool = False,
) -> Tensor:
    """act(input @ weightᵀ + bias) + residual; `strassen`: with seven products of half the size for eight."""
    y = ACTIVATIONS[act](F.linear(input, weight, bias))
    return y if residual is None else y + residual


def conv1d(input: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, act: str) -> Tensor:
    """act(conv) of (batch, length, channels) with a torch filter (features, channels, taps)."""
    y = F.conv1d(input.transpose(1, 2), weight, bias, stride, padding)
    return ACTIVATIONS[act](y).transpose(1, 2).contiguous()


def conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    residual: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    eps: float,
    act: str,
) -> Tensor:
    """act(norm(conv of (batch, channels, *spatial)) + residual); norm: a batch norm in eval mode, if any."""
    y = convolve(input, weight, bias, stride, padding, dilation, groups)
    if running_mean is not None:
        y = F.batch_norm(y, running_mean, running_var, norm_weight, norm_bias, eps=eps)
    return ACTIVATIONS[act](y if residual is None else y + residual)


def convolve(input: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
    """torch's convolution over as many axes as the filter has."""
    convolutions: list[Callable[..., Tensor]] = [F.conv1d, F.conv2d, F.conv3d]
    return convolutions[weight.ndim - 3](input, weight, bias, *settings)


def attention(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    """softmax(scale · q kᵀ) v over (batch, seq, heads, dim)."""
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2).contiguous()


def heads_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, is_causal: bool, scale: float | None
) -> Tensor:
    """softmax(scale · q kᵀ + mask) v over (batch, heads, seq, dim). Heads of q may share one of k and v."""
    shared = query.shape[1] != key.shape[1]
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask, is_causal=is_causal, scale=scale, enable_gqa=shared
    )


def row_products(a: Tensor, b: Tensor) -> Tensor:
    """a bᵀ: of each row of a (…, m, k) with each of b (…, n, k)."""
    return a @ b.mT


def cached_attention(
    query: Tensor,
    key: Tensor,
    key_scales: Tensor | None,
    value: Tensor,
    value_scales: Tensor | None,
    keys: int | None,
    scale: float | None,
) -> Tensor:
    """softmax(scale · q kᵀ) v over (batch, heads, seq, dim), with keys and values as a cache holds them.

    Each is as `cache_read` takes it.
    """
    k, v = cache_read(key, key_scales, keys), cache_read(value, value_scales, keys)
    return F.scaled_dot_product_attention(query, k, v, scale=scale)


def cache_read(cache: Tensor, scales: Tensor | None, keys: int | None) -> Tensor:
    """The (batch, heads, seq, dim) that a cache stands for.

    It may be int8 times scales (…, seq, 1), have its batch in several axes, (…, heads, seq, dim), and be
    places of which the first `keys` are in use (None: all).
    """
    return (cache if scales is None else cache * scales).flatten(0, -4)[:, :, :keys]


def write_places(self: Tensor, src: Tensor, dim: int, first: int) -> Tensor:
    """`self` with `src` in the places from `first` on of one axis."""
    result = self.clone()
    result.narrow(dim, first, src.shape[dim]).copy_(src)
    return result


def _linear_type(input: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    return input.new_empty([*input.shape[:-1], weight.shape[0]])


def _conv1d_type(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, act: str
) -> Tensor:
    length = (input.shape[1] + 2 * padding - weight.shape[2]) // stride + 1
    return input.new_empty([input.shape[0], length, weight.shape[0]])


def _conv_type(input: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    return convolve(input, weight, bias, *rest[5:9])


def _attention_type(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    return query.new_empty([*query.shape[:-1], value.shape[-1]])


def _row_products_type(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty([*a.shape[:-1], b.shape[-2]])


def _cached_attention_type(query: Tensor, *rest: Any) -> Tensor:
    return query.new_empty(query.shape)


def _write_places_type(self: Tensor, *rest: Any) -> Tensor:
    return self.new_empty(self.shape)


for _fn, _type, _schema in (
    (
        linear,
        _linear_type,
        "(Tensor input, Tensor weight, Tensor? bias, Tensor? residual, str act, bool strassen=False) "
        "-> Tensor",
    ),
    (
        conv1d,
        _conv1d_type,
        "(Tensor input, Tensor weight, Tensor? bias, int stride, int padding, str act) -> Tensor",
    ),
    (
        conv,
        _conv_type,
        "(Tensor input, Tensor weight, Tensor? bias, Tensor? norm_weight, Tensor? norm_bias, "
        "Tensor? running_mean, Tensor? running_var, Tensor? residual, int[] stride, int[] padding, "
        "int[] dilation, int groups, float eps, str act) -> Tensor",
    ),
    (attention, _attention_type, "(Tensor query, Tensor key, Tensor value, float? scale) -> Tensor"),
    (
        heads_attention,
        heads_attention,  # strides and all: torch views the result
        "(Tensor query, Tensor key, Tensor value, Tensor? attn_mask, bool is_causal, float? scale) -> Tensor",
    ),
    (row_products, _row_products_type, "(Tensor a, Tensor b) -> Tensor"),
    (
        cached_attention,
        _cached_attention_type,
        "(Tensor query, Tensor key, Tensor? key_scales, Tensor value, Tensor? value_scales, SymInt? keys, "
        "float? scale) -> Tensor",
    ),
    (write_places, _write_places_type, "(Tensor self, Tensor src, int dim, SymInt first) -> Tensor"),
):
    library.define(_fn.__name__ + _schema)
    library.impl(_fn.__name__, _fn, "CompositeExplicitAutograd")
    torch.library.register_fake(f"fxmax::{_fn.__name__}", _type, lib=library)
