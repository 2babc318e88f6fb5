"""Names for the weights of a Dynamo graph: as the module has them, and never one name for two of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch
from torch.fx import Node

_STEP = re.compile(r"\[['\"](?P<key>[^'\"\]]*)['\"]\]|\[(?P<index>-?\d+)\]|\.(?P<attribute>\w+)")
_EMPTY = torch.fx.GraphModule(torch.nn.Module(), torch.fx.Graph())  # has what each graph module has
_PLUMBING = frozenset({"_modules", "_parameters", "_buffers", "__dict__", "__closure__", "cell_contents"})


def weight_names(placeholders: Sequence[Node]) -> dict[Node, str]:
    """A dotted name for each input of a Dynamo graph.

    `L['self']._modules['layer']._parameters['weight']` is `layer.weight`. Where two inputs would get one
    name, or one the name of a module that another is in, or a name that modules have themselves, each of
    them is called by its whole path (`one.weight` of `G['one']`), and where that won't do by what Dynamo
    calls it, which is its own.
    """
    paths = {node: _path(node) for node in placeholders}
    forms = {
        node: [".".join(path[1:]) or node.name, ".".join(path) or node.name, node.name]
        for node, path in paths.items()
    }
    level = dict.fromkeys(placeholders, 0)
    while True:
        names = {node: forms[node][level[node]] for node in placeholders}
        clashing = [node for node in _clashing(names) if level[node] < 2]
        if not clashing:
            return names
        for node in clashing:
            level[node] += 1


def _path(node: Node) -> list[str]:
    """The steps of Dynamo's source from its root on, without those that lead through torch's own dicts."""
    argument = node.meta.get("grapharg")
    if argument is None:
        return []
    steps = [step[step.lastgroup or 0] for step in _STEP.finditer(argument.source.name)]
    return [step.replace(".", "_") or "_" for step in steps if step not in _PLUMBING]


def _clashing(names: dict[Node, str]) -> Iterable[Node]:
    """Those whose name is not their own."""
    holders: dict[str, list[Node]] = {}
    for node, name in names.items():
        holders.setdefault(name, []).append(node)
    modules = {name[:i] for name in holders for i, character in enumerate(name) if character == "."}
    for name, nodes in holders.items():
        if len(nodes) > 1 or name in modules or any(hasattr(_EMPTY, s) for s in name.split(".")):
            yield from nodes
