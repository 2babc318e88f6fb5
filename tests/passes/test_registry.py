"""The registry: what passes say of themselves is true, and their order follows from it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from graphlib import CycleError
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import fxmax
from fxmax.passes import PASSES
from fxmax.passes.registry import REGISTERED, Pass, in_order
from tests.support.rewritable import Attention, Cache, Residual, Residuals, Rotary, Stem
from tests.support.rewritten import Rewritten, rewritten, run_one_by_one
from tests.support.torch_versions import NUMBER_AS_INDEX

aten = torch.ops.aten


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(7, 9))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T


torch.manual_seed(0)
X = torch.randn(2, 7, 12)
MODULES: dict[str, tuple[Any, list[torch.Tensor]]] = {
    "attention": (Attention(), [X]),
    "cache": (Cache(), [torch.randn(1, 2, 3, 4)]),
    "convolutions": (Residuals(), [torch.randn(2, 3, 5, 7)]),
    "item": (
        lambda x, i: (x[i[0]] if NUMBER_AS_INDEX else x) * i[1].item(),
        [torch.randn(3, 4), torch.tensor([2, 1])],
    ),
    "masked": (lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), [torch.randn(1, 2, 5, 4)]),
    "residual": (Residual(), [torch.randn(3, 6)]),
    "rotary": (Rotary(True), [torch.randn(2, 5, 3, 8)]),
    "scores": (lambda q, k: (q @ k.mT).softmax(-1) @ k, [torch.randn(2, 5, 4), torch.randn(2, 7, 4)]),
    "stem": (Stem(), [torch.randn(2, 5, 11)]),
    "tied": (Tied(), [torch.randn(3, 9)]),
}


def test_every_pass_opens_with_its_formula() -> None:
    assert [name for name, p in PASSES.items() if "→" not in p.formula] == []


def test_the_order_follows_from_what_each_pass_runs_after() -> None:
    names = list(PASSES)
    for name, one in PASSES.items():
        for earlier in one.after:
            assert names.index(earlier) < names.index(name)
    backwards = dict(reversed(REGISTERED.items()))
    assert list(in_order(backwards)) == names


def test_passes_that_follow_each_other_have_no_order() -> None:
    def one(name: str, after: str) -> Pass:
        return Pass(name, lambda r: None, frozenset(), (), (after,))

    with pytest.raises(CycleError):
        in_order({"a": one("a", "b"), "b": one("b", "a")})
    with pytest.raises(KeyError):
        in_order({"a": one("a", "none such")})


def test_passes_take_and_make_only_what_they_say() -> None:
    """And each changes one of the modules, so that none of them is judged by what it does not do."""
    changed = set()
    for module, inputs in MODULES.values():
        for name, (before, after) in run_one_by_one(module, *inputs).items():
            one = PASSES[name]
            gone = {op for op in before if after[op] < before[op] and isinstance(op, torch._ops.OpOverload)}
            new = {op for op in after if after[op] > before[op]}
            assert gone <= one.replaces, (name, gone - one.replaces)
            assert new <= {*one.emits, *one.replaces}, (name, new - set(one.emits))
            if gone or new:
                changed.add(name)
    assert set(PASSES) - changed <= {"drop_asserts", "strassen"}  # see their own tests


@functools.cache
def whole(module: str) -> Rewritten:
    """The module after all passes."""
    function, inputs = MODULES[module]
    return rewritten(function, *inputs)


def without(name: str, module: str) -> None:
    function, inputs = MODULES[module]
    seen = rewritten(function, *inputs, passes=[p for p in PASSES if p != name])
    assert not seen.passes[name].ran
    assert seen.passes[name].skipped == "passes= does not name it"


@pytest.mark.parametrize("name", PASSES)
def test_each_pass_can_be_left_out(name: str) -> None:
    """Where it changes something; `drop_asserts` and `strassen` are left out of the smallest module."""
    for module in [m for m in MODULES if whole(m).changes(name)] or ["residual"]:
        without(name, module)


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("name", PASSES)
def test_each_pass_can_be_left_out_of_any_module(name: str, module: str) -> None:
    without(name, module)


def test_an_unknown_pass_is_refused() -> None:
    with pytest.raises(fxmax.FxmaxError, match="no such pass: fuse_everything"):
        rewritten(Residual(), torch.randn(3, 6), passes=["fuse_everything"])


# -- rules of the user's ------------------------------------------------------------------------------


def with_rule(op: Any, fn: Callable[..., Any] | None) -> fxmax.RuleTable:
    table = fxmax.RuleTable(parent=fxmax.default_table())
    if fn is None:
        table._rules.pop(op)
    else:
        table.rule(op, override=True)(fn)
    return table


def test_a_rule_of_your_own_is_not_passed_over() -> None:
    table = with_rule(aten.linear.default, lambda ctx, input, weight, bias: input)
    seen = rewritten(Residual(), torch.randn(3, 6), table=table)
    assert seen.ops.count("aten.linear.default") == 2
    [(by, why)] = seen.reasons
    assert by == "fuse_linear"
    assert why.startswith("aten.linear.default has a rule of your own, at ")
    assert "test_registry.py:" in why


def test_a_rule_of_your_own_for_one_platform_is_not_passed_over_either() -> None:
    table = fxmax.RuleTable(parent=fxmax.default_table())
    table.rule(aten.linear.default, platform="gpu")(lambda ctx, input, weight, bias: input)
    seen = rewritten(Residual(), torch.randn(3, 6), table=table)
    assert seen.ops.count("aten.linear.default") == 2


def test_a_rule_of_your_own_for_what_follows_leaves_the_rest_fused() -> None:
    table = with_rule(aten.gelu.default, lambda ctx, self, approximate: self)
    seen = rewritten(Residual(), torch.randn(3, 6), table=table)
    assert seen.ops == ["fxmax.linear.default", "aten.gelu.default", "fxmax.linear.default"]
    assert {by for by, _ in seen.reasons} == {"fuse_linear", "strassen"}


def test_a_rule_that_wraps_fxmaxs_is_your_own() -> None:
    right = fxmax.default_table()[aten.gelu.default].fn

    @functools.wraps(right)
    def wrapped(ctx: Any, self: Any, approximate: str) -> Any:
        return right(ctx, self, approximate)

    seen = rewritten(Residual(), torch.randn(3, 6), table=with_rule(aten.gelu.default, wrapped))
    assert "aten.gelu.default" in seen.ops


def test_a_rule_of_your_own_lowers_what_a_pass_makes() -> None:
    def mine(ctx: Any, input: Any, weight: Any, bias: Any, residual: Any, act: Any, strassen: Any) -> Any:
        return input

    table = with_rule(torch.ops.fxmax.linear.default, mine)
    assert rewritten(Residual(), torch.randn(3, 6), table=table).ops == ["fxmax.linear.default"] * 2


def test_without_a_rule_for_what_it_makes_a_pass_does_not_run() -> None:
    table = with_rule(torch.ops.fxmax.linear.default, None)
    seen = rewritten(Residual(), torch.randn(3, 6), table=table)
    assert not seen.passes["fuse_linear"].ran
    assert seen.passes["fuse_linear"].skipped == (
        "it makes fxmax.linear.default, which the table has no rule for"
    )
    assert "fxmax.linear.default" not in seen.ops


# -- what ran, on the encoder and in the report ----------------------------------------------------------


@pytest.mark.parametrize(
    ("sdpa", "changes"),
    [
        (
            True,
            {"attention_layout": 4, "conv_layout": 2, "fold_permutes": 14, "fuse_linear": 38, "strassen": 24},
        ),
        (
            False,
            {"conv_layout": 2, "matmul_transposed": 4, "fold_permutes": 6, "fuse_linear": 38, "strassen": 24},
        ),
    ],
    ids=["sdpa", "written out"],
)
def test_the_passes_that_change_whispers_encoder(sdpa: bool, changes: dict[str, int]) -> None:
    from whisper_port.checkpoints import meta_checkpoint
    from whisper_port.modules.encoder import lower_encoder_dry

    report = lower_encoder_dry(meta_checkpoint("tiny.en").dims, sdpa=sdpa, quiet=True).report
    assert [p.name for p in report.passes if p.ran] == list(PASSES)
    assert {p.name: p.changes for p in report.passes if p.changes} == changes
    assert report.skipped == []


def test_the_report_says_why_a_node_was_not_fused() -> None:
    class Computed(nn.Module):
        def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            return F.linear(x, w.exp())

    report = fxmax.explain(Computed(), (torch.randn(3, 6), torch.randn(4, 6)), device="cpu", quiet=True)
    why = "fuse_linear left it: its weight is computed in the graph, not a parameter of the module"
    assert report.why("linear").splitlines()[1] == f"  {why}"
    assert report.to_dict()["skipped"][0]["node"] == "linear"
    assert report.to_dict()["passes"][0]["name"] == "drop_asserts"
    assert "fuse_linear 1" in report.text()
    assert why not in report.text()
    assert f"linear: {why}" in report.text(verbose=True)
    with pytest.raises(fxmax.FxmaxError, match="did you mean linear"):
        report.why("linaer")


def test_the_report_answers_for_a_module_too() -> None:
    report = fxmax.explain(Residual(), (torch.randn(3, 6),), device="cpu", quiet=True)
    lines = report.why("up").splitlines()
    assert "fxmax.linear.default in up, lowered by rules/fused_linear.py" in lines[0]
    assert lines[1] == "  strassen left it: it has fewer than 256 rows, features in or features out: " + (
        "too few to gain"
    )
