"""Results that no gradient can go back through, and that say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fxmax.fx.torch_private import pytree

REFUSED = (
    "no gradient goes back through what fxmax compiled: MAX computes the forward pass alone. To train, leave "
    "out torch.compile(backend='fxmax') or take another backend; for inference call it under torch.no_grad()."
)


class _Stop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: torch.Tensor, results: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return tuple(results)  # in a list autograd does not see them: they are no views, and may be written

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError(REFUSED)


def refusing_backward(results: Any, arguments: Sequence[Any]) -> Any:
    """`results` as torch would return them: requiring gradients where an argument does, and they are on.

    A result that is one of the arguments is left as it is. `backward()` raises RuntimeError, where it would
    otherwise leave parameters without a gradient, and nobody would hear of it.

    Args:
        results: a structure of tensors and other values.
        arguments: inputs and weights that they were made of.
    """
    if not torch.is_grad_enabled():
        return results
    source = next((a for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad), None)
    if source is None:
        return results
    leaves, spec = pytree.tree_flatten(results)
    own = {id(a) for a in arguments}
    chosen = {id(leaf): leaf for leaf in leaves if _differentiable(leaf) and id(leaf) not in own}
    if not chosen:
        return results
    stopped = _Stop.apply(source, list(chosen.values()))  # type: ignore[no-untyped-call]
    made = dict(zip(chosen, stopped, strict=True))  # one that is returned twice is one tensor afterwards too
    return pytree.tree_unflatten([made.get(id(leaf), leaf) for leaf in leaves], spec)


def _differentiable(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())
