"""A graph lowered with taps: run it and torch on the same inputs, and compare node by node."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import torch

from fxmax.compiled import Compiled, compile_lowered
from fxmax.core.types import coarsest
from fxmax.core.weights import Weights
from fxmax.errors import FxmaxError, LoweringError
from fxmax.frontend.capture import Captured
from fxmax.fx.torch_private import pytree
from fxmax.verification.distance import check_node, distance
from fxmax.verification.reference import Walks, given_inputs, lifted, placeholders, reference_walk
from fxmax.verification.result import Input, NodeCheck, Verification
from fxmax.verification.taps import lower_tapped, run_tapped, tappable

Level = Literal["node", "module"]
REFERENCES = {"float32": torch.float32, "float64": torch.float64}
COMPILING = "MAX is compiling the graph with its taps; a first compile takes minutes, later ones seconds"
HIDDEN = (
    "the graph is wrong only without taps, which keep MAX from fusing across the nodes they watch: "
    "bisect=True finds where"
)


class Verifier:
    """A graph with its taps; once compiled, it can be called with many inputs.

    Several verifiers of one `Shared` module compile together: lower them, `compile_module` their
    `lowered`, and give each its `Compiled` as `compiled`.
    """

    def __init__(
        self,
        captured: Captured,
        *,
        level: Level = "node",
        taps: Iterable[str] | None = None,
        original: Weights | None = None,
        shared: Any = None,
    ) -> None:
        self.captured, self.level, self.device = captured, level, captured.options.device
        chosen = tappable(captured, level) if taps is None else set(taps)
        self.taps = [n.name for n in captured.program.graph.nodes if n.name in chosen]
        self.lowered = lower_tapped(captured, self.taps, shared)
        if self.lowered.report.gaps:
            raise LoweringError(self.lowered.report)
        self.original = self.lowered.weights if original is None else original
        self.compiled: Compiled | None = None
        self.unwatched: Compiled | None = None  # the graph without taps: its outputs are compared too

    def compile(self, held: Weights | None = None) -> Compiled:
        """Compile, with the values of `held` (default: those of the module that was lowered)."""
        weights = self.lowered.weights
        values = self.original.values if held is None else held.values
        weights = Weights(weights.specs, values, weights.aliases, weights.slots, weights.states)
        self.compiled = compile_lowered(self.lowered, weights, strict=False)
        return self.compiled

    def __call__(
        self, args: Any = (), kwargs: Mapping[str, Any] | None = None, *, reference: str = "float32"
    ) -> Verification:
        """Run MAX and torch on these inputs and compare.

        Raises:
            InputError: they don't fit the signature.
        """
        check_options(self.level, reference)
        assert self.compiled is not None, "compile first"
        args, named = given_inputs(self.captured, args, kwargs)
        start = time.perf_counter()
        leaves = self.compiled.inputs(*args, **named)
        before = [leaf.clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self.compiled.reset()  # a call may have written the state of the one before
        alone = self._run_unwatched(args, named)
        outputs, tapped = run_tapped(self.compiled, args, named, len(self.taps))
        ran = time.perf_counter()
        seen = {name: value.cpu() for name, value in zip(self.taps, tapped, strict=True)}
        with torch.no_grad():
            nodes, ends, hidden = self._compare(seen, outputs, alone, before, REFERENCES[reference])
        return Verification(
            model=self.captured.name,
            device=str(self.device),
            level=self.level,
            reference=reference,
            nodes=nodes,
            outputs=[*ends, *hidden],
            changed_weights=self._changed(),
            notes=[HIDDEN] * (not any(c.diverges for c in ends) and any(c.diverges for c in hidden)),
            seconds={"max": ran - start, "torch": time.perf_counter() - ran},
            report=self.lowered.report,
        )

    def _run_unwatched(self, args: Any, kwargs: Any) -> list[Any] | None:
        """The flat outputs of the graph without taps, on copies of the inputs, which it may write."""
        if self.unwatched is None:
            return None
        self.unwatched.reset()
        args, kwargs = pytree.tree_map_only((torch.Tensor, np.ndarray), _copy, (args, kwargs))
        return run_tapped(self.unwatched, args, kwargs, 0)[0]

    # -- comparing ------------------------------------------------------------------------------

    def _compare(
        self,
        seen: dict[str, torch.Tensor],
        outputs: list[Any],
        alone: list[Any] | None,
        leaves: list[Any],
        dtype: torch.dtype,
    ) -> tuple[list[NodeCheck], list[NodeCheck], list[NodeCheck]]:
        """(nodes, outputs, outputs of the graph without taps)."""
        program, values = self.captured.program, self.original.by_fqn()
        walks = Walks(
            program, placeholders(program, values, leaves, dtype), seen, dtype, self._roundoff(dtype)
        )
        changed, errors = self._changed(), dict[str, Input]()
        checks, expected = [], dict[str, float]()
        for step in walks.steps():
            name = step.node.name
            fed = tuple(self._fed(n, errors, changed) for n in _feeding(step.node))
            check = check_node(step, lifted(seen[name], torch.float64), fed)
            errors[name] = Input(name, "node", check.max_abs_error, check.relative_error)
            expected[name] = check.expected_error
            checks.append(check)
        if any(c.diverges for c in checks):
            expected = {}  # an output's own tolerance says nothing then
        wanted = self._wanted(leaves, dtype, len(outputs))
        ends = self._ends(outputs, wanted, expected, "output")
        hidden = [] if alone is None else self._ends(alone, wanted, expected, "output without taps")
        return checks, ends, hidden

    def _wanted(self, leaves: list[Any], dtype: torch.dtype, count: int) -> list[Any]:
        """The outputs of the program as torch exported it."""
        exported = self.captured.exported or self.captured.program
        inputs = placeholders(exported, self.original.by_fqn(), leaves, dtype)
        with torch.no_grad():
            flat = list(reference_walk(exported, dtype).run(*inputs))
        return flat[len(flat) - count :]  # mutations come first

    def _ends(
        self, outputs: list[Any], wanted: list[Any], expected: dict[str, float], title: str
    ) -> list[NodeCheck]:
        """The module's own outputs against the program as torch exported it."""
        [end] = [n for n in self.captured.program.graph.nodes if n.op == "output"]
        nodes = end.args[0][len(end.args[0]) - len(outputs) :]
        ends = []
        for i, (actual, result, node) in enumerate(zip(outputs, wanted, nodes, strict=True)):
            if not isinstance(actual, torch.Tensor) or not isinstance(result, torch.Tensor):
                continue
            name = getattr(node, "name", "")
            error, relative, cosine = distance(lifted(actual.cpu(), torch.float64), result.double())
            allowed = expected.get(name, 0.0)
            # Rounding that adds up is a guess by sampling: four times that, or the graph was changed.
            excess = error / max(4 * allowed, 1e-30) if name in expected else 0.0
            ends.append(
                NodeCheck(
                    name=f"{title} {i}" if len(outputs) > 1 else title,
                    op="the graph as torch exported it, before decompositions and passes",
                    path="",
                    source=None,
                    dtype=str(actual.dtype).removeprefix("torch."),
                    shape=tuple(actual.shape),
                    max_abs_error=error,
                    relative_error=relative,
                    cosine=cosine,
                    expected_error=allowed,
                    own_error=error,
                    tolerance=4 * allowed,
                    excess=excess,
                )
            )
        return ends

    def _fed(self, n: torch.fx.Node, errors: dict[str, Input], changed: dict[str, float]) -> Input:
        fqn = self._weight_names().get(n.name)
        if fqn is not None:
            largest = float(self.original.values[fqn].abs().max()) if changed.get(fqn) else 1.0
            return Input(fqn, "weight", changed.get(fqn, 0.0), changed.get(fqn, 0.0) / max(largest, 1e-30))
        if n.op == "placeholder":
            return Input(n.name, "input", 0.0, 0.0)
        return errors.get(n.name, Input(n.name, "node", float("nan"), float("nan")))

    def _weight_names(self) -> dict[str, str]:
        signature = self.captured.program.graph_signature
        names = signature.inputs_to_parameters | signature.inputs_to_buffers
        names |= signature.inputs_to_lifted_tensor_constants
        return {k: self.original.aliases.get(fqn, fqn) for k, fqn in names.items()}

    def _changed(self) -> dict[str, float]:
        """FQN → max abs difference, for weights in use that are not the ones lowered."""
        assert self.compiled is not None
        changed = {}
        for fqn, now in self.compiled.weights.values.items():
            then = self.original.values[fqn]
            if now is not then and not torch.equal(now, then):
                changed[fqn] = float((now.detach().double() - then.detach().double()).abs().max())
        return changed

    def _roundoff(self, dtype: torch.dtype) -> float:
        """Of MAX's widest float here, plus the reference's own."""
        ours = coarsest(self.captured.dtypes(), self.device) or torch.float32
        return (torch.finfo(ours).eps + torch.finfo(dtype).eps) / 2


def _copy(x: Any) -> Any:
    return x.clone() if isinstance(x, torch.Tensor) else x.copy()


def _feeding(n: torch.fx.Node) -> list[torch.fx.Node]:
    return n.args[0].all_input_nodes if n.target is operator.getitem else n.all_input_nodes  # type: ignore


def check_options(level: str, reference: str) -> None:
    """Raise `FxmaxError` for a level or a reference that there is not."""
    if level not in ("node", "module"):
        raise FxmaxError(f"no level {level!r}; use node or module")
    if reference not in REFERENCES:
        raise FxmaxError(f"no reference {reference!r}; use float32 or float64")
