"""A node of a GPU graph on the host's CPU, where its kernel is: its inputs go there, its results back.

A rule asks for it by raising `HostOnly`, and is called again with everything on the CPU. The report
says which ops did.
"""

from __future__ import annotations

from typing import Any

from max.graph import DeviceRef, TensorType, TensorValue, ops

from fxmax.core.types import TO_TORCH, compute_dtype
from fxmax.fx.torch_private import pytree

HOST = DeviceRef.CPU()


def to_host(arguments: dict[str, Any]) -> dict[str, Any]:
    """A rule's arguments with every tensor on the CPU."""

    def move(x: TensorValue) -> TensorValue:
        dtype = compute_dtype(TO_TORCH[x.dtype], HOST)
        return (x if x.dtype == dtype else ops.cast(x, dtype)).to(HOST)

    return pytree.tree_map_only(TensorValue, move, arguments)  # type: ignore[no-any-return]


def from_host(result: Any, out: Any) -> Any:
    """A rule's results on the graph's device, in the types `out`."""
    if isinstance(out, list):
        return [from_host(r, o) for r, o in zip(result, out, strict=True)]
    if not isinstance(out, TensorType):
        return result
    moved = result.to(out.device)
    return moved if moved.dtype == out.dtype else ops.cast(moved, out.dtype)
