"""Keys and values read where a cache holds them, with no copy made first, and written there in place."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.fx import Node

from fxmax.fx.edit import emit, rank, sizes
from fxmax.fx.schema import arguments
from fxmax.passes.lib.attention import SDPA, plain
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite
from fxmax.support.signals import Skip

aten = torch.ops.aten
fused = torch.ops.fxmax
CASTS = (aten.to.dtype, aten._to_copy.default)
VIEWS = (aten.view.default, aten.reshape.default)


class CacheRead(NamedTuple):
    """Keys or values (batch, heads, seq, dim): int8 and scales (…, seq, 1), or the first `keys` positions.

    `taken` are the nodes that the attention then does without.
    """

    values: Node
    taken: tuple[Node, ...]
    scales: Node | None = None
    keys: Any = None


@rewrite(
    replaces=(
        SDPA,
        *(aten.mul.Tensor, aten.slice.Tensor, *CASTS, *VIEWS),
        *(aten.slice_scatter.default, aten.copy.default),
    ),
    emits=(fused.cached_attention.default, fused.write_places.default),
    after=("complex_pairs",),
)
def cached_attention(r: Rewriter) -> None:
    """sdpa(q, k, v) → fxmax.cached_attention where k and v are what a cache holds, and nothing masks.

    That is int8 times scales, `k.float() * s`; or the first positions of more, `k[:, :, :keys]`. And
    `cache[…, first:end, :] = x` of a cache that is an input → fxmax.write_places.
    """
    r.each([aten.slice_scatter.default], _write_in_place)
    r.each([SDPA], _read_in_place)


def _read_in_place(r: Rewriter, node: Node) -> Node | None:
    given = arguments(node)
    key, value = _cache_read(given["key"]), _cache_read(given["value"])
    if key is None and value is None:
        return None
    a = plain(node)
    if key is None or value is None or _text(key.keys) != _text(value.keys):
        raise Skip("a cache holds its keys in one way and its values in another")
    query = a["query"]
    if any(x.meta["val"].dtype != torch.float32 for x in (query, a["key"], a["value"])):
        raise Skip("it is not in float32, which the kernel is for")
    shapes = [sizes(x) for x in (query, key.values, value.values)]
    if shapes[1] != shapes[2] or shapes[0][:2] != shapes[1][:2] or shapes[0][3] != shapes[1][3]:
        raise Skip("its batch or heads broadcast, or its values are of another width than its keys")
    r.require_ours(*key.taken, *value.taken)
    k, v = (_before_flatten(r, x.values) for x in (key, value))
    args = (query, k, key.scales, v, value.scales, key.keys, a["scale"])
    return emit(node, fused.cached_attention.default, args, node)


def _cache_read(x: Any) -> CacheRead | None:
    if not isinstance(x, Node) or rank(x) != 4:
        return None
    if x.target == aten.mul.Tensor:
        return _dequantized(x, *x.args) or _dequantized(x, *reversed(x.args))
    if x.target == aten.slice.Tensor:
        a = arguments(x)
        first = a["dim"] % 4 == 2 and a["start"] in (None, 0) and a["step"] == 1
        if first and _text(a["end"]) == sizes(x)[2]:  # not past the end, nor counted from it
            return CacheRead(a["self"], (x,), keys=a["end"])
    return None


def _dequantized(product: Node, cast: Any, scales: Any) -> CacheRead | None:
    if not (isinstance(cast, Node) and isinstance(scales, Node) and cast.target in CASTS):
        return None
    values = cast.args[0]
    if not isinstance(values, Node) or values.meta["val"].dtype != torch.int8:
        return None
    a_row = scales.meta["val"].dtype == torch.float32 and sizes(scales) == [*sizes(values)[:3], "1"]
    return CacheRead(values, (product, cast), scales) if a_row else None


def _before_flatten(r: Rewriter, x: Node) -> Node:
    """What (batch, heads, seq, dim) was before its first axes became one; itself if they did not."""
    if x.target not in VIEWS or not r.ours(x):
        return x
    source = x.args[0]
    more = isinstance(source, Node) and rank(source) > 4 and sizes(source)[-3:] == sizes(x)[-3:]
    return source if more else x  # type: ignore[return-value]


def _write_in_place(r: Rewriter, node: Node) -> Node | None:
    a = arguments(node)
    cache, copy = a["self"], a["src"]
    held = cache.name in r.written_inputs or cache.target == fused.write_places.default
    if not held or copy.target != aten.copy.default:
        return None
    if a["step"] != 1 or a["start"] is None:
        raise Skip("it writes every second position or so")
    src = arguments(copy)["src"]
    if src.meta["val"].dtype != cache.meta["val"].dtype or sizes(src) != sizes(copy):
        raise Skip("what it writes is broadcast, or cast")
    r.require_ours(copy)
    return emit(node, fused.write_places.default, (cache, src, a["dim"], a["start"]), node)


def _text(size: Any) -> str:
    return str(size.meta["val"] if isinstance(size, Node) else size)
