"""The proof at compile time: planted miscompiles are refused by name, and what is right passes.

All modules compile in one MAX module. A plant is a rule, a weight or a buffer that is wrong only where the
example, its batch or its sizes would not show it to somebody who looks once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from max.dtype import DType
from max.graph import Module, ops
from torch import Tensor, nn
from torch.nn import functional as F

import fxmax
from fxmax.compiled import Compiled, compile_module
from fxmax.frontend.capture import capture
from fxmax.frontend.options import Options
from fxmax.lowering.walk import Shared, lower
from fxmax.rules import default_table
from fxmax.verification.proof import prove
from tests.support.parity import Fn

aten = torch.ops.aten
torch.manual_seed(0)
N = torch.export.Dim("n", min=1, max=32)
NAN = torch.tensor([1.0, torch.nan, -2.0, torch.inf, 0.5])


@dataclass
class Plant:
    """`wrong(ctx, right, **arguments)` stands for the rule of `target`; None leaves the module as it is."""

    id: str
    fn: Any
    inputs: tuple[Any, ...]
    target: Any = None
    wrong: Callable[..., Any] | None = None
    varies: bool = False  # axis 0 of the first input
    said: str = ""  # what the error has to say
    after: Callable[[Compiled], None] | None = None  # done to the compiled graph
    settings: dict[str, Any] = field(default_factory=dict)


def scaled(ctx: Any, right: Any, **a: Any) -> Any:
    return right(**a) * 1.001


def of_example_size(ctx: Any, right: Any, **a: Any) -> Any:
    """Right only where axis 0 has six elements."""
    size = ops.cast(ctx.size_tensor(a["self"].shape[0]), a["self"].dtype)
    return right(**a) * (size / 6)


def of_small_batches(ctx: Any, right: Any, **a: Any) -> Any:
    """Off where axis 0 has fewer than four elements."""
    size = ctx.size_tensor(a["self"].shape[0])
    return ops.where(size < 4, right(**a) + 1, right(**a))


def without_nan(ctx: Any, right: Any, **a: Any) -> Any:
    return ops.max(a["self"], ops.constant(0, a["self"].dtype, device=ctx.device))


def last_missed(ctx: Any, right: Any, **a: Any) -> Any:
    """The last element of the last axis is the one before it, as of a kernel that stops early."""
    y = right(**a)
    return ops.concat([y[..., :-1], y[..., -2:-1]], axis=-1)


def half_axis(ctx: Any, right: Any, **a: Any) -> Any:
    return right(**{**a, "dim": 0})


def swap_weights(compiled: Compiled) -> None:
    """Two weights of one shape, each bound to the other's slot."""
    held = compiled.weights
    a, b = held.values["0.weight"], held.values["1.weight"]
    values = {**held.values, "0.weight": b, "1.weight": a}
    compiled.load_state_dict({k: v for k, v in values.items() if k in held.checkpoint_names()})
    compiled.weights = held  # what the graph should have been bound to


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add_(torch.sin(x))
        return x * 2


class Writes(nn.Module):
    def forward(self, cache: Tensor, x: Tensor) -> Tensor:
        cache.mul_(torch.sin(x))
        return x + 1


