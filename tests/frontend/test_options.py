"""`Options`: whatever an entry point is told arrives, whole, where modules are captured and lowered."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from typing import Any

import pytest
import torch
from max import driver
from torch import nn

import fxmax
from fxmax.dynamo import backend
from fxmax.frontend import capture as frontend
from fxmax.frontend.options import BackendOptions, CompileOptions, LowerOptions, Options, WalkOptions
from fxmax.passes import PASSES

X = torch.randn(2, 4)


class Net(nn.Module):
    """With a buffer that is written, since the backend captures such a graph twice."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        return self.linear(x)


class Mixed(nn.Module):
    """With an op that no table has a rule for, between two parts that MAX can run."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.linear(x).softmax(-1)
        return self.linear(torch.bernoulli(first).relu()).softmax(-1)


def gelu_free() -> fxmax.RuleTable:
    table = fxmax.RuleTable(parent=fxmax.default_table())
    with table.override(torch.ops.aten.gelu.default, None):
        return fxmax.RuleTable(parent=table)


# For every field a value that is not the default, in two sets, since int8 is not for a GPU.
OTHER: list[dict[str, Any]] = [
    {
        "table": gelu_free(),
        "device": "gpu",
        "passes": ("drop_asserts", "fuse_linear"),
        "strict": False,
        "unsupported": "torch",
        "check": "warn",
        "quiet": True,
    },
    {"dtype": "int8", "quiet": True},
]


def partitioned(**options: Any) -> Any:
    return fxmax.lower(Mixed(), (X,), **{"unsupported": "torch", **options})


def of_dynamo(**options: Any) -> Any:
    return torch.compile(Net(), backend=backend, options=options)(X)


# Entry point → (how it is called, its keywords, how often it captures, options of its own making).
ENTRIES: dict[str, tuple[Callable[..., Any], Any, int, dict[str, Any]]] = {
    "lower": (lambda **o: fxmax.lower(Net(), (X,), **o), LowerOptions, 1, {}),
    "lower in parts": (partitioned, LowerOptions, 2, {"unsupported": "torch"}),
    "lower without a compile": (
        lambda **o: fxmax.lower(Net(), (X,), compile=False, **o),
        LowerOptions,
        1,
        {},
    ),
    "lower_many": (lambda **o: fxmax.lower_many({"net": fxmax.Job(Net(), (X,))}, **o), CompileOptions, 1, {}),
    "explain": (lambda **o: fxmax.explain(Net(), (X,), **o), WalkOptions, 1, {}),
    "verify": (lambda **o: fxmax.verify(Net(), (X,), **o), WalkOptions, 1, {}),
    "profile": (lambda **o: fxmax.profile(Net(), (X,), **o), WalkOptions, 1, {}),
    "torch.compile": (of_dynamo, BackendOptions, 2, {"strict": False}),
}


class StopError(Exception):
    """Raised once all is seen that a test wants to see: nothing has to be compiled."""


@pytest.fixture
def seen(monkeypatch) -> Callable[[int], list[Options]]:
    """The options of each program that is captured; the last of so many ends the call."""
    arrived: list[Options] = []
    real = frontend.Captured

    def spy(limit: int) -> list[Options]:
        def captured(*args: Any, **kwargs: Any) -> Any:
            program = real(*args, **kwargs)
            arrived.append(program.options)
            if len(arrived) == limit:
                raise StopError
            return program

        monkeypatch.setattr(frontend, "Captured", captured)
        return arrived

    return spy


@pytest.fixture(autouse=True)
def a_gpu(monkeypatch) -> None:
    """As if there were one: nothing here runs on it."""
    monkeypatch.setattr(driver, "accelerator_count", lambda: 1)
    torch._dynamo.reset()


@pytest.mark.parametrize("said", OTHER, ids=["all but dtype", "dtype"])
@pytest.mark.parametrize("entry", ENTRIES)
def test_every_option_arrives_where_modules_are_captured(
    entry: str, said: dict[str, Any], seen: Callable[[int], list[Options]]
) -> None:
    call, keywords, captures, implied = ENTRIES[entry]
    said = {name: value for name, value in said.items() if name in keywords.__optional_keys__}
    wanted, default = (comparable(Options.resolve(**o)) for o in ({**implied, **said}, {}))
    assert all(wanted[name] != default[name] for name in said)
    arrived = seen(captures)
    with suppress(StopError, torch._dynamo.exc.BackendCompilerFailed):
        call(**said)
    assert [comparable(options) for options in arrived] == [wanted] * captures


def comparable(options: Options) -> dict[str, Any]:
    """By field; of the table where its rules are, since int8's are made anew each time."""
    values = {f.name: getattr(options, f.name) for f in fields(options)}
    return values | {"table": {op: rule.where for op, rule in options.table.items()}}


def test_every_option_has_another_value_that_is_tried() -> None:
    assert set().union(*OTHER) == {f.name for f in fields(Options)}


