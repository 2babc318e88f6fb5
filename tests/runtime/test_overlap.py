"""Which arrays of a call share memory, and what is said of those that may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from max.driver import Buffer

from fxmax.errors import OverlapError
from fxmax.runtime.overlap import Held, memory_of, refuse_overlap
from fxmax.runtime.signature import TensorSpec

V = torch.arange(12.0)
M = V.view(3, 4)
N = V.numpy()
HALVES = torch.arange(8).bfloat16()
BYTES = N.view(np.uint8)

OVERLAP = {
    "the same": (V, V),
    "parts": (V[:4], V[3:]),
    "a row and a column": (M[1], M[:, 2]),
    "a row and every other row": (M[2], M[::2]),
    "torch and numpy": (V[5:], N[:6]),
    "backwards": (N[::-1][:3], V[10:]),
    "another dtype": (BYTES[7:9], V[2:]),
    "an expanded one": (V[3].expand(5), V[:4]),
    "a buffer of MAX's": (Buffer.from_numpy(N), V[11:]),
    "a buffer of halves": (Buffer.from_dlpack(HALVES), HALVES[3:4]),
    "no axes": (V[3], V[:4]),
}
APART = {
    "others": (V, torch.ones(12)),
    "halves": (V[:6], V[6:]),
    "rows": (M[1], M[::2]),
    "columns": (M[:, ::2], M[:, 1::2]),
    "numpy's columns": (N[::2], V[1::2]),
    "bytes": (BYTES[8:12], V[3:]),
    "backwards": (N[::-1][:3], V[:9]),
}
NOWHERE = {"no elements": V[:0], "no memory": torch.empty(3, device="meta")}


@pytest.mark.parametrize("name", OVERLAP)
def test_shared_memory_is_seen(name: str) -> None:
    a, b = map(memory_of, OVERLAP[name])
    assert a is not None
    assert b is not None
    assert a.overlaps(b)
    assert b.overlaps(a)


@pytest.mark.parametrize("name", APART)
def test_memory_beside_is_not_shared(name: str) -> None:
    a, b = map(memory_of, APART[name])
    assert a is not None
    assert b is not None
    assert not a.overlaps(b)
    assert not b.overlaps(a)


@pytest.mark.parametrize("name", NOWHERE)
def test_what_has_no_memory_shares_none(name: str) -> None:
    assert memory_of(NOWHERE[name]) is None


def check(values: list[Any], written: str, states: Any = None, weights: Any = None) -> None:
    specs = [TensorSpec(name, "float32", (), mutated=name in written) for name in "abc"[: len(values)]]
    refuse_overlap(specs, values, [Held(states or {})], Held(weights or {}))


def test_what_is_written_is_refused_by_name_where_it_is_shared() -> None:
    with pytest.raises(
        OverlapError, match=r"^a is written, and shares memory with c: .* copy of one of them"
    ):
        check([V[:4], torch.ones(4), V[3:]], "a")
    with pytest.raises(OverlapError, match="c is written, and shares memory with a"):
        check([V[:4], torch.ones(4), V[3:]], "c")
    with pytest.raises(OverlapError, match="b shares memory with total, which the module writes"):
        check([torch.ones(1), V[:4]], "", states={"total": V[2:3], "calls": V[8:]})
    with pytest.raises(OverlapError, match=r"b is written, and shares memory with the module's layer\.bias"):
        check([V[:4], M[1, ::2]], "b", weights={"layer.weight": torch.ones(3), "layer.bias": M[1]})


def test_what_is_written_has_a_place_for_each_element() -> None:
    with pytest.raises(OverlapError, match="a is written, and has one place for several elements"):
        check([V[:4].expand(3, 4)], "a")
    check([V[:1].expand(1, 1), V[:4].expand(3, 4)], "")


def test_what_is_read_alone_may_be_shared() -> None:
    check([V, V, V[2:]], "", weights={"weight": V})
    check([M[1], M[::2], M[::2]], "a", weights={"weight": M[0], "tied": M[0], "beside": V[8:]})
    check([V[:0], V], "ab", states={"meta": torch.empty(2, device="meta")})


def test_a_long_array_does_not_hide_a_short_one_within() -> None:
    """They are compared in the order of their addresses."""
    with pytest.raises(OverlapError, match="c is written, and shares memory with a"):
        check([V, V[1:2], V[8:]], "c")
    with pytest.raises(OverlapError, match="memory with the module's last"):
        check([V[8:9]], "a", weights={"first": V[:2], "all": V[1:1], "last": V[4:]})
