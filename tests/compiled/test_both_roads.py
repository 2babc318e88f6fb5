"""A compiled module and the artifact of it take the same calls, refuse the same ones, and say the same."""

from __future__ import annotations

import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from max.driver import Buffer

import fxmax
from fxmax import InputError
from fxmax.runtime.executable import Executable
from tests.support.callables import PAIR, X

Pair = namedtuple("Pair", "a b")
BIAS = torch.ones(3)


@dataclass
class Call:
    """One way to call `graph`: `make` gives fresh arguments; `refused` is what an error says."""

    id: str
    graph: str
    make: Callable[[], tuple[Any, ...]]
    kwargs: dict[str, Any] = field(default_factory=dict)
    refused: str = ""


def structured(id: str, *args: Any, refused: str = "", **kwargs: Any) -> Call:
    return Call(id, "structured", lambda: args, {"bias": BIAS, "flip": True} | kwargs, refused)


def frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def halves(rows: int, columns: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(rows, columns).bfloat16()[:, ::step], torch.ones(()).half()


N = {name: value.numpy() for name, value in PAIR.items()}
ONE = np.ones(3, np.float32)
BATCHED = np.arange(8, dtype=np.float32).reshape(2, 4)

CALLS = [
    structured("by position", X, PAIR),
    structured("by name", x=X, pair=PAIR),
    structured("all numpy", X.numpy(), N, bias=BIAS.numpy()),
    structured("numpy and torch", X, N),
    structured("a buffer of MAX's", Buffer.from_numpy(X.numpy().copy()), PAIR),
    structured("a dict in another order", X, dict(reversed(PAIR.items()))),
    structured("a namedtuple for a dict", X, Pair(**PAIR)),
    structured("an object for a dict", X, SimpleNamespace(**PAIR)),
    structured("a flag left out", X, PAIR),
    structured("no pair", X, refused="missing: pair"),
    structured("an unknown name", X, PAIR, colour=1, refused="not lowered for: colour"),
    structured("an unknown name without a value", X, PAIR, colour=None),
    structured("twice", X, PAIR, x=X, refused="given twice.*: x"),
    structured("too many", X, PAIR, X, X, X, refused="5 positional arguments"),
    structured("another flag", X, PAIR, flip=False, refused="flip is False"),
    structured("a dict without a key", X, {"a": X}, refused="pair: 'b' is missing"),
    structured("a dict with one more key", X, {**PAIR, "c": X}, refused="pair: c not lowered for"),
    structured("a tensor for a dict", X, X, refused="pair: 'a' is missing"),
    structured("a list for a tensor", [1.0], PAIR, refused="x is a list"),
    structured("a number for a tensor", 1.0, PAIR, refused="x is a float"),
    structured("a numpy scalar", np.float32(1), PAIR, refused="x"),
    structured("nothing for a tensor", None, PAIR, refused="x is a NoneType"),
    structured("another dtype", X.double(), PAIR, refused="x is float64; float32 was lowered"),
    structured("another dtype of numpy", X.double().numpy(), PAIR, refused="x is float64; float32"),
    structured("another size", X, PAIR, bias=torch.ones(4), refused=r"bias has shape \[4\]; \[3\]"),
    structured("another rank", X[None], PAIR, refused="x has shape"),
    Call("transposed torch", "batched", lambda: (torch.arange(8.0).reshape(4, 2).T,)),
    Call("transposed numpy", "batched", lambda: (np.asfortranarray(BATCHED),)),
    Call("strided numpy", "batched", lambda: (np.repeat(BATCHED, 2, 1)[:, ::2],)),
    Call("backward numpy", "batched", lambda: (BATCHED[::-1],)),
    Call("read-only numpy", "batched", lambda: (frozen(BATCHED.copy()),)),
    Call("big-endian numpy", "batched", lambda: (BATCHED.astype(">f4"),)),
    Call("expanded torch", "batched", lambda: (torch.ones(1, 4).expand(3, 4),)),
    Call("eight rows", "batched", lambda: (np.zeros((8, 4), np.float32),)),
    Call(
        "nine rows",
        "batched",
        lambda: (np.zeros((9, 4), np.float32),),
        refused=r"batch was lowered for 1",
    ),
    Call("no rows", "batched", lambda: (np.zeros((0, 4), np.float32),), refused=r"batch was lowered for 1"),
    Call("state", "counter", lambda: (ONE.copy(),)),
    Call("state once more", "counter", lambda: (torch.ones(3),)),
    Call("numpy to write", "writes", lambda: (ONE.copy(), ONE)),
    Call("torch to write", "writes", lambda: (torch.ones(3), torch.ones(3))),
    Call("a buffer to write", "writes", lambda: (Buffer.from_numpy(ONE.copy()), ONE)),
    Call("strided numpy to write", "writes", lambda: (np.ones(6, np.float32)[::2], ONE)),
    Call("strided torch to write", "writes", lambda: (torch.ones(6)[::2], torch.ones(3))),
    Call("halves to write", "writes halves", lambda: (*halves(2, 3, 1), torch.ones(2, 1).bfloat16())),
    Call("strided halves to write", "writes halves", lambda: (*halves(2, 6, 2), torch.ones(2, 1).bfloat16())),
    Call(
        "numpy halves to write",
        "writes halves",
        lambda: (halves(2, 3, 1)[0], np.ones((), np.float16), torch.ones(2, 1).bfloat16()),
    ),
    Call("numpy to write that is read too", "writes", lambda: (ONE, ONE), refused="shares memory with x"),
    Call(
        "torch to write that is read too", "writes", lambda: (T := torch.ones(3), T.numpy()), refused="shares"
    ),
    Call("read-only to write", "writes", lambda: (frozen(ONE.copy()), ONE), refused="in place"),
    Call("big-endian to write", "writes", lambda: (ONE.astype(">f4"), ONE)),
    Call("numpy given back", "gives back", lambda: (ONE.copy(), ONE)),
    Call("torch given back", "gives back", lambda: (torch.ones(3), torch.ones(3))),
    Call(
        "halves",
        "halves",
        lambda: (torch.ones(2, 3).half(), torch.tensor([1.5, 0.0, 3.0]).bfloat16(), torch.arange(3)),
    ),
    Call(
        "halves, more rows, not contiguous",
        "halves",
        lambda: (torch.ones(3, 5).half().T, torch.ones(6).bfloat16()[::2], torch.arange(6)[::2]),
    ),
    Call(
        "a whole for a half",
        "halves",
        lambda: (torch.ones(2, 3), torch.ones(3).bfloat16(), torch.arange(3)),
        refused="h is float32; float16 was lowered",
    ),
]


@pytest.fixture(scope="module")
def roads(compiled, tmp_path_factory) -> Iterator[list[dict[str, Executable]]]:
    compiled["counter"].reset()
    path = fxmax.save(tmp_path_factory.mktemp("roads") / "all.fxmax", compiled)
    yield [compiled, fxmax.load_all(path)]
    compiled["counter"].reset()


def plain(value: Any, given: list[Any]) -> Any:
    """An output as what can be compared: an argument itself, or a numpy array's dtype and values."""
    for i, argument in enumerate(given):
        if value is argument:
            return f"argument {i}"
    if isinstance(value, torch.Tensor):  # as an artifact returns it
        value = value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tolist()
    return type(value), value


def outcome(graph: Executable, call: Call) -> Any:
    args = call.make()
    try:
        outputs = graph.flat(*args, **call.kwargs)
    except InputError as error:
        return "refused", str(error)
    given = [v for v in (*args, *call.kwargs.values()) if not isinstance(v, (int, dict))]
    after = [plain(v, []) for v in given if isinstance(v, (torch.Tensor, np.ndarray))]
    return "returned", [plain(v, given) for v in outputs], after


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.id)
def test_both_take_the_same_calls(roads, call: Call) -> None:
    first, second = (outcome(road[call.graph], call) for road in roads)
    if call.refused:
        with pytest.raises(InputError, match=call.refused):
            roads[0][call.graph](*call.make(), **call.kwargs)
    assert first[0] == ("refused" if call.refused else "returned")
    assert first == second


def test_what_is_written_and_given_back_is_the_callers(roads) -> None:
    for road in roads:
        for cache, x in ((ONE.copy(), ONE), (torch.ones(3), torch.ones(3))):
            first, second, [third] = road["gives back"](cache, x)
            assert first is cache
            assert second is x
            assert [float(v) for v in cache] == [float(v) for v in third] == [2, 2, 2]


def test_results_live_where_the_inputs_do(roads) -> None:
    """Torch's for torch's, where torch is; numpy's for numpy's, and whatever an artifact is given."""
    compiled, loaded = (road["batched"] for road in roads)
    assert isinstance(compiled(torch.zeros(2, 4)), torch.Tensor)
    assert all(isinstance(f(np.zeros((2, 4), np.float32)), np.ndarray) for f in (compiled, loaded))
    assert isinstance(loaded(torch.zeros(2, 4)), np.ndarray)


def test_gradients_are_dropped_with_a_warning(roads, monkeypatch) -> None:
    for road in roads:
        monkeypatch.setattr("fxmax.runtime.arrays._warned", threading.Event())
        with pytest.warns(UserWarning, match="results without them"):
            road["batched"](torch.zeros(2, 4, requires_grad=True))
