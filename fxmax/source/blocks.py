"""Which calls are a module that repeats, and how they are called: as a function, in a loop."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from max.graph.value import Value

from fxmax.runtime.max_private import mlir_value
from fxmax.source.recording import Call, Recording
from fxmax.source.statements import Names, lines_of, made_by, quoted, result_stem, used_by


@dataclass
class SourceBlock:
    """Calls that lie together: of one module that repeats, or of none."""

    calls: list[Call]
    path: str = ""  # the module's, where it may become a function
    body: Body | None = None


@dataclass
class Body:
    """A block's text, with the module's path left out and its values named from scratch."""

    lines: list[str]
    takes: list[Any]  # outer values, in the order of the parameters
    gives: list[Any]  # values that are used outside, in the order of what is returned
    name: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(self.lines)


_NUMBERED = re.compile(r"^(?P<path>(?:.*?\.)?\d+)(?:\.|$)")


def blocks_of(calls: list[Call]) -> list[SourceBlock]:
    """Cut where the outermost numbered module (`blocks.0`, `blocks.1`) changes."""
    blocks: list[SourceBlock] = []
    for call in calls:
        found = _NUMBERED.match(call.path)
        path = found["path"] if found else ""
        if not blocks or blocks[-1].path != path:
            blocks.append(SourceBlock([], path))
        blocks[-1].calls.append(call)
    seen = Counter(b.path for b in blocks)
    for block in blocks:  # a module that is left and entered again can't be one function
        if seen[block.path] > 1:
            block.path = ""
    return blocks


def functions_of(blocks: list[SourceBlock], recording: Recording) -> list[Body]:
    """One body for each text that at least two blocks share; those blocks then hold their own."""
    ends = {mlir_value(v) for v in recording.outputs}
    readers: dict[Any, set[int]] = {}
    for i, block in enumerate(blocks):
        for call in block.calls:
            for value in used_by(call):
                readers.setdefault(mlir_value(value), set()).add(i)
    shared: dict[tuple[str, ...], list[SourceBlock]] = {}
    for i, block in enumerate(blocks):
        if block.path and len(block.calls) > 2:
            names = Names(prefix=block.path, outer=[])
            lines = lines_of(block.calls, names)
            assert names.outer is not None
            made = [v for call in block.calls for v in made_by(call)]
            gives = [v for v in made if mlir_value(v) in ends or readers.get(mlir_value(v), set()) - {i}]
            given = ", ".join(names.of(v) for v in gives)
            block.body = Body([*lines, f"return {given}"], names.outer, gives)
            shared.setdefault(block.body.key, []).append(block)
    functions = []
    taken = Counter({result_stem(call) for block in blocks for call in block.calls})
    for group in shared.values():
        name = _module_name(group[0])
        if len(group) > 1:
            taken[name] += 1
            name = name if taken[name] == 1 else f"{name}_{taken[name]}"
            functions.append(group[0].body)
        for block in group:
            if len(group) > 1 and block.body is not None:
                block.body.name = name
            else:
                block.body = None
    return [f for f in functions if f is not None]


def _module_name(block: SourceBlock) -> str:
    """The class of the module, as a function's name."""
    for call in block.calls:
        stack = call.node.meta.get("nn_module_stack", {}) if call.node is not None else {}
        for path, cls in stack.values():
            if path == block.path:
                plain = (cls if isinstance(cls, str) else cls.__name__).rpartition(".")[2]
                return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower()
    return "block"


def function(body: Body, blocks: list[SourceBlock]) -> str:
    users = [b.path for b in blocks if b.body is not None and b.body.name == body.name]
    head = f"def {body.name}({', '.join(['prefix', *_parameters(body)])}):"
    said = f'    """{users[0]} to {users[-1]}: {len(users)} modules alike."""'
    return "\n".join([head, said, *(f"    {line}".rstrip() for line in body.lines)]) + "\n"


def _parameters(body: Body) -> list[str]:
    return ["x" if i == 0 else f"x{i + 1}" for i in range(len(body.takes))]


def main_lines(blocks: list[SourceBlock], names: Names) -> list[str]:
    """The main program: calls as they are, functions called, a loop where one feeds the next."""
    lines: list[str] = []
    i = 0
    while i < len(blocks):
        block = blocks[i]
        if block.body is None:
            lines += lines_of(block.calls, names)
            i += 1
            continue
        run = _run(blocks, i)
        if len(run) > 1:
            lines += _loop(run, names)
        else:
            given = ", ".join(names.of(v) for v in block.body.takes)
            made = ", ".join(
                names.new(v, block.path.rpartition(".")[0].rpartition(".")[2] or "x")
                for v in block.body.gives
            )
            lines.append(f"{made} = {block.body.name}({quoted(block.path)}, {given})")
        i += len(run)
    return lines


def _run(blocks: list[SourceBlock], start: int) -> list[SourceBlock]:
    """Blocks from `start` on that are one function in a chain: `x = f("blocks.0", x, y)`."""
    run = [blocks[start]]
    for block in blocks[start + 1 :]:
        a, b = run[-1].body, block.body
        if a is None or b is None or a.name != b.name or len(a.gives) != 1 or not a.takes:
            break
        (head, _, m), (again, _, n) = run[-1].path.rpartition("."), block.path.rpartition(".")
        chained = [_same(b.takes[0], a.gives[0]), *(map(_same, a.takes[1:], b.takes[1:]))]
        if head != again or int(n) != int(m) + 1 or not all(chained):
            break
        run.append(block)
    return run


def _loop(run: list[SourceBlock], names: Names) -> list[str]:
    first, last = run[0], run[-1]
    assert first.body is not None
    assert last.body is not None
    start, *rest = (names.of(v) for v in first.body.takes)
    head, _, number = first.path.rpartition(".")
    made = names.new(last.body.gives[0], "x")
    span = f"{len(run)}" if number == "0" else f"{number}, {int(number) + len(run)}"
    path = f'f"{head}.{{i}}"' if head else 'f"{i}"'
    return [
        "",
        f"{made} = {start}",
        f"for i in range({span}):",
        f"    {made} = {first.body.name}({', '.join([path, made, *rest])})",
        "",
    ]


def _same(a: Value, b: Value) -> bool:
    return bool(mlir_value(a) == mlir_value(b))
