"""Hugging Face models against torch, a whole forward each; no rule knows of any model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.export import Dim

transformers = pytest.importorskip("transformers", reason="the models extra: pip install fxmax[models]")

import fxmax  # noqa: E402
from tests.support.zoo.families import ZOO  # noqa: E402
from tests.support.zoo.run import TOLERANCE, compare, run  # noqa: E402

pytestmark = pytest.mark.slow  # minutes of compiling: too much for plain pytest

QUICK = ["BERT", "Llama"]


def static_step() -> tuple[torch.nn.Module, dict[str, Any]]:
    """Llama, and one token of two sequences with Hugging Face's static cache, still empty."""
    module, _ = ZOO["Llama"].build()
    cache = transformers.StaticCache(max_cache_len=16, config=module.config)
    cache.early_initialization(2, 2, 8, torch.float32, "cpu")
    token, place = torch.tensor([[5], [6]]), torch.zeros(2, 1, dtype=torch.int64)
    return module, {"input_ids": token, "past_key_values": cache, "position_ids": place}


@pytest.fixture(scope="module")
def quick() -> dict[str, fxmax.Compiled]:
    """BERT and Llama with a dynamic batch and length."""
    shapes = {0: Dim("batch", max=16), 1: Dim("length", min=2, max=48)}
    jobs = {}
    for name in QUICK:
        module, kwargs = ZOO[name].build()
        dynamic = {k: shapes if isinstance(v, torch.Tensor) else None for k, v in kwargs.items()}
        jobs[name.lower()] = fxmax.Job(module, (), kwargs, dynamic)
    module, step = static_step()
    jobs["static"] = fxmax.Job(module, (), step)
    return fxmax.lower_many(jobs, device="cpu", strict=False, quiet=True)


@pytest.mark.parametrize("name", QUICK)
def test_dynamic_batch_and_length(quick: dict[str, fxmax.Compiled], name: str) -> None:
    module, kwargs = ZOO[name].build()
    ours = quick[name.lower()]
    for batch, length in ((2, 9), (1, 30), (5, 2)):
        ids = torch.randint(3, 99, (batch, length))
        mask = torch.ones(batch, length, dtype=torch.int64)
        mask[-1, length - 1 :] = 0
        given = kwargs | {"input_ids": ids, "attention_mask": mask}
        with torch.no_grad():
            assert compare(ours(**given), module(**given)) <= TOLERANCE


@pytest.mark.parametrize("name", QUICK)
def test_a_size_out_of_range_is_refused_by_its_name(quick: dict[str, fxmax.Compiled], name: str) -> None:
    _, kwargs = ZOO[name].build()
    ids = torch.randint(3, 99, (2, 50))
    with pytest.raises(fxmax.InputError, match=r"length was lowered for 2\.\.48"):
        quick[name.lower()](**kwargs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)})


def test_a_static_cache_is_written_in_place(quick: dict[str, fxmax.Compiled]) -> None:
    (module, theirs), (_, ours) = static_step(), static_step()
    for place in range(4):
        step = {"input_ids": torch.randint(3, 99, (2, 1)), "position_ids": torch.full((2, 1), place)}
        with torch.no_grad():
            assert compare(quick["static"](**ours | step), module(**theirs | step)) <= TOLERANCE
        for a, e in zip(ours["past_key_values"].layers, theirs["past_key_values"].layers, strict=True):
            assert torch.allclose(a.keys, e.keys, atol=1e-5)
            assert int(a.cumulative_length) == int(e.cumulative_length) == place + 1


@pytest.mark.slow
def test_the_zoo() -> None:
    wrong = [f"{r.name}: {r.error:.1e} {r.problem}" for r in run() if not r.error <= TOLERANCE]
    assert not wrong, "; ".join(wrong)
