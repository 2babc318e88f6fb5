"""Sample inputs of torch's op database as cases: tensors become graph inputs, the rest is fixed."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from tests.support.parity import Case

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-8}


@functools.cache
def op_db() -> dict[str, Any]:
    """torch's OpInfos by full name (`nn.functional.gelu`, `add`, `norm.fro`)."""
    from torch.testing._internal import common_methods_invocations

    return {full_name(op): op for op in common_methods_invocations.op_db}


def full_name(op: Any) -> str:
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name


def short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def cases(name: str, dtype: torch.dtype, limit: int | None = None) -> list[Case]:
    """The op's samples of that dtype in torch's order, at most `limit` spread over all of them."""
    op = op_db()[name]
    if dtype not in op.supported_dtypes("cpu"):
        return []
    found = list(itertools.islice(_samples(op, dtype), 2000))
    picked: list[int] = list(range(len(found)))
    if limit is not None and len(found) > limit:
        picked = sorted({round(i * (len(found) - 1) / max(limit - 1, 1)) for i in range(limit)})
    tolerance, prefix = TOLERANCE.get(dtype, 1e-5), f"{name}-{short(dtype)}"
    return [case_of(f"{prefix}-{i}", op.op, _arguments(found[i]), tolerance) for i in picked]


def _samples(op: Any, dtype: torch.dtype) -> Iterator[Any]:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield from op.sample_inputs("cpu", dtype, requires_grad=False)


def _arguments(sample: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (sample.input, *sample.args), dict(sample.kwargs)


def case_of(id: str, call: Any, arguments: tuple[tuple[Any, ...], dict[str, Any]], tolerance: float) -> Case:
    """`call(*args, **kwargs)` with the tensors among its arguments as inputs."""
    leaves, spec = pytree.tree_flatten(arguments)
    where = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    tensors = [leaves[i].detach().contiguous() for i in where]

    def fn(*inputs: torch.Tensor) -> Any:
        filled = list(leaves)
        for i, value in zip(where, inputs, strict=True):
            filled[i] = value
        args, kwargs = pytree.tree_unflatten(filled, spec)
        return call(*args, **kwargs)

    return Case(id, fn, tensors, tolerance)
