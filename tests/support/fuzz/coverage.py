"""Which rules random programs reach: every op that is drawn, in one program; and why some are not."""

from __future__ import annotations

import random

import torch

from fxmax.frontend.capture import capture
from fxmax.frontend.options import Options
from tests.support.fuzz.drawing import Draw, Limits, Op
from tests.support.fuzz.ops import FAMILIES
from tests.support.fuzz.program import Program
from tests.support.fuzz.values import INTEGERS
from tests.support.fuzz.worlds import Worlds

A_PASS = "a pass makes it of ops that are drawn"
FIRST = "torch makes other ops of it before the table sees it"
NOT_DRAWN: dict[str, str] = {
    "aten._cdist_forward.default": FIRST,
    "aten._embedding_bag.default": FIRST,
    "aten.batch_norm.default": FIRST,
    "aten.contiguous.default": FIRST,
    "aten.mm.default": FIRST,
    "aten.mv.default": FIRST,
    "aten.reshape.default": FIRST,
    "fxmax.attention.default": A_PASS,
    "fxmax.cached_attention.default": "a pass makes it of a decoder's attention with a cache",
    "fxmax.conv.default": A_PASS,
    "fxmax.conv1d.default": A_PASS,
    "fxmax.heads_attention.default": A_PASS,
    "fxmax.linear.default": A_PASS,
    "fxmax.row_products.default": A_PASS,
    "fxmax.write_places.default": "a pass makes it of a decoder's writes to its cache",
}
"""Ops with a rule that no builder's are decomposed to, and why."""

TRIES, FORMS = 80, 40


def every_op(family: str, forms: int = FORMS, seed: int = 0) -> Program:
    """A program that has each op of a family at least once, and what makes ops several times."""
    rng = random.Random(seed)
    draw = Draw(rng, Worlds([{}]), Limits((torch.float32,), ("normal",), odd=True))
    for shape in ((3, 4), (2, 4, 6), (2, 4, 5, 6), (1, 2, 4, 4, 4), (4,)):
        draw.given(torch.float32, shape, "normal")
    draw.given(torch.int64, (2, 3), "normal")
    draw.given(torch.bool, (3, 4), "normal")
    draw.given(rng.choice(INTEGERS), (3, 4), "normal")
    given, never, codes = list(draw.names), list[str](), set[str]()
    for builder in dict.fromkeys(FAMILIES[family]):
        made = 0
        for _ in range(TRIES if isinstance(builder, Op) else 2 * TRIES):
            draw.names = list(given)  # of inputs alone: each op is as it stands
            held = len(draw.states)
            op = builder if isinstance(builder, Op) else builder(draw)
            if op is None or not draw.add(op):
                del draw.states[held:]
                continue
            made += 1
            if draw.steps[-1].code in codes:
                draw.steps.pop()
            codes.add(draw.steps[-1].code)
            if isinstance(builder, Op) or made == forms:
                break
        if not made:
            never.append(str(builder))
    assert not never, "\n".join(["never drawn:", *never])
    outputs = tuple(step.name for step in draw.steps)
    return Program(
        seed, 0, "every op", {}, tuple(draw.inputs), tuple(draw.states), tuple(draw.steps), outputs
    )


def reached(family: str) -> set[str]:
    """The ops with a rule that the family's are decomposed to, before any pass."""
    program = every_op(family)
    options = Options.resolve(device="cpu", passes=())
    captured = capture(program.module(), program.data(), options=options)
    return {str(node.target) for node in captured.program.graph.nodes if node.op == "call_function"}
