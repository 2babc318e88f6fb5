"""The arguments of a call by the schema of its op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.fx import Node

from fxmax.fx.torch_private import OpOverload, schema_of


def bind(target: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Schema argument → value, with the schema's defaults filled in."""
    positional = dict(zip([a.name for a in schema_of(target).arguments], args, strict=False))
    given = {**positional, **kwargs}
    return {a.name: given.get(a.name, a.default_value) for a in schema_of(target).arguments}


def arguments(node: Node) -> dict[str, Any]:
    """Schema argument → fx argument of a node that calls an op: another node, a number, …"""
    assert isinstance(node.target, OpOverload), node.target
    return bind(node.target, node.args, node.kwargs)
