"""Where each node goes in the picture: one row a generation of the graph, modules as boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fxmax.viewer.data import Node

WIDTH, HEIGHT = 190, 26  # of a node, in px
COLUMN, ROW = 214, 44


@dataclass(frozen=True)
class Placed:
    """A node with the top left corner of its box, and what is written in it."""

    record: Node
    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Group:
    """The box around the nodes of a module."""

    path: str
    name: str  # what is written beside it
    depth: int
    x: float
    y: float
    width: float
    height: float


@dataclass
class Picture:
    """Everything to draw, in px."""

    nodes: list[Placed] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)  # SVG paths
    groups: list[Group] = field(default_factory=list)
    width: float = 0
    height: float = 0


def lay_out(records: Sequence[Node]) -> Picture:
    """A layered drawing: each node below all that feed it, near the middle of them."""
    import networkx as nx  # here, since a report must be read where only the runtime is installed

    graph = nx.DiGraph()
    graph.add_nodes_from(r.name for r in records)
    graph.add_edges_from((i, r.name) for r in records for i in r.inputs if i in graph)
    order = {r.name: i for i, r in enumerate(records)}
    column: dict[str, float] = {}
    row: dict[str, int] = {}
    for level, generation in enumerate(nx.topological_generations(graph)):
        wanted = {n: _middle([column[p] for p in graph.pred[n]]) for n in generation}
        placed = sorted(generation, key=lambda n: (wanted[n], order[n]))
        _spread(placed, wanted, column)
        row |= dict.fromkeys(placed, level)
    left = min(column.values(), default=0)
    picture = Picture()
    at: dict[str, tuple[float, float]] = {
        n: (30 + (column[n] - left) * COLUMN, 30 + row[n] * ROW) for n in graph
    }
    picture.nodes = [Placed(r, *at[r.name], _label(r)) for r in records]
    picture.edges = [_curve(at[a], at[b]) for a, b in graph.edges]
    picture.groups = _groups(records, at)
    picture.width = max([x for x, _ in at.values()], default=0) + COLUMN + 90  # and the boxes' names
    picture.height = max([y for _, y in at.values()], default=0) + ROW + 30
    return picture


def _middle(columns: list[float]) -> float:
    return sum(columns) / len(columns) if columns else 0.0


def _spread(names: list[str], wanted: dict[str, float], column: dict[str, float]) -> None:
    """At least one column apart, and together where they want to be on average."""
    at: list[float] = []
    for name in names:
        at.append(wanted[name] if not at else max(wanted[name], at[-1] + 1))
    shift = sum(a - wanted[n] for a, n in zip(at, names, strict=True)) / len(names)
    column |= {name: a - shift for name, a in zip(names, at, strict=True)}


def _label(record: Node) -> str:
    op = record.op.removeprefix("aten.").rpartition(".")[0] or record.op
    return op if len(op) < 26 else f"{op[:24]}…"


def _curve(a: tuple[float, float], b: tuple[float, float]) -> str:
    x1, y1, x2, y2 = a[0] + WIDTH / 2, a[1] + HEIGHT, b[0] + WIDTH / 2, b[1]
    bend = min(60.0, (y2 - y1) / 2)
    return f"M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"


def _groups(records: Sequence[Node], at: dict[str, tuple[float, float]]) -> list[Group]:
    """One box a module, outer ones first."""
    members: dict[str, list[tuple[float, float]]] = {}
    for r in records:
        parts = r.path.split(".") if r.path else []
        for i in range(1, len(parts) + 1):
            members.setdefault(".".join(parts[:i]), []).append(at[r.name])
    groups = []
    for path, places in sorted(members.items(), key=lambda item: item[0].count(".")):
        depth = path.count(".")
        edge = max(3, 12 - 3 * depth)
        x, y = min(p[0] for p in places) - edge, min(p[1] for p in places) - edge
        right, low = max(p[0] for p in places) + WIDTH + edge, max(p[1] for p in places) + HEIGHT + edge
        groups.append(Group(path, _name(path), depth, x, y, right - x, low - y))
    return groups


def _name(path: str) -> str:
    """The last part of a path, with the one before it where it is a number."""
    parts = path.split(".")
    return ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])
