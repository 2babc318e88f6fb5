"""A recorded call as a line of Python, and the names of values."""

from __future__ import annotations

import builtins
import json
import keyword
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from max.dtype import DType
from max.graph import BufferType, DeviceRef, Dim, Shape, StaticDim, TensorType
from max.graph.value import Value

from fxmax.errors import FxmaxError
from fxmax.runtime.max_private import mlir_value
from fxmax.source.recording import Call

# What the program itself uses; a value of torch's graph may be called so too.
RESERVED = {*dir(builtins), *keyword.kwlist, "DEVICE", "KERNELS", "LAYOUTS", "READ", "build", "graph", "i"}
RESERVED |= {"np", "ops", "prefix", "types", "weight", "weights"}


@dataclass
class Names:
    """Value → Python name, in one scope."""

    known: dict[Any, str] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)
    prefix: str = ""  # a module path that is written as `prefix`
    outer: list[Any] | None = None  # where given, unknown values become parameters

    def of(self, value: Value) -> str:
        key = mlir_value(value)
        if key not in self.known:
            if self.outer is None:
                raise FxmaxError(
                    "source() can't write this graph: a rule made a value by other means than "
                    f"max.graph.ops ({value})"
                )
            self.outer.append(value)
            self.known[key] = "x" if len(self.outer) == 1 else f"x{len(self.outer)}"
        return self.known[key]

    def new(self, value: Value, stem: str) -> str:
        stem = f"{stem}_" if stem in RESERVED else stem
        self.used[stem] += 1
        name = stem if self.used[stem] == 1 else f"{stem}_{self.used[stem]}"
        self.known[mlir_value(value)] = name
        return name


def lines_of(calls: list[Call], names: Names) -> list[str]:
    lines: list[str] = []
    before = ""
    for call in calls:
        place = call.source
        comment = f"# {'/'.join(Path(place.file).parts[-2:])}:{place.line}  {place.code}" if place else ""
        if comment and comment != before:
            lines.append(comment)
            before = comment
        lines.append(_statement(call, names))
    return lines


def _statement(call: Call, names: Names) -> str:
    if call.slot is not None:
        slot = call.slot
        arguments = f"DType.{slot.dtype.name}, {list(slot.shape)}"
        text = f"weight({_path(slot.name, names.prefix)}, {arguments})"
    else:
        parts = [value_of(a, names) for a in call.args]
        parts += [f"{k}={value_of(v, names)}" for k, v in call.kwargs.items()]
        text = f"ops.{call.name}({', '.join(parts)})"
    made = [names.new(v, result_stem(call)) for v in made_by(call)]
    if not made:
        return text
    several = isinstance(call.result, (list, tuple))
    return f"{', '.join(made)}{',' if several and len(made) == 1 else ''} = {text}"


def _path(name: str, prefix: str) -> str:
    if prefix and name.startswith(f"{prefix}."):
        return f'f"{{prefix}}{name.removeprefix(prefix)}"'
    return quoted(name)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def result_stem(call: Call) -> str:
    if call.slot is not None:
        return stem("_".join(call.slot.spec.fqn.split(".")[-2:]))
    return stem(re.sub(r"_\d+$", "", call.node.name) if call.node is not None else call.name)


def stem(name: str) -> str:
    plain = re.sub(r"\W", "_", name).strip("_")
    return f"_{plain}" if plain[:1].isdigit() else plain or "x"


def made_by(call: Call) -> list[Value]:
    return _flat(call.result)


def used_by(call: Call) -> list[Value]:
    return _flat([call.args, list(call.kwargs.values())])


def _flat(value: Any) -> list[Value]:
    if isinstance(value, Value):
        return [value]
    if isinstance(value, slice):
        return _flat([value.start, value.stop, value.step])
    if isinstance(value, (list, tuple)):
        return [v for item in value for v in _flat(item)]
    return _flat(list(value.values())) if isinstance(value, dict) else []


def value_of(value: Any, names: Names, device: bool = True) -> str:
    """An argument as Python source."""
    if isinstance(value, Value):
        return names.of(value)
    if isinstance(value, StaticDim):
        return str(int(value))
    if isinstance(value, Dim):
        return repr(value)
    if isinstance(value, DType):
        return f"DType.{value.name}"
    if isinstance(value, DeviceRef):
        plain = "DeviceRef.CPU()" if value.is_cpu() else f"DeviceRef.GPU({value.id})"
        return "DEVICE" if device else plain
    if isinstance(value, (TensorType, BufferType)):
        return kind_of(value)
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()!r}, dtype=np.{value.dtype.name})".replace("inf", "np.inf")
    if isinstance(value, np.generic):
        return value_of(value.item(), names)
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    if isinstance(value, str):
        return quoted(value)
    if value is None or value is Ellipsis or isinstance(value, (bool, int, float)):
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, slice):
        return f"slice({', '.join(value_of(v, names) for v in (value.start, value.stop, value.step))})"
    if isinstance(value, (list, Shape)):
        return f"[{', '.join(value_of(v, names) for v in value)}]"
    if isinstance(value, tuple):
        return f"({', '.join(value_of(v, names) for v in value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {value_of(v, names)}' for k, v in value.items())}}}"
    raise FxmaxError(f"source() can't write an argument of type {type(value).__name__}: {value!r}")


def kind_of(kind: TensorType | BufferType) -> str:
    cls = "BufferType" if isinstance(kind, BufferType) else "TensorType"
    shape = ", ".join(quoted(d.name) if hasattr(d, "name") else value_of(d, Names()) for d in kind.shape)
    return f"{cls}(DType.{kind.dtype.name}, [{shape}], DEVICE)"
