"""The kinds of random programs, and the program of a seed and a number."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from tests.support.fuzz.drawing import Draw, Limits, Op, SpoiledError
from tests.support.fuzz.ops import FAMILIES
from tests.support.fuzz.program import Program, Step, pruned
from tests.support.fuzz.values import FLOATS, INTEGERS, Size
from tests.support.fuzz.worlds import Worlds

F32 = (torch.float32,)
ANY = (*FLOATS, *INTEGERS, torch.bool)
POINTWISE = {"arithmetic": 4, "functions": 2, "activations": 1, "comparisons": 2}
TABLE = POINTWISE | {"casts": 1, "creations": 1, "indexed": 3, "reductions": 4, "sorts": 1, "views": 6}


@dataclass(frozen=True)
class Kind:
    """What the programs of a kind are drawn from; `about` is a line for docs and the summary.

    `families` has each family's weight. `least` is the least that sizes may be; 0 lets fixed ones be, too.
    """

    about: str
    families: Mapping[str, int]
    limits: Limits = field(default_factory=lambda: Limits(F32, ("normal", "halves")))
    varies: bool = True  # whether sizes do
    least: int = 1
    steps: tuple[int, int] = (4, 9)
    tie: bool = False
    modules: int = 0
    shared: bool = False


KINDS: dict[str, Kind] = {
    "fixed": Kind("fixed sizes, all families", TABLE, varies=False, steps=(5, 12)),
    "sizes": Kind("sizes that vary, all families", TABLE),
    "broadcasts": Kind(
        "what is broadcast is computed with, viewed, and broadcast again",
        {"arithmetic": 4, "comparisons": 1, "functions": 1, "views": 7, "creations": 1, "reductions": 1},
        least=2,
    ),
    "dtypes": Kind(
        "16-bit floats, float64, integers and unsigned ones, in one program",
        TABLE | {"casts": 3, "comparisons": 4},
        Limits(ANY, ("normal", "halves", "special"), mixed=True, odd=True),
        varies=False,
    ),
    "special": Kind(
        "NaN, infinities, signed zeros and ties",
        TABLE | {"arithmetic": 6},
        Limits((torch.float32, torch.float32, torch.float16), ("special",), odd=True),
    ),
    "empty": Kind("sizes that may be 0", TABLE, Limits(F32, ("normal",), odd=True), least=0, steps=(3, 8)),
    "written": Kind(
        "inputs and buffers written in place, also through views",
        POINTWISE | {"views": 5, "writes": 9, "reductions": 1},
        Limits((torch.float32, torch.float32, torch.int64, torch.bfloat16), ("normal",)),
    ),
    "alias": Kind(
        "inputs that share memory, some of them written: right, or refused by name",
        {"arithmetic": 3, "views": 4, "writes": 5},
        Limits((torch.int64, torch.float32), ("normal",), exact=True),
        shared=True,
        steps=(2, 6),
    ),
    "layers": Kind(
        "products, attention, norms, convolutions, pools",
        {"layers": 8, "arithmetic": 2, "views": 3, "activations": 2},
        steps=(2, 6),
    ),
    "tied": Kind(
        "weights that are one tensor", {"layers": 8, "arithmetic": 2, "views": 2}, tie=True, steps=(3, 6)
    ),
    "modules": Kind(
        "several modules in one function, by torch.compile",
        POINTWISE | {"layers": 5, "views": 4, "writes": 2},
        modules=2,
        tie=True,
    ),
    "dear": Kind(
        "what takes MAX half a minute each to compile: bags, histograms, sizes that depend on data",
        {"sized by data": 3, "views": 1, "arithmetic": 1},
        varies=False,
        steps=(1, 3),
    ),
}
ORDER = (
    "sizes",
    "fixed",
    "broadcasts",
    "dtypes",
    "special",
    "written",
    "layers",
    "empty",
    "sizes",
    "modules",
    "alias",
    "broadcasts",
    "tied",
    "special",
)
"""The kind of a program by its number, where none is asked for; `dear` ones are by request alone."""


def kind_of(number: int) -> str:
    """The kind that a number's program is of."""
    return ORDER[number % len(ORDER)]


