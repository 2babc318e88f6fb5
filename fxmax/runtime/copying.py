"""Copying between MAX buffers, done when the call returns."""

from __future__ import annotations

from collections.abc import Iterable

from max.driver import Buffer


def copy_all(pairs: Iterable[tuple[Buffer, Buffer]]) -> None:
    """Copy each (into, source), and wait until all of them are copied.

    MAX 26.7's `Buffer.inplace_copy_from` only enqueues the copy, on the CPU too, and keeps neither
    buffer alive: memory freed before the copy runs is read, or written, all the same.
    """
    held = list(pairs)
    for into, source in held:
        into.inplace_copy_from(source)
    for into, source in held:
        into.device.synchronize()
        source.device.synchronize()
