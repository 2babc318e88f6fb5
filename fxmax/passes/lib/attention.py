"""What passes ask of a scaled_dot_product_attention."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from fxmax.fx.schema import arguments
from fxmax.support.signals import Skip

SDPA = torch.ops.aten.scaled_dot_product_attention.default


def plain(node: Node) -> dict[str, Any]:
    """The arguments of an attention in which nothing masks or drops.

    Raises:
        Skip: something does, or heads share keys.
    """
    a = arguments(node)
    if a["attn_mask"] is not None or a["is_causal"]:
        raise Skip("it is masked")
    if a["dropout_p"]:
        raise Skip("it drops some of its weights")
    if a["enable_gqa"]:
        raise Skip("its heads share keys and values")
    return a
