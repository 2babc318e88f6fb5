"""Calling what was compiled: structure, checks, swapping checkpoints, threads, state, memory."""

from __future__ import annotations

import gc
import os
import threading
import warnings

import numpy as np
import psutil
import pytest
import torch

import fxmax
from fxmax import InputError, WeightError
from fxmax.compiled import Compiled
from tests.support.callables import PAIR, Affine, Answer, Counter, Structured, X
from tests.support.parity import Fn, assert_same


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux alone has it")
def test_the_log_thread_of_max_waits_for_a_free_core(compiled) -> None:
    compiled["first"](torch.zeros(2, 4))
    policies = [os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")]
    assert policies.count(os.SCHED_IDLE) == 1


def test_structure_in_and_out(compiled: dict[str, Compiled]) -> None:
    bias = torch.ones(3)
    expected = Structured()(X, PAIR, bias=bias, flip=True)
    for actual in (
        compiled["structured"](X, PAIR, bias=bias, flip=True),
        compiled["structured"](X, PAIR, flip=True, bias=bias),
        compiled["structured"](x=X, pair=PAIR, bias=bias),
        compiled["structured"](X, bias=bias, pair=PAIR, flip=True),
    ):
        assert type(actual) is Answer
        assert actual.label == "sum"
        assert_same(actual.total, expected.total)
        assert_same(actual.parts, expected.parts)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((X,), {"bias": torch.ones(3)}, "missing: pair"),
        ((X, PAIR), {"bias": torch.ones(3), "colour": 1}, "not lowered for: colour"),
        ((X, PAIR), {"bias": torch.ones(3), "x": X}, "given twice.*: x"),
        ((X, PAIR, X, X, X), {}, "5 positional arguments"),
        (
            (X, PAIR),
            {"bias": torch.ones(3), "flip": False},
            "flip is False; the module was lowered with True",
        ),
        ((X, PAIR), {"bias": torch.ones(4), "flip": True}, r"bias has shape \[4\]; \[3\] was lowered"),
        ((X.double(), PAIR), {"bias": torch.ones(3), "flip": True}, "x is float64; float32 was lowered"),
        ((X, {"a": X}), {"bias": torch.ones(3), "flip": True}, "pair: 'b' is missing"),
        (([1.0], PAIR), {"bias": torch.ones(3), "flip": True}, "x is a list"),
        ((1.0, PAIR), {"bias": torch.ones(3), "flip": True}, "x is a float"),
    ],
)
def test_wrong_calls_are_refused_by_name(compiled, args, kwargs, message) -> None:
    with pytest.raises(InputError, match=message):
        compiled["structured"](*args, **kwargs)


def test_numpy_in_numpy_out(compiled: dict[str, Compiled]) -> None:
    x = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    actual = compiled["first"](x)
    assert isinstance(actual, np.ndarray)
    with torch.no_grad():
        assert_same(torch.from_numpy(actual), Affine(1)(torch.from_numpy(x)))
    with pytest.raises(InputError, match="x is float64"):
        compiled["first"](x.astype(np.float64))
    frozen = x.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(compiled["first"](frozen), actual)


def test_non_contiguous_inputs(compiled: dict[str, Compiled]) -> None:
    x = torch.randn(4, 2).T
    with torch.no_grad():
        assert_same(compiled["first"](x), Affine(1)(x))


