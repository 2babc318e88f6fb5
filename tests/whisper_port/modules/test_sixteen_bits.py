"""The graphs of float16 and bfloat16 models: what can be shown of them without a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from max.driver import CPU
from max.dtype import DType
from whisper.model import ModelDimensions, Whisper

import fxmax
from whisper_port.engine.engine import Engine, bits
from whisper_port.engine.graphs import jobs
from whisper_port.modules.encoder import HALVES, in_16_bits


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    model = Whisper(ModelDimensions(8, 20, 64, 2, 2, 100, 16, 64, 2, 2)).eval().requires_grad_(False)
    model.decoder.positional_embedding.normal_()  # openai leaves it unset
    return model


def filled(args):
    """Inputs of a graph with noise in their float tensors, which are the caches, keys and values."""
    torch.manual_seed(2)
    return [[torch.randn(x.shape).to(x.dtype) for x in a] if isinstance(a, list) else a.clone() for a in args]


@pytest.mark.parametrize("dtype", HALVES)
def test_the_graphs_are_float32_at_their_ends_and_near_it_within(small, dtype):
    half, whole = jobs(in_16_bits(small, HALVES[dtype])), jobs(small)
    for name in ("encoder", "cross"):
        torch.manual_seed(1)
        x = torch.randn_like(half[name].args[0])
        assert x.dtype == torch.float32
        made, expected = (job[name].module(x) for job in (half, whole))
        pairs = zip(made, expected, strict=True) if name == "cross" else [(made, expected)]
        for ours, theirs in pairs:
            assert ours.dtype == (HALVES[dtype] if name == "cross" else torch.float32)
            assert (ours - theirs).abs().max() <= 0.02 * theirs.abs().max()
            assert not torch.equal(ours.float(), theirs)  # it did compute in 16 bits
    for name in ("prefill", "step"):
        logits, expected = (job[name].module(*filled(job[name].args)) for job in (half, whole))
        ours, theirs = (x[0] if name == "prefill" else x for x in (logits, expected))
        assert ours.dtype == torch.float32
        assert (ours - theirs).abs().max() <= 0.02 * theirs.abs().max()


@pytest.mark.slow
def test_every_op_of_them_has_a_rule(small):
    for name, job in jobs(in_16_bits(small, torch.bfloat16)).items():
        report = fxmax.explain(
            job.module, job.args, dynamic_shapes=job.dynamic_shapes, device="cpu", quiet=True
        )
        assert not report.gaps, name


def test_layer_norms_keep_float32_and_the_model_is_left_alone(small):
    half = in_16_bits(small, torch.bfloat16)
    assert half.decoder.ln.weight.dtype == torch.float32
    assert half.decoder.token_embedding.weight.dtype == torch.bfloat16
    assert small.decoder.token_embedding.weight.dtype == torch.float32


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_cache_moves_by_its_bits(dtype):
    values = torch.randn(2, 3).to(getattr(torch, dtype))
    engine = Engine.__new__(Engine)
    engine.on_cpu, engine.device = True, CPU()
    raw = values.view(torch.uint16).numpy() if dtype == "bfloat16" else values.numpy()
    buffer = engine.buffer(raw, DType[dtype])
    assert buffer.dtype == DType[dtype]
    assert torch.equal(torch.from_dlpack(buffer), values)
    np.testing.assert_array_equal(bits(buffer), raw)
