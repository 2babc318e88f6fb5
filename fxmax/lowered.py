"""A lowered module, as its user holds it: the graph that the walk made, and what can be done with it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fxmax.lowering.lowered_graph import LoweredGraph
from fxmax.source import source


@dataclass
class Lowered(LoweredGraph):
    """A MAX graph, the weights it needs by FQN, how to call it, and the report. Not compiled."""

    @classmethod
    def of(cls, graph: LoweredGraph) -> Lowered:
        """What the walk returned, for users."""
        return cls(**{f.name: getattr(graph, f.name) for f in fields(graph)})

    def source(self) -> str:
        """A Python program on `max.graph` alone that builds this graph: see `fxmax/source`.

        Raises:
            FxmaxError: a rule made a value by other means than `max.graph.ops`.
        """
        return source(self)
