"""From what the user has to an `ExportedProgram` at the level the table speaks."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from fxmax.core.table import RuleTable
from fxmax.errors import CaptureError
from fxmax.frontend.decompose import decompose
from fxmax.frontend.drop_noop_casts import drop_idle
from fxmax.passes import run_passes
from fxmax.support.gc_pause import uncollected


@dataclass
class Captured:
    """An exported program, decomposed to the table's level, and what the user called it."""

    program: ExportedProgram
    name: str
    parameters: list[str]  # names of forward's parameters, in order
    dim_names: dict[sympy.Symbol, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    exported: ExportedProgram | None = None  # as torch exported it: what `fxmax.verify` compares with

    def varying(self) -> str | None:
        """The first node that gives a tensor of a size that varies; None where all sizes are fixed."""
        for n in self.program.graph.nodes:
            value = n.meta.get("val")
            if isinstance(value, torch.Tensor) and any(isinstance(s, torch.SymInt) for s in value.shape):
                return str(n.name)
        return None


@uncollected()
def capture(
    module: torch.nn.Module | ExportedProgram,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    table: RuleTable,
    passes: Sequence[str] | None = None,
) -> Captured:
    """Trace `module` with `torch.export` and decompose it to ops that `table` has rules for.

    Args:
        module: an `nn.Module`, a `torch.fx.GraphModule` (which is one) or an `ExportedProgram`.
        args, kwargs: example inputs, as `module` takes them; not for an `ExportedProgram`.
        dynamic_shapes: as for `torch.export.export`.

    Raises:
        CaptureError: no inputs were given, or torch can't export the module.
    """
    start = time.perf_counter()
    notes: list[str] = []
    if isinstance(module, ExportedProgram):
        if args or kwargs or dynamic_shapes:
            raise CaptureError(
                "an ExportedProgram has its inputs already: drop args, kwargs and dynamic_shapes"
            )
        program, name, parameters = module, type(module.graph_module).__name__, []
    elif isinstance(module, torch.nn.Module):
        name = type(module).__name__
        parameters = list(inspect.signature(module.forward).parameters)
        if not args and not kwargs:
            args = _known_inputs(module)
        with _inference_mode_of(module, notes), torch.no_grad():
            program = _export(module, tuple(args), dict(kwargs or {}), dynamic_shapes, notes)
        drop_idle(program)
    else:
        raise CaptureError(
            f"fxmax lowers an nn.Module, a torch.fx.GraphModule or an ExportedProgram; "
            f"this is a {type(module).__name__}. Wrap a function in an nn.Module's forward."
        )
    if not parameters:
        entry = program.module_call_graph[0].signature
        parameters = list(entry.forward_arg_names or []) if entry else []
    names = _dim_names(program, getattr(module, "forward", None), args, kwargs, dynamic_shapes)
    exported = program
    program = decompose(program, table)
    run_passes(program, table, passes)
    return Captured(program, name, parameters, names, notes, time.perf_counter() - start, exported)


def _known_inputs(module: torch.nn.Module) -> tuple[Any, ...]:
    """Example inputs from an installed package (entry-point group `fxmax.example_inputs`).

    An entry point is named for the module's class, `package.module.Class`, and loads a function
    from the module to its positional inputs.

    Raises:
        CaptureError: the forward needs inputs, and nobody knows them.
    """
    for cls in type(module).__mro__:
        name = f"{cls.__module__}.{cls.__qualname__}"
        for provider in entry_points(group="fxmax.example_inputs", name=name):
            return tuple(provider.load()(module))
    needed = [
        p.name
        for p in inspect.signature(module.forward).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if not needed:
        return ()
    call = ", ".join(f"{p}=torch.zeros(...)" for p in needed)
    raise CaptureError(
        f"{type(module).__name__} needs example inputs to be traced: its forward takes "
        f"({', '.join(needed)}).\n"
        "  Give tensors of the shapes and dtypes you will call it with, for example\n"
        f"    fxmax.lower(module, kwargs=dict({call}))"
    )


@contextmanager
def _inference_mode_of(module: torch.nn.Module, notes: list[str]) -> Any:
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


def _export(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic_shapes: Any,
    notes: list[str],
) -> ExportedProgram:
    """Non-strict export, then strict; a plain dataclass that torch does not know is registered."""
    _register_dataclasses((args, kwargs))
    _register_caches(module)
    args, kwargs = _each_its_own((args, kwargs))
    first: Exception | None = None
    for strict in (False, True):
        for _ in range(4):  # one more try for each output dataclass torch meets
            try:
                program = torch.export.export(
                    module, args, kwargs, dynamic_shapes=dynamic_shapes, strict=strict
                )
                if strict:
                    notes.append(f"non-strict export failed ({_line(first)}); strict export worked")
                return program
            except Exception as error:  # noqa: BLE001 - torch.export raises many types; the text says why
                if _register_named_output(module, error):
                    continue
                first = first or error
                break
    raise CaptureError(
        f"torch.export can't trace {type(module).__name__}: {first}\n"
        f"  Fix the module (torch's text above says where), or export it yourself and pass the "
        f"ExportedProgram."
    ) from first


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


def _line(error: Exception | None) -> str:
    return str(error).strip().splitlines()[0][:120] if error else ""


def _register_dataclasses(tree: Any) -> None:
    for leaf in pytree.tree_leaves(tree):
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            torch.export.register_dataclass(type(leaf))
            _register_dataclasses([getattr(leaf, f.name) for f in dataclasses.fields(leaf)])


def _register_caches(module: torch.nn.Module) -> None:
    """Let Hugging Face's key/value caches, which its decoders return by default, pass the boundary."""
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


def _register_named_output(module: torch.nn.Module, error: Exception) -> bool:
    """Register the dataclass that export's error names as an unknown output type, if it is one."""
    found = re.search(r"<class '([\w.<>]+)'>", str(error))
    if not found:
        return False
    *_, name = found.group(1).rpartition(".")
    for cls in _dataclasses_in_sight(module):
        if cls.__qualname__ == name or cls.__name__ == name:
            if cls in pytree.SUPPORTED_NODES:
                return False
            torch.export.register_dataclass(cls)
            return True
    return False


def _dataclasses_in_sight(module: torch.nn.Module) -> list[type]:
    """Dataclasses reachable from the globals and closures of the module's own forwards."""
    found = []
    for m in module.modules():
        forward = inspect.unwrap(type(m).forward)
        scope = dict(getattr(forward, "__globals__", {}))
        for cell in getattr(forward, "__closure__", None) or ():
            scope[str(id(cell))] = cell.cell_contents
        found += [v for v in scope.values() if isinstance(v, type) and dataclasses.is_dataclass(v)]
    return found


def _dim_names(
    program: ExportedProgram, forward: Any, args: Sequence[Any], kwargs: Any, dynamic_shapes: Any
) -> dict[sympy.Symbol, str]:
    """Symbol → the user's `Dim` name, where an input's dim is that symbol or derives from it."""
    names: dict[sympy.Symbol, str] = {}
    if dynamic_shapes is None:
        return names
    specs: list[Any] = []
    for value, spec in _with_specs(forward, args, kwargs or {}, dynamic_shapes):
        _flatten_spec(value, spec, specs)
    placeholders = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    for node_name, spec in zip(program.graph_signature.user_inputs, specs, strict=False):
        node = placeholders.get(node_name) if isinstance(node_name, str) else None
        value = node.meta.get("val") if node is not None else None
        if not isinstance(value, torch.Tensor) or spec is None:
            continue
        dims = spec.items() if isinstance(spec, dict) else enumerate(spec)
        for axis, dim in dims:
            size = value.shape[axis]
            symbols = size.node.expr.free_symbols if isinstance(size, torch.SymInt) else ()
            root = getattr(dim, "root", dim)  # of a derived dim, 2 * half + 1, the dim it derives from
            label = getattr(root, "__name__", None)
            if len(symbols) == 1 and label and not label.startswith("_") and hasattr(root, "min"):
                names[next(iter(symbols))] = label
    return names


def _with_specs(
    forward: Any, args: Sequence[Any], kwargs: Mapping[str, Any], dynamic_shapes: Any
) -> list[tuple[Any, Any]]:
    """Each input with its part of `dynamic_shapes`, which torch matches by name, or in forward's order."""
    signature, specs = inspect.signature(forward), dynamic_shapes
    bound = signature.bind(*args, **kwargs).arguments
    if not isinstance(specs, dict):
        specs = dict(zip(bound, specs, strict=False))
    # As the program has them: positional ones first, then those by name, as they were given.
    pairs = [(bound[name], specs.get(name)) for name in signature.bind_partial(*args).arguments]
    return pairs + [(value, specs.get(name)) for name, value in kwargs.items()]


def _flatten_spec(value: Any, spec: Any, out: list[Any]) -> None:
    """One dim spec for each leaf of `value`, following its containers."""
    if isinstance(value, dict):
        for key, item in value.items():
            _flatten_spec(item, spec.get(key) if isinstance(spec, dict) else None, out)
    elif isinstance(value, (list, tuple)):
        inner = spec if isinstance(spec, (list, tuple)) else [None] * len(value)
        for item, one in zip(value, inner, strict=False):
            _flatten_spec(item, one, out)
    else:
        out.append(spec)
