"""Op parity, many cases to one compile.

A test module lists its cases; its `parity` fixture lowers them all on the graph road (capture →
lower), compiles them together in one `max.graph.Module` (about a second a case cold, a tenth
warm, where one compile a case takes twenty), and each test then compares one case with torch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from max.graph import Module

import fxmax
from fxmax.compiled import Compiled, compile_module
from fxmax.errors import FxmaxError
from fxmax.frontend.capture import capture
from fxmax.frontend.options import Options
from fxmax.lowered import Lowered
from fxmax.lowering.lowered_graph import Shared
from fxmax.lowering.walk import lower

DEVICE = os.environ.get("FXMAX_TEST_DEVICE", "cpu")  # of the cases; `gpu` where there is one


class Fn(torch.nn.Module):
    """A function as a module, so that torch.export takes it."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__()
        self.forward = fn  # with its own parameters, which dynamic_shapes follows


@dataclass
class Case:
    """`fn(*inputs)` on MAX against torch. `tolerance` is max abs error over the output's scale."""

    id: str
    fn: Callable[..., Any] | torch.nn.Module
    inputs: Sequence[torch.Tensor]
    tolerance: float = 1e-5
    dynamic_shapes: Any = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False  # only with -m slow: many kernels to compile, and others stand for it

    @property
    def module(self) -> torch.nn.Module:
        module = self.fn if isinstance(self.fn, torch.nn.Module) else Fn(self.fn)
        return module.eval()


class Batch:
    """Compiles its cases on first use, all at once; a case that can't be lowered fails alone.

    So does a case that MAX can't compile, which fails the whole module: the module is then halved,
    and the halves too, until only the culprits are apart.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = {f"case{i}": case for i, case in enumerate(cases)}
        self.names = {case.id: name for name, case in self.cases.items()}
        assert len(self.names) == len(cases), "two cases have one id"
        self.errors: dict[str, Exception] = {}
        # The slow cases are apart.
        groups = [[n for n, case in self.cases.items() if case.slow == slow] for slow in (False, True)]
        self._group = {name: i for i, group in enumerate(groups) for name in group}
        self._groups = groups
        self._compiled: dict[int, dict[str, Compiled]] = {}

    def compiled(self, id: str) -> Compiled:
        name = self.names[id]
        group = self._group[name]
        if group not in self._compiled:
            self._compiled[group] = self._compile(self._groups[group])
        if name in self.errors:
            raise self.errors[name]
        return self._compiled[group][name]

    def _compile(self, names: Sequence[str]) -> dict[str, Compiled]:
        options, shared, lowered = Options.resolve(device=DEVICE), Shared(Module()), {}
        for name in names:
            case = self.cases[name]
            try:
                captured = capture(
                    case.module,
                    tuple(case.inputs),
                    case.kwargs,
                    dynamic_shapes=case.dynamic_shapes,
                    options=options,
                )
                report = lower(captured).report  # gaps must not reach the module
                if report.gaps:
                    raise fxmax.LoweringError(report)
                captured.name = name
                lowered[name] = Lowered.of(lower(captured, shared))
            except Exception as error:  # noqa: BLE001 - raised again where the case is asked for
                self.errors[name] = error
        if not lowered:
            return {}
        try:
            return compile_module(shared.module, lowered, strict=False)
        except (FxmaxError, ValueError) as error:
            left = list(lowered)
            if len(left) == 1:
                self.errors[left[0]] = error
                return {}
            half = len(left) // 2
            return self._compile(left[:half]) | self._compile(left[half:])

    def check(self, id: str, *inputs: torch.Tensor) -> None:
        """Run the case (on other inputs, if given) on MAX and in torch, and compare."""
        case = self.cases[self.names[id]]
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


def parity_fixture(cases: Sequence[Case]) -> Any:
    """A module-scoped fixture with these cases compiled together; the slow ones apart from the others."""
    batch = Batch(cases)

    @pytest.fixture(scope="module")
    def parity() -> Batch:
        return batch

    return parity
