"""The registry of passes: what each one replaces and makes, and after which others it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from torch.export import ExportedProgram

import fxmax.fx.custom_ops  # noqa: F401 - defines the ops that passes name
from fxmax.core.table import RuleTable
from fxmax.fx.torch_private import OpOverload
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.records import PassRecord

PassFn = Callable[[Rewriter], None]


@dataclass(frozen=True)
class Pass:
    """One rewrite of fx graphs.

    Attributes:
        replaces: the ops of which calls may go. Those that a rule of the user's lowers stay, since that
            rule would be passed over.
        emits: the ops that may be put in. Where the table lacks a rule for one, the pass does not run.
        after: the passes that run before it where they run, by name.
    """

    name: str
    run: PassFn
    replaces: frozenset[OpOverload]
    emits: tuple[OpOverload, ...]
    after: tuple[str, ...]

    @property
    def formula(self) -> str:
        """What it does, in one line: the first of its docstring."""
        return (inspect.getdoc(self.run) or "").partition("\n")[0]

    def apply(self, program: ExportedProgram, table: RuleTable) -> PassRecord:
        """Run it on `program`, in place, if `table` can lower what it makes."""
        missing = [str(op) for op in self.emits if op not in table]
        if missing:
            return self.skipped(f"it makes {', '.join(missing)}, which the table has no rule for")
        rewriter = Rewriter(program, table, self.name, self.replaces)
        self.run(rewriter)
        program.graph.eliminate_dead_code()
        return PassRecord(self.name, self.formula, changes=rewriter.changes)

    def skipped(self, reason: str) -> PassRecord:
        """The record of a pass that did not run."""
        return PassRecord(self.name, self.formula, skipped=reason)


REGISTERED: dict[str, Pass] = {}
"""Filled by importing `fxmax.passes`; `fxmax.passes.PASSES` has them in the order they run in."""


def rewrite(
    *, replaces: Iterable[OpOverload], emits: Iterable[OpOverload] = (), after: Iterable[str] = ()
) -> Callable[[PassFn], PassFn]:
    """Decorator: register a function as a pass of its own name. See `Pass`."""

    def register(run: PassFn) -> PassFn:
        name = run.__name__
        assert name not in REGISTERED, f"two passes are called {name}"
        REGISTERED[name] = Pass(name, run, frozenset(replaces), tuple(emits), tuple(after))
        return run

    return register


def in_order(passes: Mapping[str, Pass]) -> dict[str, Pass]:
    """The passes so that each follows those that it names; by name where that leaves a choice.

    Raises:
        graphlib.CycleError: there is no such order.
        KeyError: a pass follows one that there is not.
    """
    sorter = TopologicalSorter({name: passes[name].after for name in passes})
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return {name: passes[name] for name in order}
