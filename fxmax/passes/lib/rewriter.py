"""A program in the hands of one pass: what it may take, what it puts in, and what it leaves and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cached_property

from torch.export import ExportedProgram
from torch.fx import Graph, Node

from fxmax.core.table import RuleTable
from fxmax.fx import edit
from fxmax.fx.torch_private import OpOverload
from fxmax.records import SkippedNode
from fxmax.support.signals import Skip

NOTES = "fxmax_skips"  # in a node's meta: (pass, reason) of each pass that left it, while passes run


class Rewriter:
    """What a pass gets. Notes of nodes that are left stay with the node, or with what replaces it later.

    Attributes:
        program: the program, which is changed in place.
        changes: how many nodes were replaced or erased so far.
    """

    def __init__(
        self, program: ExportedProgram, table: RuleTable, name: str, replaces: Collection[OpOverload]
    ) -> None:
        self.program = program
        self.changes = 0
        self._table, self._name, self._replaces = table, name, replaces

    @property
    def graph(self) -> Graph:
        graph: Graph = self.program.graph
        return graph

    @cached_property
    def weights(self) -> set[str]:
        """Names of the placeholders that are weights of the module."""
        return edit.parameters(self.program)

    @cached_property
    def written_inputs(self) -> set[str]:
        """Names of the placeholders that the module writes to."""
        return edit.mutated_inputs(self.program)

    def is_weight(self, value: object) -> bool:
        """Whether it is a node that stands for a weight."""
        return isinstance(value, Node) and value.name in self.weights

    def calls(self, *targets: OpOverload) -> Iterator[Node]:
        """The nodes that call one of `targets`, in order; the graph may change meanwhile."""
        return edit.calls(self.program, *targets)

    def each(self, targets: Collection[OpOverload], rewrite: Callable[[Rewriter, Node], Node | None]) -> None:
        """Ask `rewrite` of each call of `targets`, in order, what is to stand in its place.

        It returns that; or None for what the pass does not look for, or did already; or raises `Skip`
        for what it looks for and can't take, which the report then says.
        """
        for node in self.calls(*targets):
            try:
                new = rewrite(self, node)
                if new is not None:
                    self.require_ours(node)
                    self.replace(node, new)
            except Skip as reason:
                self.leave(str(reason), node)

    def ours(self, node: Node) -> bool:
        """Whether the pass may do away with `node`: no rule but fxmax's own lowers it."""
        return not self._yours(node)

    def require_ours(self, *nodes: Node) -> None:
        """See `ours`.

        Raises:
            Skip: one of them has a rule of the user's, which would be passed over.
        """
        for node in nodes:
            if reason := self._yours(node):
                raise Skip(reason)

    def _yours(self, node: Node) -> str:
        if not isinstance(node.target, OpOverload) or node.target not in self._replaces:
            return ""
        yours = (rule for rule in self._table.rules_of(node.target) if not rule.builtin)
        return next((f"{node.target} has a rule of your own, at {rule.where}" for rule in yours), "")

    def replace(self, node: Node, new: Node, *absorbed: Node) -> None:
        """Let `new` stand for `node`, and for `absorbed`, which nothing reads any more, latest first."""
        for old in (node, *absorbed):
            for note in old.meta.get(NOTES, ()):
                _note(new, note)
        edit.replace(node, new)
        for old in absorbed:
            self.graph.erase_node(old)
        self.changes += 1

    def erase(self, node: Node) -> None:
        """Let go of a node that nothing reads."""
        self.graph.erase_node(node)
        self.changes += 1

    def leave(self, reason: str, *nodes: Node) -> None:
        """Say in the report why `nodes` stay as they are."""
        for node in nodes:
            _note(node, (self._name, reason))


def _note(node: Node, note: tuple[str, str]) -> None:
    notes = node.meta.setdefault(NOTES, [])
    if note not in notes:
        notes.append(note)


def skipped_nodes(graph: Graph) -> list[SkippedNode]:
    """The notes of the nodes that are there in the end, which are taken off the graph."""
    return [SkippedNode(n.name, by, why) for n in graph.nodes for by, why in n.meta.pop(NOTES, ())]