def test_lower_takes_every_option_by_name_with_the_same_defaults(seen: Any) -> None:
    own = {"module", "args", "kwargs", "dynamic_shapes", "compile", "state_dict"}
    assert set(inspect.signature(fxmax.lower).parameters) - own == {f.name for f in fields(Options)}
    assert LowerOptions.__optional_keys__ == {f.name for f in fields(Options)}
    arrived = seen(1)
    with pytest.raises(StopError):
        fxmax.lower(Net(), (X,))
    assert arrived == [Options.resolve()]


def test_what_is_lowered_holds_the_options_it_was_lowered_with() -> None:
    said = {"table": gelu_free(), "passes": ("drop_asserts",), "quiet": True}
    lowered = fxmax.lower(Net(), (X,), compile=False, **said)
    assert lowered.captured.options == Options.resolve(**said)
    assert torch.ops.aten.gelu.default not in lowered.table


def test_the_options_keep_the_rules_as_they_were() -> None:
    table = fxmax.RuleTable(parent=fxmax.default_table())
    with table.override(torch.ops.aten.gelu.default, None):
        options = Options.resolve(table=table)
    assert torch.ops.aten.gelu.default in table
    assert torch.ops.aten.gelu.default not in options.table


def test_passes_run_in_their_own_order() -> None:
    assert Options.resolve(passes=["fuse_linear", "drop_asserts"]).passes == ("drop_asserts", "fuse_linear")
    assert Options.resolve().passes == tuple(PASSES)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if not e.startswith("lower")] + ["lower_many"])
def test_an_option_that_there_is_not_is_refused_before_anything_is_done(entry: str, seen: Any) -> None:
    arrived = seen(1)
    with pytest.raises((fxmax.OptionError, torch._dynamo.exc.BackendCompilerFailed)) as refused:
        ENTRIES[entry][0](devise="cpu")
    assert "has no option 'devise'; did you mean 'device'?" in str(refused.value)
    assert entry in str(refused.value)
    assert arrived == []


@pytest.mark.parametrize(
    ("entry", "name", "known"),
    [
        ("explain", "unsupported", "device, dtype, passes"),
        ("explain", "check", "device, dtype, passes"),
        ("torch.compile", "strict", "check, device, dtype, passes"),
    ],
)
def test_an_option_of_another_entry_is_refused_with_those_there_are(
    entry: str, name: str, known: str
) -> None:
    with pytest.raises((fxmax.OptionError, torch._dynamo.exc.BackendCompilerFailed)) as refused:
        ENTRIES[entry][0](**{name: OTHER[0][name]})
    assert f"has no option {name!r}; there are {known}" in str(refused.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"unsupported": "skip"}, "it is 'error' or 'torch'"),
        ({"check": "wran"}, "it is True, 'warn' or False"),
        ({"check": None}, "it is True, 'warn' or False"),
        ({"passes": ["fuse_linaer"]}, "no such pass: fuse_linaer; did you mean 'fuse_linear'"),
        ({"dtype": "int4"}, "weights can be stored as int8"),
        ({"dtype": "int8", "passes": ["drop_asserts"]}, "needs the pass fuse_linear"),
        ({"dtype": "int8", "device": "gpu"}, "is for the CPU"),
    ],
)
def test_a_value_that_there_is_not_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(fxmax.FxmaxError, match=message):
        Options.resolve(**said)


@pytest.mark.parametrize("said", [{"device": "cpu"}, {"passes": []}, {"dtype": None}])
def test_what_is_lowered_already_takes_no_other_options(said: dict[str, Any]) -> None:
    lowered = fxmax.lower(Net(), (X,), compile=False, quiet=True)
    for entry in (fxmax.verify, fxmax.profile):
        with pytest.raises(fxmax.OptionError, match=f"{next(iter(said))} can't be changed"):
            entry(lowered, (X,), quiet=True, **said)


def test_verify_takes_no_dynamic_shapes_for_what_is_lowered_already() -> None:
    lowered = fxmax.lower(Net(), (X,), compile=False, quiet=True)
    with pytest.raises(fxmax.OptionError, match="dynamic_shapes can't be changed"):
        fxmax.verify(lowered, (X,), dynamic_shapes=({0: torch.export.Dim("n")},), quiet=True)


@pytest.mark.parametrize(
    ("said", "given", "wanted"),
    [
        (None, True, True),
        (None, False, False),
        (None, "warn", "warn"),
        ("1", False, False),
        ("0", True, False),
        ("0", "warn", False),
        ("warn", True, "warn"),
        ("warn", False, False),
    ],
)
def test_the_environment_makes_the_check_milder(monkeypatch, said, given, wanted) -> None:
    monkeypatch.delenv("FXMAX_CHECK", raising=False)
    if said is not None:
        monkeypatch.setenv("FXMAX_CHECK", said)
    assert Options.resolve(check=given).check == wanted


def test_what_the_environment_can_t_say_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("FXMAX_CHECK", "off")
    with pytest.raises(fxmax.OptionError, match="FXMAX_CHECK='off' in the environment: it is 1, warn or 0"):
        Options.resolve()
