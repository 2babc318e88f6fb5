"""Containers that torch.export does not know: dataclasses and key/value caches, registered as pytrees."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from typing import Any

import torch

from fxmax.fx.torch_private import pytree


def register_dataclasses(tree: Any) -> None:
    """Register the type of every dataclass instance in `tree`, so that export takes it as an input."""
    for leaf in pytree.tree_leaves(tree):
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            torch.export.register_dataclass(type(leaf))
            register_dataclasses([getattr(leaf, f.name) for f in dataclasses.fields(leaf)])


def register_caches(module: torch.nn.Module) -> None:
    """Register Hugging Face's key/value caches, which its decoders return by default."""
    if "transformers" not in sys.modules:
        return
    try:
        from transformers.exporters.exporter_dynamo import register_cache_pytrees_for_model
        from transformers.modeling_utils import PreTrainedModel
    except ImportError:  # older than its exporters; a cache in the output is then torch's error
        return
    for m in module.modules():
        if isinstance(m, PreTrainedModel):
            register_cache_pytrees_for_model(m)
            return


def register_named_output(module: torch.nn.Module, error: Exception) -> bool:
    """Register the dataclass that export's error names as an unknown output type; whether there was one."""
    named = re.search(r"<class '([\w.<>]+)'>", str(error))
    if not named:
        return False
    *_, name = named.group(1).rpartition(".")
    for cls in _dataclasses_in_sight(module):
        if cls.__qualname__ == name or cls.__name__ == name:
            if cls in pytree.SUPPORTED_NODES:
                return False
            torch.export.register_dataclass(cls)
            return True
    return False


def _dataclasses_in_sight(module: torch.nn.Module) -> list[type]:
    """Dataclasses reachable from the globals and closures of the module's own forwards."""
    classes = []
    for m in module.modules():
        forward = inspect.unwrap(type(m).forward)
        scope = dict(getattr(forward, "__globals__", {}))
        for cell in getattr(forward, "__closure__", None) or ():
            scope[str(id(cell))] = cell.cell_contents
        classes += [v for v in scope.values() if isinstance(v, type) and dataclasses.is_dataclass(v)]
    return classes