def program(seed: int, number: int, kind: str = "") -> Program:
    """The program of a seed, a number, and a kind (default: the number's)."""
    name = kind or kind_of(number)
    rng = random.Random(f"{name}/{seed}/{number}")
    while True:
        try:
            return _drawn(rng, name, seed, number)
        except SpoiledError:
            continue


def _drawn(rng: random.Random, name: str, seed: int, number: int) -> Program:
    kind = KINDS[name]
    sizes = _sizes(rng, kind)
    worlds = [{letter: getattr(s, at) for letter, s in sizes.items()} for at in ("example", "least", "other")]
    draw = Draw(rng, Worlds(worlds if sizes else worlds[:1]), kind.limits)
    draw.tie = kind.tie
    _give_inputs(draw, kind, sizes)
    given = len(draw.names)
    wanted = rng.randint(*kind.steps)
    families, weights = list(kind.families), list(kind.families.values())
    for _ in range(wanted * 30):
        if len(draw.steps) >= wanted:
            break
        builder = rng.choice(FAMILIES[rng.choices(families, weights)[0]])
        held = len(draw.states)
        op = builder if isinstance(builder, Op) else builder(draw)
        if op is None or not draw.add(op):
            del draw.states[held:]
    if not draw.steps:
        raise SpoiledError
    made = draw.names[given:]
    outputs = [max(made, key=lambda name: len(_leading_to(name, draw.steps)))]
    if kind.shared:
        outputs = made[-3:]
    elif rng.random() < 0.3:
        outputs = list(dict.fromkeys([*outputs, rng.choice(made)]))
    parts = (tuple(draw.inputs), tuple(draw.states), tuple(draw.steps), tuple(outputs))
    return pruned(Program(seed, number, name, sizes, *parts, kind.modules, kind.shared))


def _leading_to(name: str, steps: Sequence[Step]) -> set[str]:
    """The steps that a value comes of: most of a program's should be in its output."""
    needed = {name}
    for step in reversed(steps):
        if step.name in needed or step.writes:
            needed |= step.reads | {step.name}
    return needed


def _sizes(rng: random.Random, kind: Kind) -> dict[str, Size]:
    if not kind.varies:
        return {}
    examples = {"b": Size(kind.least, 3, 5), "n": Size(kind.least, 4, 7), "k": Size(kind.least, 5, 6)}
    letters = rng.sample(list(examples), rng.randint(1, 3))
    return {letter: examples[letter] for letter in sorted(letters)}


def _give_inputs(draw: Draw, kind: Kind, sizes: Mapping[str, Size]) -> None:
    rng = draw.rng
    fixed = [1, 2, 3, 4, 6] + ([0] if kind.least == 0 and rng.random() < 0.15 else [])
    layers = "layers" in kind.families
    letters = list(sizes) * (1 if layers else 3)
    ranks = rng.choice([1, 2, 2, 3])
    base: list[str | int] = [rng.choice([*letters, *rng.sample(fixed, 2)]) for _ in range(ranks)]
    if layers:
        base = [rng.choice([*letters, 2]), rng.choice([2, 4, 6, 8]), *base[1:], rng.choice([2, 4, 6, 8])]
    for position in range(rng.randint(2, 4)):
        dims = list(base)
        if position and not kind.shared:
            dims = dims[rng.randint(0, len(dims)) :] if rng.random() < 0.4 else dims
            dims = [1 if rng.random() < 0.15 else d for d in dims]
            if rng.random() < 0.2:
                rng.shuffle(dims)
        dtype = rng.choice(kind.limits.dtypes) if not (kind.shared and position) else draw.inputs[0].dtype
        draw.given(dtype, dims, rng.choice(kind.limits.styles))
    if ("indexed" in kind.families or layers) and rng.random() < 0.6:
        draw.given(torch.int64, [rng.choice([*letters, 2, 3]) for _ in range(rng.randint(1, 2))], "normal")
    if rng.random() < 0.25 and not kind.shared:
        draw.given(torch.bool, base[rng.randint(0, len(base)) :], "normal")
