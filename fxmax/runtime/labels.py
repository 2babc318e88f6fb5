"""Each op of a MAX graph carries the fx node that it is made for, until MAX compiles it.

A label is the node's module path and name, as `encoder.blocks.0.attn/softmax_1`. It is part of the op's
location (`Graph.profile_scope`), so `asm()`, and with it the cache's key, is the same without it. MAX's
compiler never sees it: it would write labels into the program, which graphs with other names share by then.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any

from max.graph import Graph, Module

from fxmax.runtime.max_private import graphs_of, unlocated, walk

_SCOPE = re.compile(r'profile_scope<"(?P<label>[^"]*)"')


def labelled(label: str) -> AbstractContextManager[None]:
    """Every op that is added to the current graph in this context carries `label`."""
    scope: AbstractContextManager[None] = Graph.current.profile_scope(label)
    return scope


def label_of(operation: Any) -> str:
    """The label of an MLIR operation; "" where it has none, as constants and weights."""
    scopes = _SCOPE.findall(str(operation.location))
    return scopes[-1] if scopes else ""  # the outermost: a rule may have scopes of its own


def remove_labels(module: Module) -> None:
    """Take the labels off all ops."""
    for graph in graphs_of(module):
        for operation in walk(graph):
            operation.location = unlocated(operation)
