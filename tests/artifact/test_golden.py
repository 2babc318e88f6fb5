"""Golden calls: what is kept of one, and which results are another machine's rounding. No MAX compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from max.driver import Buffer
from max.graph import DeviceRef

import fxmax
from fxmax.artifact import golden
from fxmax.runtime.signature import Signature, TensorSpec

pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in")
Function = Callable[[list[np.ndarray]], list[np.ndarray]]


def graph(function: Function, dtypes: Sequence[str], states: Sequence[np.ndarray] = ()) -> Any:
    """As much of an executable as a golden call takes: numpy computes, and writes into what it is given."""
    inputs: list[Any] = [TensorSpec(f"x{i}", d, (1,), mutated=i == 0) for i, d in enumerate(dtypes)]
    of_states = [TensorSpec(f"s{i}", s.dtype.name, s.shape) for i, s in enumerate(states)]

    def apart(buffers: list[Buffer]) -> tuple[list[Buffer], list[Buffer]]:
        own = [s.copy() for s in states]
        results = function([b.to_numpy() for b in buffers] + own)
        return [Buffer.from_numpy(r) for r in results], [Buffer.from_numpy(s) for s in own]

    return SimpleNamespace(device=DeviceRef.CPU(), signature=Signature(inputs, [], of_states), apart=apart)


def recorded(function: Function, *inputs: np.ndarray, states: Sequence[np.ndarray] = ()) -> golden.GoldenCall:
    made = graph(function, [x.dtype.name for x in inputs], states)
    return golden.record(made, [Buffer.from_numpy(x) for x in inputs])


def faults(call: golden.GoldenCall, function: Function, dtypes: Sequence[str], **kwargs: Any) -> list[str]:
    return [one.fault for one in golden.compare("net", graph(function, dtypes, **kwargs), call) if one.fault]


X = np.random.default_rng(0).normal(size=(70, 90)).astype(np.float32)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda a: [a[0] * 2 * (1 + 1e-5)], ""),
        (lambda a: [a[0] * 2 + 0.02], "off by 0.02 from"),
        (lambda a: [np.where(a[0] > 3, np.nan, a[0] * 2).astype(np.float32)], "NaN or infinite"),
        (lambda a: [a[0] / 0], "NaN or infinite"),
        (lambda a: [a[0][:5] * 2], "float32[450] in place of float32[3150]"),
        (lambda a: [(a[0] * 2).astype(np.float64)], "float64[3150] in place of float32[3150]"),
    ],
    ids=["rounding", "a bias", "some NaN", "infinite", "shape", "dtype"],
)
def test_floats_may_be_rounded_otherwise_and_no_more(other: Function, told: str) -> None:
    found = faults(recorded(lambda a: [a[0] * 2], X), other, ["float32"])
    assert len(found) == bool(told)
    assert told in "".join(found)


def test_what_was_not_finite_stays_so() -> None:
    call = recorded(lambda a: [np.log(a[0])], np.float32([-1, 0, 1]))
    assert faults(call, lambda a: [np.log(a[0])], ["float32"]) == []
    assert "NaN" in faults(call, lambda a: [np.nan_to_num(np.log(a[0]))], ["float32"])[0]


@pytest.mark.parametrize(("flipped", "wrong"), [(0, False), (1, False), (20, False), (200, True)])
def test_one_integer_in_a_hundred_may_be_another(flipped: int, wrong: bool) -> None:
    call = recorded(lambda a: [a[0].astype(np.int64)], X[:45])  # 4050 values, all kept
    other = lambda a: [a[0].astype(np.int64) + (np.arange(a[0].size).reshape(a[0].shape) < flipped)]
    assert bool(faults(call, other, ["float32"])) is wrong


def test_written_inputs_and_state_are_results_too() -> None:
    def step(by: float) -> Function:
        def run(a: list[np.ndarray]) -> list[np.ndarray]:
            a[0] += by
            a[1] += by
            return []

        return run

    state = np.zeros(3, np.float32)
    call = recorded(step(1), X.copy(), states=[state])
    assert set(call.results) == {"written x0", "state s0"}
    assert faults(call, step(1), ["float32"], states=[state]) == []
    assert len(faults(call, step(2), ["float32"], states=[state])) == 2
    assert not state.any()


def test_a_large_input_is_its_sample_repeated(tmp_path: Path) -> None:
    whole = (np.arange(100_000).reshape(10, 10_000) % 7).astype(np.float32)
    call = recorded(lambda a: [a[0] + 1], whole)
    assert call.inputs[0].size <= golden.SAMPLE
    assert set(call.inputs[0]) == set(range(7))
    assert set(call.results["result 0"]) == set(range(1, 8))
    golden.write(tmp_path / "g", {"a.b": call, "net": recorded(lambda a: a[:1], X)})
    assert (tmp_path / "g").stat().st_size < 200_000
    back = golden.read(tmp_path / "g", {"a.b": call.shapes, "net": (X.shape,)})
    assert list(back) == ["a.b", "net"]
    np.testing.assert_array_equal(back["a.b"].inputs[0], call.inputs[0])
    assert faults(back["a.b"], lambda a: [a[0] + 1], ["float32"]) == []
    assert faults(back["net"], lambda a: [a[0] * 1.01], ["float32"])


@pytest.mark.parametrize("shape", [(), (0, 4), (1,)])
def test_of_any_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    def both(a: list[np.ndarray]) -> list[np.ndarray]:
        return [np.asarray(a[0] * 2), np.zeros((0, 2), bool)]

    call = recorded(both, np.ones(shape, np.float32))
    golden.write(tmp_path / "g", {"net": call})
    back = golden.read(tmp_path / "g", {"net": call.shapes})["net"]
    assert faults(back, both, ["float32"]) == []


def test_one_token_may_be_another_and_two_may_not() -> None:
    call = recorded(lambda a: [a[0].argmax(1)], X[:3])
    assert faults(call, lambda a: [a[0].argmax(1) + np.array([0, 0, 1])], ["float32"]) == []
    assert faults(call, lambda a: [a[0].argmax(1) + np.array([0, 1, 1])], ["float32"])


@pytest.mark.parametrize("outlier", [-1e38, 1000.0])
def test_one_large_value_hides_no_other(outlier: float) -> None:
    def net(a: list[np.ndarray], by: float = 0) -> list[np.ndarray]:
        y = a[0] + np.float32(by)
        y[0, 0] = outlier
        return [y]

    call = recorded(net, X)
    assert faults(call, lambda a: net(a, 1e-6), ["float32"]) == []
    assert faults(call, lambda a: net(a, 0.1), ["float32"])


def test_what_cancels_may_leave_a_rest() -> None:
    call = recorded(lambda a: [a[0] - a[0]], X)
    assert faults(call, lambda a: [a[0] * 1e-9], ["float32"]) == []
    assert faults(call, lambda a: [a[0] * 1e-3], ["float32"])


def test_a_mask_is_kept_whole() -> None:
    mask = np.arange(8192) % 2 == 0
    assert recorded(lambda a: [a[0].sum(keepdims=True)], mask).results["result 0"][0] == 4096


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    call = recorded(lambda a: [a[0], a[0] * 2], X)
    golden.write(tmp_path / "g", {"net": call})
    with pytest.raises(fxmax.ArtifactError, match="lacks net's input 1: save the artifact again"):
        golden.read(tmp_path / "g", {"net": (X.shape, X.shape)})
    assert faults(call, lambda a: a[:1], ["float32"]) == ["the graph here has no such result"]


@pytest.mark.parametrize(("dtype", "wrong"), [("", True), ("float64", True), ("bfloat16", False)])
def test_a_result_may_be_off_by_what_its_graph_computes_in(dtype: str, wrong: bool) -> None:
    """A graph in bfloat16 may end in float32."""
    made = graph(lambda a: [a[0] * 2], ["float32"])
    call = golden.record(made, [Buffer.from_numpy(X)], dtype)
    assert bool(faults(call, lambda a: [a[0] * 2.02], ["float32"])) is wrong
    assert faults(call, lambda a: [a[0] * 2.5], ["float32"])


def test_what_max_fails_at_is_said() -> None:
    def fails(a: list[np.ndarray]) -> list[np.ndarray]:
        raise ValueError("no such kernel")

    with pytest.raises(fxmax.ArtifactError, match="inputs of its golden call: no such kernel"):
        recorded(fails, X)
    with pytest.raises(fxmax.ArtifactError, match="no such kernel"):
        faults(recorded(lambda a: a, X), fails, ["float32"])
