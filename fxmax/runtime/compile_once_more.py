"""The process that finds the fx nodes that MAX's compiler failed on, by letting it fail once more.

What fails in a pass over the graph is printed with the op's location, if that is a line of Python. What
fails in a kernel is a line of the Mojo that MAX writes for the graph, where each kernel has the locations
of its ops. So each op's label is made such a location here. The settings that make MAX write its Mojo down
hold for all of a process: hence one of its own.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from max.engine import CompilationStopped, InferenceSession
from max.graph import DeviceRef, Graph, Module

from fxmax.runtime import device as devices
from fxmax.runtime.compile_failure import FOUND, MESSAGES, REQUEST, TEXT, FailedNode
from fxmax.runtime.labels import label_of
from fxmax.runtime.max_private import graphs_of, in_default_mlir_context, printed, unlocated, walk

_LINE = re.compile(r"<unknown>:(\d+):")  # of the Mojo that MAX made
_MARK = re.compile(r"fx-node-(\d+)")
_TOP_LEVEL = re.compile(r"def |struct |trait |@")


def main(folder: Path) -> None:
    """Compile what is in `folder`, and write the failed nodes there."""
    request = json.loads((folder / REQUEST).read_text())
    kernels = [Path(path) for path in request["kernels"]]
    found = _find(folder, kernels, devices.resolve(request["device"]), request["error"])
    (folder / FOUND).write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # MAX may abort when a process ends that it failed to compile in


@in_default_mlir_context
def _find(folder: Path, kernels: list[Path], device: DeviceRef, error: str) -> list[FailedNode]:
    module = Graph("failed", path=folder / TEXT).module
    nodes = _mark(module)
    session = devices.session(device)
    session.debug.ir_output_dir, session.debug.pre_jit = str(folder), True
    error = _compile_error(session, module, kernels) or error  # before kernels are compiled: seconds
    marks = _MARK.findall(error) or list(in_kernels(folder, error))
    if not marks:  # MAX does not say where its Mojo is wrong, but prints the line
        session.debug.pre_jit = False
        module = Graph("failed", path=folder / TEXT).module
        _mark(module)
        error = _compile_error(session, module, kernels)
        marks = list(in_kernels(folder, error + (folder / MESSAGES).read_text(errors="replace")))
    return [nodes[i] for i in sorted(set(map(int, marks)))]


def _mark(module: Module) -> list[FailedNode]:
    """Give each labelled op a location that MAX prints as the number of its node in the result."""
    numbers: dict[FailedNode, int] = {}
    for position, graph in enumerate(graphs_of(module)):
        for op in walk(graph):
            label = label_of(op)
            number = numbers.setdefault(FailedNode(position, label), len(numbers))
            op.location = printed(op, f"fx-node-{number}") if label else unlocated(op)
    return list(numbers)


def _compile_error(session: InferenceSession, module: Module, kernels: list[Path]) -> str:
    """What MAX says; "" where all went well."""
    try:
        session.compile(module, custom_extensions=kernels or None)
    except CompilationStopped:
        return ""
    except Exception as error:  # noqa: BLE001 - of MAX's compiler
        return str(error.__cause__ or error)
    return ""


def in_kernels(folder: Path, error: str) -> Iterator[str]:
    """The marks in those kernels of the generated Mojo that the error points into."""
    lines = [line for path in folder.glob("*.mojo") for line in path.read_text().splitlines()]
    quoted = {line.strip() for line in error.splitlines()}
    pointed = {int(number) - 1 for number in _LINE.findall(error)}
    pointed |= {i for i, line in enumerate(lines) if line.strip() in quoted and "(" in line}
    start = 0
    for end in range(1, len(lines) + 1):
        if end == len(lines) or _TOP_LEVEL.match(lines[end]):
            if not pointed.isdisjoint(range(start, end)):
                yield from _MARK.findall("\n".join(lines[start:end]))
            start = end


if __name__ == "__main__":
    main(Path(sys.argv[1]))