X = torch.randn(6, 8)
TWO = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
RIGHT = [
    Plant("linear", nn.Linear(8, 4), (X,), varies=True),
    Plant("buffer", Counter(), (torch.randn(3),)),
    Plant("written", Writes(), (torch.randn(3), torch.randn(3))),
    Plant("nan", lambda x: F.relu(x), (NAN,)),
    Plant("argmax", lambda x: (x.softmax(-1).argmax(-1), x.sort(-1)[0]), (X,), varies=True),
    Plant("ids", nn.Embedding(7, 4), (torch.tensor([[1, 6, 0]]),)),
    Plant("bfloat16", nn.Linear(8, 4).bfloat16(), (X.bfloat16(),)),
    Plant("nothing", lambda x: (x[x > 9] > 0).any(), (X,)),
    Plant("numbers", lambda x: (x.shape[0], None, 3, x + 1), (X,), varies=True),
    Plant(
        "deep",
        nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8)) for _ in range(6)]),
        (X,),
    ),
]
WRONG = [
    Plant("everywhere", lambda x: torch.sin(x), (X,), aten.sin.default, scaled, said="the example"),
    Plant("other_sizes", lambda x: torch.sin(x), (X,), aten.sin.default, of_example_size, True, "n="),
    Plant("small_batches", lambda x: torch.sin(x), (X,), aten.sin.default, of_small_batches, True, "n=1"),
    Plant("nan_lost", lambda x: F.relu(x), (NAN,), aten.relu.default, without_nan, said="NaN"),
    Plant("nan_lost_later", lambda x: F.relu(x) + 1, (NAN,), aten.relu.default, without_nan, said="NaN"),
    Plant("last_element", lambda x: torch.sin(x), (X,), aten.sin.default, last_missed, said="off by"),
    Plant(
        "constant",
        lambda x: torch.sin(x),
        (X,),
        aten.sin.default,
        lambda ctx, right, **a: ctx.constant(torch.sin(X).numpy(), ctx.out.dtype),
        said="permuted",
    ),
    Plant(
        "softmax_axis",
        lambda x: x.softmax(-1),
        (torch.randn(8, 8),),
        aten.softmax.int,
        lambda ctx, right, **a: right(**{**a, "dim": 0}),
        said="off by",
    ),
    Plant(
        "no_bias",
        nn.Sequential(nn.Linear(8, 4), nn.Tanh()),
        (X,),
        aten.linear.default,
        lambda ctx, right, **a: right(**{**a, "bias": None}),
        settings={"passes": ("drop_asserts",)},
    ),
    Plant(
        "epsilon",
        nn.LayerNorm(8),
        (X * 0.1,),
        aten.layer_norm.default,
        lambda ctx, right, **a: right(**{**a, "eps": 1e-6}),
    ),
    Plant(
        "approximate_gelu",
        lambda x: F.gelu(x),
        (X,),
        aten.gelu.default,
        lambda ctx, right, **a: right(**{**a, "approximate": "tanh"}),
    ),
    Plant("buffer_off", Counter(), (torch.randn(3),), aten.sin.default, scaled, said="buffer seen"),
    Plant(
        "written_off", Writes(), (torch.randn(3), torch.randn(3)), aten.sin.default, scaled, said="input 0"
    ),
    Plant(
        "one_index",
        lambda x: x.argmax(-1),
        (X,),
        aten.argmax.default,
        lambda ctx, right, **a: right(**a) * 0,
        said="differ",
    ),
    Plant(
        "mask_inverted",
        lambda x: torch.where(x > 0, x, -1.0),
        (X,),
        aten.gt.Scalar,
        lambda ctx, right, **a: ops.logical_not(right(**a)),
    ),
    Plant(
        "infinity_lost",
        lambda x: torch.exp(x),
        (torch.tensor([1.0, 100.0]),),
        aten.exp.default,
        lambda ctx, right, **a: ops.min(right(**a), ops.constant(3e38, a["self"].dtype, device=ctx.device)),
        said="infinite",
    ),
    Plant(
        "any_of_nothing",
        lambda x: (x[x > 9] > 0).any(),
        (X,),
        aten.any.default,
        lambda ctx, right, **a: ops.logical_not(right(**a)),
        said="differ",
    ),
    Plant(
        "overflow",
        lambda x: x * 2,
        (torch.tensor([100, 3], dtype=torch.int8),),
        aten.mul.Tensor,
        lambda ctx, right, **a: ops.cast(ops.min(ops.cast(a["self"], DType.int32) * 2, 127), a["self"].dtype),
        said="differ",
    ),
    Plant("slots_swapped", TWO, (X,), said="off by", after=swap_weights),
    Plant(
        "moved_by_one",
        lambda x: x.roll(1, 0),
        (X,),
        aten.roll.default,
        lambda ctx, right, **a: right(**{**a, "shifts": [2]}),
        True,
    ),
]


def table_of(plant: Plant) -> fxmax.RuleTable:
    table = fxmax.RuleTable(parent=default_table())
    if plant.wrong is not None:
        right, wrong = table[plant.target], plant.wrong

        def rule(ctx: Any, **arguments: Any) -> Any:
            return wrong(ctx, lambda **a: right.fn(ctx, **a), **arguments)

        rule.__signature__ = inspect.signature(right.fn)  # type: ignore[attr-defined]
        table.rule(plant.target, override=True)(rule)
    return table


@pytest.fixture(scope="module")
def compiled() -> dict[str, Compiled]:
    shared, lowered = Shared(Module()), {}
    for plant in [*RIGHT, *WRONG]:
        module = plant.fn if isinstance(plant.fn, nn.Module) else Fn(plant.fn)
        rest = [{}] * (len(plant.inputs) - 1)
        dims = ({0: N}, *rest) if plant.varies else None
        name = f"{'wrong' if plant in WRONG else 'right'}_{plant.id}"
        options = Options.resolve(table=table_of(plant), device="cpu", **plant.settings)
        captured = capture(module.eval(), plant.inputs, dynamic_shapes=dims, options=options)
        captured.name = name
        lowered[name] = lower(captured, shared)
        assert lowered[name].report.ok, lowered[name].report
    return compile_module(shared.module, lowered, strict=False)


@pytest.mark.parametrize("plant", RIGHT, ids=lambda p: p.id)
def test_proof_passes_what_is_right(plant: Plant, compiled: dict[str, Compiled]) -> None:
    one = compiled[f"right_{plant.id}"]
    prove(one, locate=False)
    assert one.report.checks, one.report.unchecked
    assert one.report.checks[0].inputs == "the example"
    assert one.report.checks[0].results


@pytest.mark.parametrize("plant", WRONG, ids=lambda p: p.id)
def test_proof_refuses_a_planted_miscompile(plant: Plant, compiled: dict[str, Compiled]) -> None:
    one = compiled[f"wrong_{plant.id}"]
    if plant.after:
        plant.after(one)
    with pytest.raises(fxmax.MismatchError) as caught:
        prove(one, locate=False)
    assert plant.said in str(caught.value)


ON_THE_EXAMPLE = ("everywhere", "nan_lost", "last_element", "any_of_nothing", "overflow")


@pytest.mark.parametrize("id", ON_THE_EXAMPLE)
def test_where_rounding_takes_too_long_to_sample_a_fault_is_refused(
    id: str, compiled: dict[str, Compiled]
) -> None:
    with pytest.raises(fxmax.MismatchError):
        prove(compiled[f"wrong_{id}"], budget=0, locate=False)


def test_where_rounding_takes_too_long_to_sample_half_of_the_digits_agree(
    compiled: dict[str, Compiled],
) -> None:
    one = compiled["right_linear"]
    prove(one, budget=0, locate=False)
    [check] = one.report.checks
    assert check.error <= check.allowed
    assert "the budget of 0 s was spent" in one.report.unchecked
