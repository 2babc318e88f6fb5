"""From what the user has to an `ExportedProgram` at the level the table speaks."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram

from fxmax.errors import CaptureError
from fxmax.frontend.decompose import decompose
from fxmax.frontend.dim_names import dim_names
from fxmax.frontend.drop_noop_casts import drop_noop_casts
from fxmax.frontend.example_inputs import by_name, example_inputs, positional
from fxmax.frontend.export import export
from fxmax.frontend.options import Options
from fxmax.passes import run_passes
from fxmax.records import PassRecord, SkippedNode
from fxmax.support.gc_pause import uncollected


@dataclass
class Captured:
    """An exported program, decomposed to the table's level, and what the user called it."""

    program: ExportedProgram
    name: str
    options: Options  # that it was captured with, and is lowered with
    parameters: list[str]  # names of forward's parameters, in order
    dim_names: dict[sympy.Symbol, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    exported: ExportedProgram | None = None  # as torch exported it: what `fxmax.verify` compares with
    passes: list[PassRecord] = field(default_factory=list)
    skipped: list[SkippedNode] = field(default_factory=list)

    def varying(self) -> str | None:
        """The first node that gives a tensor of a size that varies; None where all sizes are fixed."""
        for n in self.program.graph.nodes:
            value = n.meta.get("val")
            if isinstance(value, torch.Tensor) and any(isinstance(s, torch.SymInt) for s in value.shape):
                return str(n.name)
        return None

    def dtypes(self) -> set[torch.dtype]:
        """Those of all tensors, weights and results on the way among them."""
        values = [n.meta.get("val") for n in self.program.graph.nodes]
        return {value.dtype for value in values if isinstance(value, torch.Tensor)}


@uncollected()
def capture(
    module: torch.nn.Module | ExportedProgram,
    args: Sequence[Any] | torch.Tensor = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    options: Options,
) -> Captured:
    """Trace `module` with `torch.export` and decompose it to ops that the options' table has rules for.

    Args:
        module: an `nn.Module`, a `torch.fx.GraphModule` (which is one) or an `ExportedProgram`.
        args, kwargs: example inputs, as `module` takes them; not for an `ExportedProgram`. A tensor
            for `args` is the only input.
        dynamic_shapes: as for `torch.export.export`.
        options: the rules and rewrites to use, and what the stages after this one need.

    Raises:
        CaptureError: no inputs were given, or torch can't export the module (TorchScript it never can).
    """
    start = time.perf_counter()
    args, kwargs = positional(args), by_name(kwargs)
    notes: list[str] = []
    parameters: list[str] = []
    names: dict[sympy.Symbol, str] = {}
    if isinstance(module, ExportedProgram):
        if args or kwargs or dynamic_shapes:
            raise CaptureError(
                "an ExportedProgram has its inputs already: drop args, kwargs and dynamic_shapes"
            )
        exported, name = module, type(module.graph_module).__name__
    elif isinstance(module, torch.jit.ScriptModule):
        raise CaptureError(
            f"this {type(module).__name__} is TorchScript, made by torch.jit.trace, script or load, which "
            "torch.export does not take. Lower the Python module that it was made from."
        )
    elif isinstance(module, torch.nn.Module):
        name = type(module).__name__
        if not args and not kwargs:
            args = example_inputs(module)
        exported = export(module, args, kwargs, dynamic_shapes, notes)
        drop_noop_casts(exported)
        parameters = list(inspect.signature(module.forward).parameters)
        names = dim_names(exported, module.forward, args, kwargs, dynamic_shapes)
    else:
        raise CaptureError(
            f"fxmax lowers an nn.Module, a torch.fx.GraphModule or an ExportedProgram; "
            f"this is a {type(module).__name__}. Wrap a function in an nn.Module's forward."
        )
    if not parameters:
        entry = exported.module_call_graph[0].signature
        parameters = list(entry.forward_arg_names or []) if entry else []
    program = decompose(exported, options.table)
    ran, skipped = run_passes(program, options.table, options.passes)
    seconds = time.perf_counter() - start
    return Captured(program, name, options, parameters, names, notes, seconds, exported, ran, skipped)
