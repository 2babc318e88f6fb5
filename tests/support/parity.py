"""Parity with torch: a case is a function and inputs, a batch the cases of one test module.

A test module says `PARITY = Batch(CASES)`, and its tests take the fixture `parity`, which is that batch:

    @pytest.mark.parametrize("id", ids(CASES))
    def test_equals_torch(parity: Batch, id: str) -> None:
        parity.check(id)

Each case goes the graph road (capture → lower), and many of them are compiled in one MAX module, those of
other test modules too: see `tests.support.together`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch

import fxmax
from fxmax.compiled import Compiled
from fxmax.frontend.capture import Captured, capture
from fxmax.frontend.options import Options
from fxmax.lowered import Lowered
from fxmax.lowering.lowered_graph import Shared
from fxmax.lowering.walk import lower
from tests.support import together

DEVICE = os.environ.get("FXMAX_TEST_DEVICE", "cpu")  # of the cases; `gpu` where there is one


class Fn(torch.nn.Module):
    """A function as a module, so that torch.export takes it."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__()
        self.forward = fn  # with its own parameters, which dynamic_shapes follows


@dataclass(eq=False)
class Case:
    """`fn(*inputs)` on MAX against torch. `tolerance` is max abs error over the output's scale."""

    id: str
    fn: Callable[..., Any] | torch.nn.Module
    inputs: Sequence[Any]
    tolerance: float = 1e-5
    dynamic_shapes: Any = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False  # only with -m slow: many kernels to compile, and others stand for it
    table: fxmax.RuleTable | None = None  # the default one
    passes: Sequence[str] | None = None  # all

    @cached_property
    def module(self) -> torch.nn.Module:
        """What is captured, in eval mode."""
        module = self.fn if isinstance(self.fn, torch.nn.Module) else Fn(self.fn)
        return module.eval()

    @cached_property
    def captured(self) -> Captured:
        """The exported program, at the level of the table."""
        return capture(
            self.module,
            tuple(self.inputs),
            self.kwargs,
            dynamic_shapes=self.dynamic_shapes,
            options=Options.resolve(table=self.table, passes=self.passes, device=DEVICE),
        )

    def lowered(self, name: str, shared: Shared) -> Lowered:
        """Its graph in a module that several cases share."""
        self.captured.name = name
        return Lowered.of(lower(self.captured, shared))


class Batch:
    """Cases by id. One is compiled at its first use, together with what else this run wants compiled."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = {case.id: case for case in cases}
        assert len(self.cases) == len(cases), "two cases have one id"

    def compiled(self, id: str) -> Compiled:
        """The case on MAX.

        Raises:
            FxmaxError: this case can't be captured, lowered or compiled; others are not affected.
        """
        case = self.cases[id]
        return together.compiled(case, or_with=[c for c in self.cases.values() if c.slow == case.slow])

    def __getitem__(self, id: str) -> Compiled:
        return self.compiled(id)

    def check(self, id: str, *inputs: torch.Tensor) -> None:
        """Run the case (on other inputs, if given) on MAX and in torch, and compare."""
        case = self.cases[id]
        given = inputs or tuple(case.inputs)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = case.module(*[x.clone() for x in given], **case.kwargs)
        assert_same(self.compiled(id)(*given, **case.kwargs), expected, case.tolerance)

    def check_kernel(self, id: str) -> None:
        """`check`, and that a kernel of ours did it."""
        self.check(id)
        if DEVICE != "cpu":
            return  # the kernels are the CPU's
        ops = self.compiled(id).report.ops()
        assert any(op.startswith("fxmax.") for op in ops), f"no kernel of ours ran: {ops}"


def assert_same(actual: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Same structure, dtype and shape; NaN and infinities in the same places; the rest close.

    Integers and bools must be equal; floats may differ by `tolerance` times the output's scale.
    """
    if isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_same(a, e, tolerance)
        return
    if not isinstance(expected, torch.Tensor):
        assert actual == expected
        return
    assert actual.dtype == expected.dtype, f"{actual.dtype}, torch has {expected.dtype}"
    assert actual.shape == expected.shape, f"{actual.shape}, torch has {expected.shape}"
    a, e = (
        x.detach().double().numpy() if x.dtype.is_floating_point else x.numpy() for x in (actual, expected)
    )
    if not expected.dtype.is_floating_point:
        np.testing.assert_array_equal(a, e)
        return
    np.testing.assert_array_equal(np.isnan(a), np.isnan(e), err_msg="NaN in other places")
    finite = np.isfinite(e)
    np.testing.assert_array_equal(a[~finite & ~np.isnan(e)], e[~finite & ~np.isnan(e)])
    if finite.any():
        scale = max(1.0, float(np.abs(e[finite]).max()))
        error = float(np.abs(a[finite] - e[finite]).max())
        assert error <= tolerance * scale, f"max abs error {error:.3g} at scale {scale:.3g}"


def ids(cases: Sequence[Case]) -> list[Any]:
    """The cases' ids for `pytest.mark.parametrize`, the slow ones marked."""
    return [pytest.param(c.id, marks=[pytest.mark.slow] if c.slow else []) for c in cases]
