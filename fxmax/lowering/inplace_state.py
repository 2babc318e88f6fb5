"""The mutable inputs of a graph while it is built: their buffers, and the value that each holds by now.

A key/value cache, or a module's buffer, enters as a MAX buffer. Its value is loaded once; a node that
writes to it in place stores into the buffer and loads it again, and what is written otherwise is stored
when the graph ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from max.graph import BufferValue, TensorValue, ops


class InplaceState:
    """Placeholders that the program writes to, as MAX buffers.

    Args:
        writers: node → the placeholder that it may write in place: see `Boundary.writers`.
    """

    def __init__(self, writers: Mapping[str, str]) -> None:
        self._writers = writers
        self._buffers: dict[str, BufferValue] = {}
        self._held: dict[str, TensorValue] = {}  # by placeholder, at this point of the graph

    def enter(self, placeholder: str, buffer: BufferValue) -> TensorValue:
        """Take a mutable input of the graph; returns what it holds."""
        self._buffers[placeholder] = buffer
        return self._load(placeholder)

    def write(
        self, node: torch.fx.Node, value: TensorValue, write: Callable[[BufferValue], None]
    ) -> TensorValue | None:
        """Do the node's write to `value` in place, where `value` is what a mutable input holds.

        Returns:
            The input's value after `write(buffer)`; None where the node does not write to a mutable
            input, and has to make a new tensor.
        """
        placeholder = self._writers.get(node.name)
        if placeholder is None or self._held[placeholder] is not value:
            return None
        write(self._buffers[placeholder])
        return self._load(placeholder)

    def buffer_of(self, value: TensorValue) -> BufferValue | None:
        """The buffer that holds `value` at this point of the graph, if one does."""
        return next((self._buffers[name] for name, held in self._held.items() if held is value), None)

    def leave(self, placeholder: str, value: TensorValue) -> None:
        """Let the input hold `value` after the call."""
        if value is not self._held[placeholder]:
            ops.buffer_store(self._buffers[placeholder], value)

    def _load(self, placeholder: str) -> TensorValue:
        value = self._held[placeholder] = ops.buffer_load(self._buffers[placeholder])
        return value
