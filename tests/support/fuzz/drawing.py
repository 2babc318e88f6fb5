"""Drawing a program's lines: which values an op is given, and what it may give."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from tests.support.fuzz.program import NAME, Step
from tests.support.fuzz.values import FLOATS, INTEGERS, Input, State
from tests.support.fuzz.worlds import Axis, Worlds, is_fixed, together

CLASSES: dict[str, tuple[torch.dtype, ...]] = {
    "float": FLOATS,
    "integer": INTEGERS,
    "signed": (torch.int64, torch.int32, torch.int16, torch.int8),
    "number": (*FLOATS, *INTEGERS),
    "bool": (torch.bool,),
    "whole": (*INTEGERS, torch.bool),
    "index": (torch.int64,),
    "any": (*FLOATS, *INTEGERS, torch.bool),
}


@dataclass(frozen=True)
class Op:
    """A line with gaps, to be filled in.

    `{a}` is a value of class `of`, `{b}` and `{c}` ones that broadcast with it, `{m}` a mask that does, `{i}`
    an index that does; `{d}` and `{e}` are axes of a, `{u}` one that is new, `{s}` a number of a's dtype,
    `{p}` a positive float and `{k}` one of 1, 2, 3.

    `exact` ops do not round. An op that `decides` makes something with steps of floats: of values
    that were rounded, it would tell how.
    """

    code: str
    of: str = "float"
    exact: bool = False
    decides: bool = False
    writes: bool = False

    @property
    def gaps(self) -> set[str]:
        """What is to be filled in."""
        return {name for _, name, _, _ in string.Formatter().parse(self.code) if name}


Builder = Op | Callable[["Draw"], Op | None]
"""An op, or what makes one of what there is; it may give up."""


@dataclass(frozen=True)
class Limits:
    """What a kind of programs may have."""

    dtypes: tuple[torch.dtype, ...]  # of inputs
    styles: tuple[str, ...]  # of inputs
    odd: bool = False  # NaN and infinities may come up
    mixed: bool = False  # operands of several dtypes
    exact: bool = False  # nothing is rounded


class Draw:
    """A program in the making."""

    def __init__(self, rng: random.Random, worlds: Worlds, limits: Limits) -> None:
        self.rng, self.worlds, self.limits = rng, worlds, limits
        self.inputs: list[Input] = []
        self.states: list[State] = []
        self.steps: list[Step] = []
        self.names: list[str] = []  # of values, in order
        self.rounded: set[str] = set()  # those that are not exact
        self.tie = False  # whether a weight may be one that is there

    # -- values -------------------------------------------------------------------------------

    def given(self, dtype: torch.dtype, dims: Sequence[str | int], style: str) -> str:
        """An input more."""
        one = Input(f"x{len(self.inputs)}", dtype, tuple(dims), style)
        self.inputs.append(one)
        generator = torch.Generator().manual_seed(self.rng.randrange(2**31))
        self.worlds.put(one.name, [one.tensor(sizes, generator) for sizes in self.worlds.sizes])
        self.names.append(one.name)
        return one.name

    def weight(self, shape: Sequence[int], dtype: torch.dtype | None = None, parameter: bool = True) -> str:
        """A weight, or a buffer; perhaps one that is tied to another, or the very one."""
        dtype = dtype or torch.float32
        alike = [s for s in self.states if s.shape == tuple(shape) and s.dtype is dtype and s.parameter]
        if self.tie and parameter and alike and self.rng.random() < 0.7:
            of = self.rng.choice(alike)
            if self.rng.random() < 0.5:
                return f"self.{of.name}"
            one = State(f"w{len(self.states)}", dtype, tuple(shape), True, of.tied or of.name)
            self.states.append(one)
            self.worlds.put(f"self.{one.name}", self.worlds.of(f"self.{one.tied}"))
            return f"self.{one.name}"
        one = State(f"w{len(self.states)}", dtype, tuple(shape), parameter)
        self.states.append(one)
        generator = torch.Generator().manual_seed(self.rng.randrange(2**31))
        value = Input(one.name, dtype, one.shape).tensor({}, generator)
        self.worlds.put(f"self.{one.name}", [value.clone() for _ in self.worlds.sizes])
        return f"self.{one.name}"

    def value(
        self, of: str = "any", fits: Callable[[str], bool] = lambda name: True, exact: bool = False
    ) -> str | None:
        """A value of a class: mostly the last one."""
        found = [
            name
            for name in self.names
            if self.worlds.dtype(name) in CLASSES[of]
            and not (exact and name in self.rounded and self.worlds.dtype(name).is_floating_point)
            and fits(name)
        ]
        if not found:
            return None
        return found[-1] if self.rng.random() < 0.6 else self.rng.choice(found)

    def partner(self, a: str, of: str) -> str | None:
        """A value that broadcasts with `a`."""
        mine = self.worlds.signature(a)

        def fits(name: str) -> bool:
            same = (
                self.limits.mixed
                or of in ("bool", "index")
                or self.worlds.dtype(name) is self.worlds.dtype(a)
            )
            return same and together(mine, self.worlds.signature(name)) is not None

        found = [n for n in self.names if self.worlds.dtype(n) in CLASSES[of] and fits(n)]
        others = [n for n in found if self.worlds.signature(n) != mine]
        chosen = others if others and self.rng.random() < 0.6 else found
        return self.rng.choice(chosen) if chosen else None

    def axis(self, a: str) -> int | None:
        """An axis of `a`, counted from the end or the start."""
        rank = self.worlds.rank(a)
        return self.rng.randrange(-rank, rank) if rank else None

    def fixed(self, a: str, axis: int) -> int | None:
        """The size of an axis, where it is the same at every size."""
        sizes: Axis = self.worlds.signature(a)[axis]
        return sizes[0] if is_fixed(sizes) else None

    # -- lines --------------------------------------------------------------------------------

    def filled(self, op: Op) -> str | None:
        """The op's code, its gaps filled in; None where there is nothing for one of them."""
        gaps, fills = op.gaps, dict[str, object]()
        exact = op.decides and (self.limits.odd or self.rng.random() < 0.7)
        if "a" in gaps:
            ranked = bool(gaps & {"d", "e"})
            a = self.value(op.of, lambda name: not ranked or self.worlds.rank(name) > 0, exact)
            if a is None:
                return None
            fills["a"] = a
            for gap, of in (("b", op.of), ("c", op.of), ("m", "bool"), ("i", "index")):
                if gap in gaps:
                    fills[gap] = self.partner(a, of)
            fills |= {"d": self.axis(a), "e": self.axis(a), "u": self.rng.randint(0, self.worlds.rank(a))}
            fills["s"] = self.scalar(self.worlds.dtype(a))
        fills |= {"p": self.rng.choice([0.25, 0.5, 1.5, 3.0]), "k": self.rng.randint(1, 3)}
        if any(fills.get(gap) is None for gap in gaps):
            return None
        used = [str(fills[gap]) for gap in ("a", "b", "c") if gap in gaps]
        if exact and any(name in self.rounded for name in used):
            return None
        return op.code.format(**fills)

    def scalar(self, dtype: torch.dtype) -> str:
        """A number that a value of that dtype may be computed with."""
        if dtype is torch.bool:
            return self.rng.choice(["True", "False"])
        if not dtype.is_floating_point:
            return str(self.rng.choice([0, 1, 2, 3, 5, 7] + ([-1, -3] if dtype.is_signed else [])))
        odd = ["float('inf')", "float('-inf')", "float('nan')", "0.0", "-0.0"] if self.limits.odd else []
        return self.rng.choice(["0.5", "-1.25", "2.0", "0.125", "-0.75", "1", "3", *odd])

    def add(self, op: Op) -> bool:
        """Put the op's line behind the others, if it can be filled in and gives what is allowed."""
        if self.limits.exact and not op.exact:
            return False
        code = self.filled(op)
        if code is None:
            return False
        values = self.worlds.computed(code)
        if values is None:
            if op.writes:
                raise SpoiledError
            return False
        if not all(self._allowed(value) for value in values):
            if op.writes:
                raise SpoiledError
            return False
        name = f"v{len(self.steps)}"
        self.worlds.put(name, values)
        step = Step(name, code, op.writes)
        self.steps.append(step)
        self.names.append(name)
        if not op.exact or any(read in self.rounded for read in NAME.findall(code)):
            self.rounded.add(name)
            if op.writes:
                self.rounded |= {other for other in self.names if self._share(other, name)}
        return True

    def _allowed(self, value: torch.Tensor) -> bool:
        if value.dtype not in CLASSES["any"]:
            return False
        if not value.is_floating_point() or self.limits.odd:
            return True
        return bool(value.isfinite().all()) and bool((value.abs() < 1000).all())

    def _share(self, a: str, b: str) -> bool:
        one, other = self.worlds.of(a)[0], self.worlds.of(b)[0]
        return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


class SpoiledError(Exception):
    """A line was refused when it had written already: the program is drawn anew."""
