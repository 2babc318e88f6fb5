"""Keys and values read where a cache holds them, with no copy made first, and written there in place."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.fx.edit import arguments, calls, emit, mutated_inputs, plain_attention, rank, replace, sizes

aten = torch.ops.aten
CASTS = (aten.to.dtype, aten._to_copy.default)


class Held(NamedTuple):
    """Keys or values (batch, heads, seq, dim): int8 and scales (…, seq, 1), or the first `keys` places."""

    values: Node
    scales: Node | None = None
    keys: Any = None


def cached_attention(program: ExportedProgram) -> None:
    """sdpa(q, k, v) → fxmax.cached_attention where k and v are what a cache holds, and nothing masks.

    That is int8 times scales, `k.float() * s`; or the first places of more, `k[:, :, :keys]`. And
    `cache[…, first:end, :] = x` of a cache that is an input → fxmax.write_places.
    """
    _write_in_place(program)
    for node, a in plain_attention(program):
        query, key, value = a["query"], _held(a["key"]), _held(a["value"])
        if key is None or value is None or _text(key.keys) != _text(value.keys):
            continue
        if any(x.meta["val"].dtype != torch.float32 for x in (query, a["key"], a["value"])):
            continue
        shapes = [sizes(x) for x in (query, key.values, value.values)]
        if shapes[1] != shapes[2] or shapes[0][:2] != shapes[1][:2] or shapes[0][3] != shapes[1][3]:
            continue  # what broadcasts, or values of another width
        k, v = (_before_flatten(x.values) for x in (key, value))
        args = (query, k, key.scales, v, value.scales, key.keys, a["scale"])
        replace(node, emit(node, torch.ops.fxmax.cached_attention.default, args, node))
    program.graph.eliminate_dead_code()


def _held(x: Any) -> Held | None:
    if not isinstance(x, Node) or rank(x) != 4:
        return None
    if x.target == aten.mul.Tensor:
        return _dequantized(*x.args) or _dequantized(*reversed(x.args))
    if x.target == aten.slice.Tensor:
        a = arguments(x)
        first = a["dim"] % 4 == 2 and a["start"] in (None, 0) and a["step"] == 1
        if first and _text(a["end"]) == sizes(x)[2]:  # not past the end, nor counted from it
            return Held(a["self"], keys=a["end"])
    return None


def _dequantized(cast: Any, scales: Any) -> Held | None:
    if not (isinstance(cast, Node) and isinstance(scales, Node) and cast.target in CASTS):
        return None
    values = cast.args[0]
    if not isinstance(values, Node) or values.meta["val"].dtype != torch.int8:
        return None
    a_row = scales.meta["val"].dtype == torch.float32 and sizes(scales) == [*sizes(values)[:3], "1"]
    return Held(values, scales) if a_row else None


def _before_flatten(x: Node) -> Node:
    """What (batch, heads, seq, dim) was before its first axes became one; itself if they did not."""
    if x.target not in (aten.view.default, aten.reshape.default):
        return x
    source = x.args[0]
    more = isinstance(source, Node) and rank(source) > 4 and sizes(source)[-3:] == sizes(x)[-3:]
    return source if more else x  # type: ignore[return-value]


def _write_in_place(program: ExportedProgram) -> None:
    inputs = mutated_inputs(program)
    for node in calls(program, aten.slice_scatter.default):
        a = arguments(node)
        cache, copy = a["self"], a["src"]
        ours = cache.name in inputs or cache.target == torch.ops.fxmax.write_places.default
        if not ours or a["step"] != 1 or a["start"] is None or copy.target != aten.copy.default:
            continue
        src = arguments(copy)["src"]
        if src.meta["val"].dtype == cache.meta["val"].dtype and sizes(src) == sizes(copy):
            args = (cache, src, a["dim"], a["start"])
            replace(node, emit(node, torch.ops.fxmax.write_places.default, args, node))
    program.graph.eliminate_dead_code()


def _text(size: Any) -> str:
    return str(size.meta["val"] if isinstance(size, Node) else size)
