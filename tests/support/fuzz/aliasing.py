"""Calls with inputs that share memory: what they give is torch's, or they are refused by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from fxmax.compiled import Compiled
from fxmax.errors import MismatchError, OverlapError
from fxmax.fx.torch_private import pytree
from fxmax.verification.comparison import compare
from fxmax.verification.eager import Outcome
from tests.support.fuzz.program import Program


def same(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """One tensor for all."""
    return [inputs[0].clone()] * len(inputs)


def shifted(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Each begins an element behind the one before."""
    count = inputs[0].numel()
    memory = torch.cat([inputs[0].flatten(), inputs[-1].flatten()[: len(inputs)]])
    memory = torch.nn.functional.pad(memory, (0, max(0, count + len(inputs) - memory.numel())))
    return [memory[i : i + count].view(inputs[0].shape) for i in range(len(inputs))]


def views(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """A tensor, and a view of the same memory with another layout, where its axes allow one."""
    memory = inputs[0].clone()
    turned = memory.flip(0) if memory.dim() < 2 else memory.transpose(0, -1)
    seen = turned if turned.shape == memory.shape else memory.view(memory.shape)
    return [memory, *[seen] * (len(inputs) - 1)]


SHARED: dict[str, Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]] = {
    "one tensor for all inputs": same,
    "inputs one element apart": shifted,
    "views of one tensor": views,
}


def check_shared(program: Program, compiled: Compiled) -> None:
    """Make such calls. All of the program is exact, so the results have to be equal.

    Raises:
        MismatchError: a call gave something else than torch.
    """
    inputs = program.data()
    if len(inputs) < 2 or any(x.shape != inputs[0].shape or x.dtype != inputs[0].dtype for x in inputs):
        return
    for name, share in SHARED.items():
        ours, theirs = share(inputs), share(inputs)
        compiled.reset()  # the module is a new one, too
        try:
            actual = compiled(*ours)
        except OverlapError:
            continue
        with torch.no_grad():
            wanted = program.module()(*theirs)
        found = compare(_outcome(actual, ours), _outcome(wanted, theirs))
        if faults := [f"{c.name}: {c.fault}" for c in found if c.fault]:
            raise MismatchError(f"with {name}: {'; '.join(faults)}", inputs=share(inputs))


def _outcome(result: object, inputs: list[torch.Tensor]) -> Outcome:
    return Outcome(pytree.tree_leaves(result), dict(enumerate(inputs)), {})
