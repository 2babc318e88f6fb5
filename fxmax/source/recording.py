"""Lower once more, and note every call of `max.graph.ops` with its arguments and results.

A profile hook sees the calls however a rule came to them: by name, through a function that it
keeps, or through an operator of a value.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from max.graph import BufferType, TensorType, TensorValue, ops
from max.graph.value import Value

from fxmax.core.weights import Slot
from fxmax.fx.provenance import module_path, source
from fxmax.lowering.lowered_graph import LoweredGraph
from fxmax.lowering.observer import Observer
from fxmax.lowering.walk import lower
from fxmax.records import Source
from fxmax.runtime.max_private import in_default_mlir_context


@dataclass
class Call:
    """One call of `ops.name`, or (name "") the reading of a weight, made for an fx node."""

    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    result: Any
    node: torch.fx.Node | None
    slot: Slot | None = None

    @property
    def path(self) -> str:
        return module_path(self.node) if self.node is not None else ""

    @property
    def source(self) -> Source | None:
        return source(self.node) if self.node is not None else None


@dataclass
class Recording:
    """Everything that a program has to say."""

    lowered: LoweredGraph
    inputs: list[tuple[str, TensorType | BufferType, Any]] = field(default_factory=list)  # name, type, value
    calls: list[Call] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    kernels: list[Path] = field(default_factory=list)  # packages of the custom ops that are called


class _Notes(Observer):
    """The node that calls are made for, the weights that are read, and what is returned."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.node: torch.fx.Node | None = None  # until the first, the graph's inputs are taken

    def on_node(self, node: torch.fx.Node) -> None:
        self.node = node

    def on_weight(self, slot: Slot, value: TensorValue) -> None:
        self.recording.calls.append(Call("", [], {}, value, self.node, slot))

    def on_outputs(self, values: Sequence[TensorValue]) -> None:
        self.recording.outputs = list(values)


@in_default_mlir_context
def record(lowered: LoweredGraph) -> Recording:
    """The calls that build the graph of `lowered`."""
    recording = Recording(lowered)
    notes = _Notes(recording)
    with _watched(recording.calls, lambda: notes.node):
        again = lower(lowered.captured, own_kernels=False, observers=[notes])
    kinds = again.boundary.graph_inputs
    for (name, kind), value in zip(kinds.items(), again.graph.inputs, strict=True):
        recording.inputs.append((name, kind, value))
    recording.kernels = again.graph.kernel_libraries_paths
    return recording


@contextmanager
def _watched(calls: list[Call], node: Callable[[], torch.fx.Node | None]) -> Iterator[None]:
    known = _functions()
    open_call: list[tuple[FrameType, Call]] = []

    def hook(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call" and not open_call and frame.f_code in known:
            name = _name(frame, known[frame.f_code])
            if name:
                open_call.append((frame, _call(name, frame, node())))
        elif event == "return" and open_call and open_call[0][0] is frame:
            _, call = open_call.pop()
            call.result = arg
            if _values(arg) or name_has_effect(call.name):
                calls.append(call)

    before = sys.getprofile()
    sys.setprofile(hook)
    try:
        yield
    finally:
        sys.setprofile(before)


EFFECTS = frozenset({"buffer_store", "buffer_store_slice", "inplace_custom"})


def name_has_effect(name: str) -> bool:
    """Whether the op is called for what it does, not for what it returns."""
    return name in EFFECTS


def _functions() -> dict[CodeType, list[str]]:
    """Code → the public names in `max.graph.ops` that run it (a factory's products share theirs)."""
    known: dict[CodeType, list[str]] = {}
    for name, fn in vars(ops).items():
        code = getattr(inspect.unwrap(fn), "__code__", None) if callable(fn) else None
        if code is not None and not name.startswith("_"):
            known.setdefault(code, []).append(name)
    return known


def _name(frame: FrameType, names: list[str]) -> str:
    """Of several functions with one code, the one whose closure this frame runs in."""
    if len(names) == 1:
        return names[0]
    free = {k: frame.f_locals.get(k) for k in frame.f_code.co_freevars}
    for name in names:
        fn = inspect.unwrap(getattr(ops, name))
        cells = {
            k: c.cell_contents for k, c in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)
        }
        if all(cells[k] is v for k, v in free.items()):
            return name
    return ""


def _call(name: str, frame: FrameType, node: torch.fx.Node | None) -> Call:
    code, given = frame.f_code, frame.f_locals
    count = code.co_argcount
    fn = inspect.unwrap(getattr(ops, name))
    defaults = dict(zip(code.co_varnames[:count][::-1], (fn.__defaults__ or ())[::-1], strict=False))
    names = list(code.co_varnames[:count])
    args, kwargs = [], {}
    skipped = False
    for n in names:
        if n in defaults and _same(given[n], defaults[n]):
            skipped = True
        elif skipped:
            kwargs[n] = given[n]
        else:
            args.append(given[n])
    keywords = code.co_varnames[count : count + code.co_kwonlyargcount]
    for n in keywords:
        if not _same(given[n], (fn.__kwdefaults__ or {}).get(n, inspect.Parameter.empty)):
            kwargs[n] = given[n]
    at = count + code.co_kwonlyargcount
    if code.co_flags & inspect.CO_VARARGS:
        args += given[code.co_varnames[at]]
        at += 1
    if code.co_flags & inspect.CO_VARKEYWORDS:
        kwargs |= given[code.co_varnames[at]]
    return Call(name, [_kept(a) for a in args], {k: _kept(v) for k, v in kwargs.items()}, None, node)


def _kept(value: Any) -> Any:
    """A list may be changed after the call; its items are what was given."""
    return list(value) if isinstance(value, list) else value


def _same(a: Any, b: Any) -> bool:
    return a is b or (isinstance(a, (int, float, str, bool, tuple)) and type(a) is type(b) and a == b)


def _values(result: Any) -> list[Value]:
    if isinstance(result, Value):
        return [result]
    return [v for v in result if isinstance(v, Value)] if isinstance(result, (list, tuple)) else []
