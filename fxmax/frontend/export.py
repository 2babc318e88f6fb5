"""torch.export with what a user's module needs around it: eval mode, known containers, a second try."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.export import ExportedProgram

from fxmax.errors import CaptureError
from fxmax.frontend.pytrees import register_caches, register_dataclasses, register_named_output
from fxmax.fx.torch_private import pytree
from fxmax.support.error_text import first_line

OUTPUT_TYPES = 4  # tries, each of which may meet one more output dataclass that torch does not know


def export(
    module: torch.nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dynamic_shapes: Any,
    notes: list[str],
) -> ExportedProgram:
    """Export non-strictly, then strictly; what was unusual is added to `notes`.

    Raises:
        CaptureError: torch can't trace the module either way.
    """
    register_dataclasses((args, kwargs))
    register_caches(module)
    inputs, named = _each_its_own((tuple(args), dict(kwargs)))
    first: Exception | None = None
    why = ""
    with _eval_mode(module, notes), torch.no_grad():
        for strict in (False, True):
            for _ in range(OUTPUT_TYPES):
                try:
                    program = torch.export.export(
                        module, inputs, named, dynamic_shapes=dynamic_shapes, strict=strict
                    )
                    if strict:
                        notes.append(f"non-strict export failed ({why}); strict export worked")
                    return program
                except Exception as error:  # noqa: BLE001 - export raises many types; the text says why
                    if register_named_output(module, error):
                        continue
                    if first is None:
                        first, why = error, first_line(error, 120)
                    break
    raise CaptureError(
        f"torch.export can't trace {type(module).__name__}: {str(first).strip() or why}\n"
        f"  Fix the module (torch's text above says where), or export it yourself and pass the "
        f"ExportedProgram."
    ) from first


@contextmanager
def _eval_mode(module: torch.nn.Module, notes: list[str]) -> Iterator[None]:
    """Trace in eval mode, and leave every submodule's mode as it was."""
    training = [m for m in module.modules() if m.training]
    if training:
        notes.append("the module was in training mode; it is lowered as in eval mode")
    try:
        for m in training:
            m.training = False
        yield
    finally:
        for m in training:
            m.training = True


def _each_its_own(inputs: Any) -> Any:
    """`inputs` with a copy for each tensor that is there before.

    torch.export takes one tensor given for two inputs for one input, and the other would be ignored.
    """
    ids = [id(x) for x in pytree.tree_leaves(inputs) if isinstance(x, torch.Tensor)]
    if len(set(ids)) == len(ids):
        return inputs
    seen: set[int] = set()

    def own(x: torch.Tensor) -> torch.Tensor:
        if id(x) in seen:
            return x.detach().clone()
        seen.add(id(x))
        return x

    return pytree.tree_map_only(torch.Tensor, own, inputs)