def test_gradients_are_warned_of_once(compiled: dict[str, Compiled], monkeypatch) -> None:
    monkeypatch.setattr("fxmax.runtime.arrays._warned", threading.Event())
    x = torch.randn(2, 4, requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = compiled["first"](x)
        compiled["first"](x)
    assert not result.requires_grad
    assert ["results without them" in str(w.message) for w in caught] == [True]


def test_two_modules_with_the_same_names_keep_their_own_weights(compiled: dict[str, Compiled]) -> None:
    x = torch.randn(2, 4)
    with torch.no_grad():
        assert_same(compiled["first"](x), Affine(1)(x))
        assert_same(compiled["second"](x), Affine(2)(x))


def test_load_state_dict_swaps_without_a_compile(compiled: dict[str, Compiled], monkeypatch) -> None:
    def refuse(*args, **kwargs):
        raise AssertionError("load_state_dict must not compile")

    monkeypatch.setattr("fxmax.runtime.program.compile_graph", refuse)
    monkeypatch.setattr("fxmax.compiled.compiling.compile_graph", refuse)
    first, x = compiled["first"], torch.randn(2, 4)
    with torch.no_grad():
        first.load_state_dict(Affine(7).state_dict())
        assert_same(first(x), Affine(7)(x))
        for name, value in first.state_dict().items():
            assert_same(value, Affine(7).state_dict()[name])
        assert_same(compiled["second"](x), Affine(2)(x))
        for wrong in (
            {"layer.weight": torch.zeros(4, 4)},
            Affine(8).state_dict() | {"layer.bias": torch.zeros(5)},
        ):
            with pytest.raises(WeightError):
                first.load_state_dict(wrong)
            assert_same(first(x), Affine(7)(x))  # the old checkpoint is still in use
        with pytest.warns(UserWarning, match=r"NaN or infinity in 1 weight.*layer\.bias"):
            first.load_state_dict(Affine(1).state_dict() | {"layer.bias": torch.full((4,), float("nan"))})
        first.load_state_dict(Affine(1).state_dict())
        assert_same(first(x), Affine(1)(x))


def test_a_checkpoint_belongs_to_the_compiled_module(compiled: dict[str, Compiled]) -> None:
    """Changing the module afterwards must change nothing that was compiled."""
    x, state = torch.randn(2, 4), Affine(5).state_dict()
    compiled["second"].load_state_dict(state)
    before = compiled["second"](x).clone()
    compiled["second"].load_state_dict(Affine(2).state_dict())
    with torch.no_grad():
        assert_same(before, Affine(5)(x))


def test_mutated_buffers_live_between_calls(compiled: dict[str, Compiled]) -> None:
    module, counter = Counter(), compiled["counter"]
    for x in torch.randn(3, 3):
        assert_same(counter(x), module(x))
    counter.load_state_dict(Counter().state_dict())  # state starts afresh
    assert_same(counter(torch.ones(3)), torch.full((3,), 2.0))


def test_state_is_read_by_name_and_set_back_where_it_is(compiled: dict[str, Compiled]) -> None:
    counter, x = compiled["counter"], torch.ones(3)
    counter.reset()
    held = {name: torch.from_dlpack(state) for name, state in counter.states.items()}
    counter(x), counter(x)
    assert_same(held["calls"], torch.tensor(2))
    assert_same(held["total"], 2 * x)
    counter.reset()
    assert_same(held["calls"], torch.tensor(0))  # in the same memory
    assert_same(counter(x), 2 * x)


def test_inputs_and_outputs_flat(compiled: dict[str, Compiled]) -> None:
    structured, bias = compiled["structured"], torch.ones(3)
    call = {"flip": True, "bias": bias, "pair": PAIR}
    flat = [X, PAIR["a"], PAIR["b"], bias]
    assert all(a is b for a, b in zip(structured.inputs(X, **call), flat, strict=True))
    total, a, b, label = structured.flat(X, **call)
    assert_same(total, Structured()(X, **call).total)
    assert a is PAIR["a"]
    assert b is PAIR["b"]
    assert label == "sum"
    assert type(structured(X, **call)) is Answer  # nothing was changed by it


def test_a_mutated_input_is_written_in_place(compiled: dict[str, Compiled]) -> None:
    cache, x = torch.ones(3), torch.ones(3)
    assert_same(compiled["writes"](cache, x), torch.full((3,), 3.0))
    assert_same(cache, torch.full((3,), 2.0))


@pytest.mark.parametrize("make", [torch.ones, torch.inference_mode()(torch.ones)])
def test_what_can_not_be_written_where_it_is_is_copied_there(compiled: dict[str, Compiled], make) -> None:
    """One that is not contiguous, and dtypes that the CPU computes in float32."""
    memory, x = make(6), torch.ones(3)
    assert_same(compiled["writes"](memory[::2], x), torch.full((3,), 3.0))
    assert_same(memory, torch.tensor([2.0, 1.0, 2.0, 1.0, 2.0, 1.0]))
    cache, total, x = make(2, 3).bfloat16(), make(()).half(), torch.tensor([[3.0], [4.0]]).bfloat16()
    assert_same(
        compiled["writes halves"](cache.T.contiguous().T, total, x), torch.tensor([5.0, 6.0]).bfloat16()
    )
    assert_same(total, torch.tensor(4.0).half())
    compiled["writes halves"](cache, total, x)
    assert_same(cache, torch.tensor([[1.0, 3.0, 1.0], [1.0, 4.0, 1.0]]).bfloat16())
    with pytest.raises(InputError, match="cache is written in place: it must be contiguous"):
        compiled["writes halves"].buffers([cache, total, x])


def test_what_is_written_is_nobody_elses(compiled: dict[str, Compiled]) -> None:
    memory = torch.arange(6.0)
    with pytest.raises(
        fxmax.OverlapError, match=r"cache is written, and shares memory with x: .*a copy of one"
    ):
        compiled["writes"](memory[:3], memory[2:5])
    assert_same(memory, torch.arange(6.0))
    compiled["writes"](memory[:3], memory[3:])
    with pytest.raises(fxmax.OverlapError, match="x shares memory with total, which the module writes"):
        compiled["counter"](torch.from_dlpack(compiled["counter"].states["total"]))
    with pytest.raises(fxmax.OverlapError, match="x shares memory with total, which the module writes"):
        compiled["counter"](compiled["counter"].weights.values["total"])


def test_a_dynamic_batch_serves_its_range_and_names_it(compiled: dict[str, Compiled]) -> None:
    for batch in (1, 2, 5, 8):
        x = torch.randn(batch, 4)
        with torch.no_grad():
            assert_same(compiled["batched"](x), Affine(3)(x))
    with pytest.raises(InputError, match=r"x has size 9 on axis 0; batch was lowered for 1\.\.8"):
        compiled["batched"](torch.randn(9, 4))
    with pytest.raises(InputError, match=r"x has shape \[2, 5\]; \[batch, 4\] was lowered"):
        compiled["batched"](torch.randn(2, 5))


def test_calls_from_several_threads(compiled: dict[str, Compiled]) -> None:
    inputs = [torch.randn(2, 4) for _ in range(8)]
    with torch.no_grad():
        expected = [Affine(1)(x) for x in inputs]
    failures: list[AssertionError] = []

    def work(i: int) -> None:
        try:
            for _ in range(50):
                assert_same(compiled["first"](inputs[i]), expected[i])
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_thousands_of_calls_do_not_leak(compiled: dict[str, Compiled]) -> None:
    x = torch.randn(2, 4)
    process = psutil.Process()

    def calls(number: int) -> int:
        for _ in range(number):
            compiled["first"](x)
            compiled["structured"](X, PAIR, bias=torch.ones(3), flip=True)
        gc.collect()
        return process.memory_info().rss

    before = calls(1000)
    after = calls(4000)
    # 8,000 calls that each kept their smallest output would hold 4 MB and more of bookkeeping.
    assert after - before < 2 * 2**20, f"grew by {(after - before) / 2**20:.1f} MiB"


def test_results_outlive_later_calls(compiled: dict[str, Compiled]) -> None:
    x = torch.randn(2, 4)
    first = compiled["first"](x)
    kept = first.clone()
    for _ in range(20):
        compiled["first"](torch.randn(2, 4))
    assert torch.equal(first, kept)


@pytest.mark.slow
def test_the_same_graphs_under_other_names_are_not_mixed_up() -> None:
    """MAX's cache ignores names: the second module comes back with the names of the first."""
    fns = [lambda x: x + 1.125, lambda x: x * 3.0625, lambda x: x - 7.03]
    for names in ("abc", "cab"):
        jobs = {name: fxmax.Job(Fn(fn), (torch.ones(2),)) for name, fn in zip(names, fns, strict=True)}
        compiled = fxmax.lower_many(jobs, device="cpu", quiet=True)
        for name, fn in zip(names, fns, strict=True):
            assert_same(compiled[name](torch.ones(2)), fn(torch.ones(2)))
