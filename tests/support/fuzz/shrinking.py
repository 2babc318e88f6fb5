"""A program that goes wrong made smaller: what of it can be left out while the fault stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from tests.support.fuzz.program import NAME, Program, pruned
from tests.support.fuzz.running import Result, Runner
from tests.support.fuzz.values import Input
from tests.support.fuzz.worlds import Worlds

MOST = 24  # candidates to a compile
ROUNDS = 8


def shrink(found: Result, run: Runner, seconds: float = 600.0) -> Result:
    """The smallest program with the same fault that is come by in that time."""
    start, tried = time.monotonic(), set[str]()
    one_by_one = found.error == "CompileError"  # a module with several that fail is compiled many times
    for _ in range(ROUNDS):
        candidates = []
        for candidate in sorted(smaller(found.program), key=cost):
            if str(candidate) not in tried and cost(candidate) < cost(found.program):
                tried.add(str(candidate))
                candidates.append(candidate)
        better = None
        for group in [[c] for c in candidates] if one_by_one else [candidates[:MOST], candidates[MOST:]]:
            if not group or time.monotonic() - start > seconds:
                break
            failing = [result for result in run(group) if result.same_fault(found)]
            if failing:
                better = min(failing, key=lambda result: cost(result.program))
                break
        if better is None:
            return found
        found = better
    return found


def cost(program: Program) -> tuple[int, ...]:
    """What is to become less: steps, then sizes that vary, values, text, outputs, odd numbers."""
    given = (*program.inputs, *program.states)
    literal = sum(i.literal is None for i in program.inputs)
    text = sum(len(step.code) for step in program.steps)
    elements = sum(x.numel() for x in program.data())
    return len(program.steps), program.modules, len(given), len(program.sizes), text, elements, literal


def smaller(program: Program) -> Iterator[Program]:
    """Programs with something less each."""
    steps = program.steps
    for step in steps:  # what led to one value, and that alone
        behind = steps[: steps.index(step) + 1]
        yield pruned(replace(program, steps=behind, outputs=(step.name,)))
    if len(program.outputs) > 1:
        yield from (pruned(replace(program, outputs=(name,))) for name in program.outputs)
    yield from _without_a_step(program)
    yield from _from_a_value_on(program)
    if program.modules > 1:
        yield replace(program, modules=1)
    if program.sizes:
        yield _fixed(program, frozenset(program.sizes))
        if len(program.sizes) > 1:
            yield from (_fixed(program, frozenset([letter])) for letter in program.sizes)
    yield from _plain_numbers(program)


def _without_a_step(program: Program) -> Iterator[Program]:
    """Each step left out: one of the values that it reads stands for its result."""
    for i, step in enumerate(program.steps):
        others = program.steps[:i] + program.steps[i + 1 :]
        for read in sorted(step.reads):
            yield pruned(
                replace(
                    program,
                    steps=tuple(replace(s, code=_renamed(s.code, step.name, read)) for s in others),
                    outputs=tuple(dict.fromkeys(read if o == step.name else o for o in program.outputs)),
                )
            )


def _from_a_value_on(program: Program) -> Iterator[Program]:
    """Each step's result given as an input, with the numbers that it has in the example."""
    values = _values(program)
    if values is None:
        return
    for step in program.steps:
        dims = (
            [_dim(program, axis) for axis in values.signature(step.name)] if step.name in values else [None]
        )
        if any(d is None for d in dims) or step.name in program.outputs[:1]:
            continue
        taken = {given.name for given in program.inputs}
        name = next(f"x{i}" for i in range(99) if f"x{i}" not in taken)
        value = values.of(step.name)[0].detach().clone()
        given = Input(name, value.dtype, tuple(d for d in dims if d is not None), literal=value)
        others = [s for s in program.steps if s is not step]
        yield pruned(
            replace(
                program,
                inputs=(*program.inputs, given),
                steps=tuple(replace(s, code=_renamed(s.code, step.name, name)) for s in others),
                outputs=tuple(o for o in program.outputs if o != step.name),
            )
        )


def _values(program: Program) -> Worlds | None:
    """All its values at its sizes; None where torch refuses a step."""
    worlds = Worlds([program.example(), *program.other_examples()])
    for i, given in enumerate(program.inputs):
        worlds.put(given.name, [program.data(sizes)[i] for sizes in worlds.sizes])
    for name in program.state():
        worlds.put(f"self.{name}", [program.state()[name] for _ in worlds.sizes])
    for step in program.steps:
        values = worlds.computed(step.code)
        if values is None:
            return None
        worlds.put(step.name, values)
    return worlds


def _dim(program: Program, axis: tuple[int, ...]) -> str | int | None:
    """An axis as a letter or a number; None where it is neither."""
    if len(set(axis)) == 1:
        return axis[0]
    at = {(s.example, s.least, s.other): letter for letter, s in program.sizes.items()}
    return at.get(axis)


def _fixed(program: Program, letters: frozenset[str]) -> Program:
    """These sizes as they are in the example."""
    sizes = {letter: size for letter, size in program.sizes.items() if letter not in letters}
    example = program.example()

    def dims(given: Input) -> tuple[str | int, ...]:
        return tuple(example[d] if isinstance(d, str) and d in letters else d for d in given.dims)

    return replace(program, sizes=sizes, inputs=tuple(replace(i, dims=dims(i)) for i in program.inputs))


def _plain_numbers(program: Program) -> Iterator[Program]:
    """The example's numbers with a decimal or two, as literals."""
    if all(given.literal is not None for given in program.inputs):
        return
    rounded = []
    for given, value in zip(program.inputs, program.data(), strict=True):
        short = (value * 4).round() / 4 if value.is_floating_point() else value
        rounded.append(replace(given, literal=torch.as_tensor(short, dtype=value.dtype)))
    yield replace(program, inputs=tuple(rounded))


def _renamed(code: str, old: str, new: str) -> str:
    return NAME.sub(lambda found: new if found[0] == old else found[0], code)
