"""Rules with one fault, at one node: what `fxmax.verify` has to find."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from max.graph import ops

import fxmax
from fxmax.frontend.capture import capture
from fxmax.frontend.options import Options
from fxmax.lowered import Lowered
from fxmax.lowering.lowered_graph import Shared
from fxmax.verification import Verification, Verifier
from tests.support import together

aten = torch.ops.aten
CLEAN = "clean"
Wrong = Callable[..., Any]  # (ctx, the right rule, **arguments) -> a wrong result


@dataclass
class Fault:
    """The `nth` node of `target` (from 0) is lowered by `wrong`."""

    id: str
    target: Any
    nth: int
    wrong: Wrong


def table_with(fault: Fault, node: str) -> fxmax.RuleTable:
    """The default rules, with the fault at `node`."""
    table = fxmax.RuleTable(parent=fxmax.default_table())
    right = table[fault.target]

    @functools.wraps(right.fn)
    def rule(ctx, **arguments):
        if ctx.node.name == node:
            return fault.wrong(ctx, functools.partial(right.fn, ctx), **arguments)
        return right.fn(ctx, **arguments)

    table.rule(fault.target, override=True, prepack=right.prepack)(rule)
    return table


class Planted:
    """A model lowered with a fault, or with none: one of the graphs that compile together."""

    slow = False

    def __init__(self, suite: Suite, fault: Fault | None) -> None:
        self.suite, self.fault = suite, fault
        self.node = ""  # where the fault is, once it is lowered

    def lowered(self, name: str, shared: Shared) -> Lowered:
        """Its graph in the module that several share, with taps."""
        options = Options.resolve(device="cpu", passes=self.suite.passes)
        captured = capture(self.suite.module, self.suite.inputs, options=options)
        captured.name = name
        if self.fault is not None:
            nodes = [n.name for n in captured.program.graph.nodes if n.target == self.fault.target]
            self.node = nodes[self.fault.nth]
            captured.options = replace(options, table=table_with(self.fault, self.node))
        self._verifier = Verifier(captured, shared=shared)
        return self._verifier.lowered

    @property
    def verifier(self) -> Verifier:
        """What compares it with torch."""
        compiled = together.compiled(self, or_with=list(self.suite.cases.values()))
        self._verifier.compiled = compiled
        return self._verifier


class Suite:
    """One model, clean and with each fault. `CLEAN` and the faults' ids name its cases."""

    def __init__(
        self,
        module: torch.nn.Module,
        draw: Callable[[], tuple[Any, ...]],
        faults: Sequence[Fault],
        passes: Sequence[str] | None = ("drop_asserts",),  # without them, all ops are aten's
    ) -> None:
        self.passes = passes
        self.module, self.draw, self.faults = module.eval(), draw, {f.id: f for f in faults}
        self.cases = {CLEAN: Planted(self, None)} | {f.id: Planted(self, f) for f in faults}

    @functools.cached_property
    def inputs(self) -> tuple[Any, ...]:
        """What it is lowered for."""
        torch.manual_seed(0)
        return self.draw()

    def verify(self, id: str, seed: int = 0, reference: str = "float32") -> Verification:
        torch.manual_seed(seed)
        return self.cases[id].verifier(self.draw(), reference=reference)

    def check_found(self, id: str) -> None:
        """The first divergent node is the planted one, and only what it fed is off."""
        for reference in ("float32", "float64"):
            found = self.verify(id, reference=reference).first_divergent
            assert found is not None, f"{id} at {self.cases[id].node} was not found"
            assert found.name == self.cases[id].node, f"planted at {self.cases[id].node}:\n{found}"

    def check_clean(self, seed: int) -> None:
        for reference in ("float32", "float64"):
            result = self.verify(CLEAN, seed, reference)
            assert result.ok, str(result)
            assert result.outputs


# -- faults ---------------------------------------------------------------------------------------


def no_bias(ctx, right, bias, **arguments):
    assert bias is not None
    return right(bias=None, **arguments)


def transposed_weight(ctx, right, weight, **arguments):
    return right(weight=ops.transpose(weight, 0, 1), **arguments)


def tanh_gelu(ctx, right, self, approximate):
    return right(self=self, approximate="tanh")


def small_eps(ctx, right, eps, **arguments):
    assert eps == 1e-5
    return right(eps=1e-6, **arguments)


def skipped(ctx, right, input, **arguments):
    return input


def wrong_scale(ctx, right, query, scale, **arguments):
    return right(query=query, scale=1 / int(query.shape[-1]), **arguments)


def swapped_query_axes(ctx, right, query, **arguments):
    """Head and position axes swapped in memory: the shape is right."""
    mixed = ops.reshape(ops.permute(query, [0, 2, 1, 3]), query.shape)
    return right(query=mixed, **arguments)


def reshaped(ctx, right, self, **arguments):
    """A reshape where the axes should be permuted."""
    return ops.reshape(self, ctx.out.shape)


def bfloat16_rounded(ctx, right, **arguments):
    """8 bits of mantissa are kept, by Veltkamp's splitting: MAX has no bfloat16 on the CPU."""
    y = right(**arguments)
    high = y * ctx.constant(2.0**16 + 1, y.dtype)
    return high - (high - y)


def tanh_act(ctx, right, act, **arguments):
    assert act == "gelu"
    return right(act="gelu_tanh", **arguments)


def no_residual(ctx, right, residual, **arguments):
    assert residual is not None
    return right(residual=None, **arguments)


def halved(ctx, right, **arguments):
    return right(**arguments) * ctx.constant(0.5, ctx.out.dtype)


def wrong_padding(ctx, right, padding, **arguments):
    """One row more before and one fewer after."""
    y = right(padding=padding, **arguments)
    axis = y.rank - 1
    last = [slice(None)] * axis + [slice(-1, None)]
    rest = [slice(None)] * axis + [slice(0, -1)]
    return ops.concat([y[tuple(last)], y[tuple(rest)]], axis)
