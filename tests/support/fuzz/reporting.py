"""What a run of random programs says: counts by kind, and each find as a repro to paste."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch

import fxmax
from tests.support.fuzz.program import Program
from tests.support.fuzz.running import Result


@dataclass
class Tally:
    """Counts, by kind of program and outcome; and the ops that rules lowered."""

    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    ops: set[str] = field(default_factory=set)

    def add(self, results: list[Result]) -> None:
        """Count what became of some programs."""
        for result in results:
            counts = self.kinds.setdefault(result.program.kind, Counter())
            counts.update(["run", result.status])
            if result.status == "refused":
                self.refused[result.error] += 1
            if result.status == "found":
                self.found[result.error] += 1
            self.ops |= result.ops

    @property
    def total(self) -> Counter[str]:
        """Of all kinds."""
        return sum(self.kinds.values(), Counter[str]())

    def never_drawn(self) -> list[str]:
        """Ops that have a rule, and that no program had."""
        return sorted({str(op) for op in fxmax.default_table()} - self.ops)

    def text(self) -> str:
        """The summary, a kind a line."""
        lines = [f"{'kind':12} {'run':>6} {'compared':>9} {'refused':>8} {'found':>6}"]
        for kind, counts in [*sorted(self.kinds.items()), ("all", self.total)]:
            run, compared, refused, found = (counts[c] for c in ("run", "compared", "refused", "found"))
            lines.append(f"{kind:12} {run:6} {compared:9} {refused:8} {found:6}")
        lines += [f"refused {count:4} × {error}" for error, count in self.refused.most_common()]
        lines += [f"found {count:6} × {error}" for error, count in self.found.most_common()]
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        """The same, for scripts."""
        return {
            "kinds": {kind: dict(counts) for kind, counts in self.kinds.items()},
            "refused": dict(self.refused),
            "found": dict(self.found),
            "never_drawn": self.never_drawn(),
        }


def literal(value: torch.Tensor) -> str:
    """The tensor as Python that makes it."""
    made = f"torch.tensor({value.tolist()}, dtype={value.dtype})"
    return f"{made}.reshape({tuple(value.shape)})" if value.numel() == 0 else made


def repro(result: Result) -> str:
    """A program to paste: the module, its inputs, and MAX's results beside torch's."""
    program = result.program
    state = {name: literal(value) for name, value in program.state().items()}
    example = program.data()
    tensors = [x for x in result.inputs if isinstance(x, torch.Tensor)]
    other = tensors if len(tensors) == len(example) else list(example)
    lines = [
        f"# {program.name}: {result.error}",
        *(f"# {line}" for line in result.text.splitlines()[:4]),
        "from math import inf, nan", "import torch", "from torch import nn",
        "from torch.nn import functional as F",
        "import fxmax", "", "", program.source(state), "",
        f"example = ({''.join(f'{literal(x)}, ' for x in example)})",
        f"given = ({''.join(f'{literal(x)}, ' for x in other)})",
    ]  # fmt: skip
    dims = ""
    if program.sizes:
        for letter, size in program.sizes.items():
            lines.append(f'{letter} = torch.export.Dim("{letter}", min={size.least}, max=64)')
        axes = ({a: d for a, d in enumerate(i.dims) if isinstance(d, str)} for i in program.inputs)
        shapes = ", ".join("{" + ", ".join(f"{a}: {d}" for a, d in of.items()) + "}" for of in axes)
        dims = f", dynamic_shapes=({shapes},)"
    if program.modules:
        lines += _compiled(program)
    else:
        lines += [
            f'compiled = fxmax.lower(Program().eval(), example{dims}, device="cpu", check=False)',
            'print("MAX:  ", compiled(*[x.clone() for x in given]))',
            'print("torch:", Program().eval()(*[x.clone() for x in given]))',
        ]
    return "\n".join(lines)


def _compiled(program: Program) -> list[str]:
    """A call through torch.compile. All of its modules have the weights of the first here."""
    options = '{"check": False}'
    return [
        f"modules = [Program().eval() for _ in range({program.modules})]",
        "function = lambda *inputs: [module(*inputs) for module in [*modules, modules[0]]]",
        "with torch.no_grad():",
        f'    compiled = torch.compile(function, backend="fxmax", options={options})',
        '    print("MAX:  ", compiled(*[x.clone() for x in given]))',
        '    print("torch:", function(*[x.clone() for x in given]))',
    ]
