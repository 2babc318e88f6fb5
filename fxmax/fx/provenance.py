"""Where a node comes from: its module path and its line in the user's source."""

from __future__ import annotations

import re

import torch

from fxmax.records import Source

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)\n\s*(?P<code>[^\n]*)')


def module_path(node: torch.fx.Node) -> str:
    """The FQN of the innermost module that the node was traced in; "" is the root."""
    stack = node.meta.get("nn_module_stack")
    return re.sub(r"@\d+$", "", list(stack.values())[-1][0]) if stack else ""


def label(node: torch.fx.Node) -> str:
    """The node's module path and name: `encoder.blocks.0.attn/softmax_1`; of the root, its name alone."""
    return f"{module_path(node)}/{node.name}".lstrip("/")


def source(node: torch.fx.Node) -> Source | None:
    """The innermost line of the user's source that made the node, outside torch itself."""
    frames = [m.groupdict() for m in _FRAME.finditer(node.meta.get("stack_trace") or "")]
    frames = [
        f for f in frames if not f["file"].startswith("<eval_with_key>")
    ]  # torch's own, written to trace
    mine = [f for f in frames if "/torch/" not in f["file"]] or frames
    if not mine:
        return None
    f = mine[-1]
    return Source(f["file"], int(f["line"]), f["function"], f["code"].strip())


def original_op(node: torch.fx.Node) -> str:
    """The op as torch traced it, before decomposition; "" where that is unknown."""
    original = node.meta.get("original_aten")
    return str(original) if original is not None else ""
