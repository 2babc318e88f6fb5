"""What takes the place of a value that can't be lowered, so that the walk goes on and finds every gap."""

from __future__ import annotations

from typing import Any

from max.graph import DeviceRef, ops

from fxmax.fx.torch_private import pytree

BLOCKED = object()
"""Stands for a value that MAX has no type for; the nodes it feeds are not tried."""


def is_blocked(values: Any) -> bool:
    """Whether any of a node's arguments is blocked."""
    return any(leaf is BLOCKED for leaf in pytree.tree_leaves(values))


def stand_in(kind: Any, device: DeviceRef) -> Any:
    """Zeros of a type; a list of them for a list of types; `BLOCKED` for no type."""
    if kind is None:
        return BLOCKED
    if isinstance(kind, list):
        return [stand_in(k, device) for k in kind]
    return ops.broadcast_to(ops.constant(0, kind.dtype, device=device), kind.shape)
