"""Every private name of torch that fxmax uses: what for, and why no public one will do.

A torch that moves or drops one of them breaks this file and nothing else: what differs between versions is
bridged here. 2.10 to 2.15 have them all, by these names. `tests/fx/test_torch_private.py` resolves each by
itself and says which feature is lost without it. Names of operators are no part of this: `aten._softmax` is
private by name alone, and may be in any exported program.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

# Torch's decompositions of operators: `core_aten_decompositions` is public, and has a part of them.
from torch._decomp import decomposition_table

# A node's result is computed on fake tensors, through torch's own Python rules for sizes that vary.
from torch._dispatch.python import enable_python_dispatcher

# The mode that a program's fake tensors belong to, and a way to export inside of torch.compile.
from torch._guards import detect_fake_mode, tracing

# What an fx node calls: the public `torch.ops.aten.add.Tensor` is an instance, its class has no public name.
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket

# The dtype that torch computes in and returns: `torch.result_type` knows nothing of ops that make floats.
from torch._prims_common import ELEMENTWISE_TYPE_PROMOTION_KIND as Promotion
from torch._prims_common import elementwise_dtypes

# How `run_decompositions` has composite operators kept or taken apart; alone it takes the whole program.
from torch.export._trace import _ignore_backend_decomps as ignore_backend_decompositions
from torch.export.exported_program import (
    _override_composite_implicit_decomp as override_composite_decompositions,
)
from torch.export.exported_program import (
    _split_decomp_table_to_cia_and_python_decomp as split_decompositions,
)

# Nested arguments and results, in torch.export's own order and with the classes registered there.
from torch.utils import _pytree as pytree

# Tensor subclasses are left to torch's own decomposition.
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

# The functions of sympy's that sizes are made of: `x // 2` is a FloorDiv.
from torch.utils._sympy.functions import CleanDiv, FloorDiv, Mod, PythonMod

__all__ = [
    "CleanDiv",
    "FloorDiv",
    "HigherOrderOperator",
    "Mod",
    "OpOverload",
    "OpOverloadPacket",
    "Promotion",
    "PythonMod",
    "decomposition_table",
    "detect_fake_mode",
    "elementwise_dtypes",
    "enable_python_dispatcher",
    "ignore_backend_decompositions",
    "is_composite",
    "is_static_input",
    "is_traceable_wrapper_subclass",
    "op_parts",
    "override_composite_decompositions",
    "pytree",
    "schema_of",
    "split_decompositions",
    "storage_of",
    "tracing",
    "versions",
]


def schema_of(op: OpOverload) -> Any:
    """An operator's schema: its arguments, their defaults and aliases, its results."""
    return op._schema


def op_parts(op: OpOverload) -> tuple[str, str, str]:
    """(namespace, name, overload): `aten`, `add`, `Tensor`."""
    return op.namespace, op._opname, op._overloadname


def is_composite(op: OpOverload) -> bool:
    """Whether torch makes the operator of others each time it is called."""
    key = "CompositeImplicitAutograd"
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), key))


def storage_of(tensor: torch.Tensor) -> int:
    """What two tensors have in common that share memory; a fake one has no `data_ptr`."""
    return int(tensor.untyped_storage()._cdata)


def versions(tensors: Iterable[torch.Tensor]) -> list[int]:
    """How often each was written; a tensor that was made in inference mode does not count that."""
    return [t._version for t in tensors]


def is_static_input(example: torch.Tensor) -> bool:
    """Whether torch.compile hands over a module's parameter or buffer, and no input of the caller's."""
    return bool(getattr(example, "_dynamo_static_input_type", None))
