"""The decoder's functions and rules against openai-whisper's, in torch; no compile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingOptions, DecodingTask

from whisper_port.decoding.token_rules import GreedyRules
from whisper_port.engine.graphs import cache_shape
from whisper_port.modules.decoder import CrossKeysValues, Prefill, Step, slots


@pytest.fixture(scope="module")
def features(theirs):
    torch.manual_seed(0)
    with torch.no_grad():
        return theirs.encoder(torch.randn(2, theirs.dims.n_mels, 3000))


@pytest.fixture(scope="module")
def cross(theirs, features):
    with torch.no_grad():
        return CrossKeysValues(theirs.decoder)(features)


def caches(model, audio, group):
    return [torch.zeros(audio, group, *cache_shape(model.dims)) for _ in range(2 * model.dims.n_text_layer)]


@torch.no_grad()
def test_prefill_and_steps_are_openais_decoder(theirs, features, cross):
    tokens = torch.randint(0, 50000, (2, 3, 9))
    expected = torch.stack([theirs.decoder(tokens[i], features[i : i + 1]) for i in range(2)])
    cache = caches(theirs, 2, 3)
    logits, _ = Prefill(theirs.decoder, [(3, 0)])(tokens[..., :6], torch.tensor([1, 5]), cache, cross)
    assert (logits - expected[:, :, [1, 5]]).abs().max() <= 1e-4
    step = Step(theirs.decoder)
    for past in range(6, 9):
        logits = step(tokens[..., past], torch.zeros(past, dtype=torch.uint8), cache, cross)
        assert (logits - expected[:, :, past]).abs().max() <= 1e-4
    assert all(not c[..., 9:, :].any() for c in cache)


@torch.no_grad()
def test_the_scores_are_openais_attention(theirs, features, cross):
    tokens = torch.randint(0, 50000, (2, 12))
    pairs = [(1, 2), (3, 0), (3, 5)]
    scores: dict[int, torch.Tensor] = {}
    hooks = [
        block.cross_attn.register_forward_hook(lambda _, i, out, n=n: scores.__setitem__(n, out[-1]))
        for n, block in enumerate(theirs.decoder.blocks)
    ]
    with whisper.model.disable_sdpa():
        expected = theirs.decoder(tokens, features)
    for hook in hooks:
        hook.remove()
    prefill = Prefill(theirs.decoder, pairs)
    logits, found = prefill(tokens[:, None], torch.arange(12), caches(theirs, 2, 1), cross)
    assert (logits[:, 0] - expected).abs().max() <= 1e-4
    for i, (layer, head) in enumerate(pairs):
        assert (found[:, i] - scores[layer][:, head]).abs().max() <= 1e-3 * scores[layer].abs().max()


def histories(begin, eot):
    """Sampled tokens so far, in every state that the rules tell apart."""
    return [
        [],
        [begin],
        [begin + 20],
        [begin + 1400],
        [begin, 300],
        [begin, 300, 400],
        [begin, 300, begin + 100],
        [begin, 300, begin + 100, begin + 100],
        [begin, 300, begin + 100, begin + 100, 500],
        [begin, 300, begin + 1500],
        [300],
        [300, begin + 7],
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"without_timestamps": True},
        {"max_initial_timestamp": None},
        {"suppress_tokens": "", "suppress_blank": False},
        {"suppress_tokens": [11, 13, 50256]},
    ],
    ids=str,
)
def test_the_rules_are_openais_filters(theirs, options):
    """The token and its log-probability, in each state."""
    task = DecodingTask(theirs, DecodingOptions(language="en", fp16=False, **options))
    rules = GreedyRules(task, theirs.dims.n_vocab)
    begin, eot = rules.begin, rules.eot
    generator = torch.Generator().manual_seed(1)
    for sampled in histories(begin, eot):
        for lift in (-20.0, 0.0, 8.0, 20.0):  # of the timestamps, so that they win and lose
            logits = torch.randn(1, theirs.dims.n_vocab, generator=generator) * 4
            logits[:, begin:] += lift
            expected = logits.clone()
            tokens = torch.tensor([[*task.initial_tokens, *sampled]])
            for one in task.logit_filters:
                one.apply(expected, tokens)
            best = int(expected.argmax())
            logprob = float(expected.log_softmax(-1)[0, best])
            token, value = rules.choose(logits[0].numpy(), sampled)
            assert token == best
            assert value == pytest.approx(logprob, abs=1e-4)


def test_slots_leave_one_to_spare(theirs):
    assert slots(theirs.decoder) == theirs.dims.n_text_ctx + 1 == cache_shape(theirs.dims)[1]


def test_the_last_position_can_be_prompted(theirs, cross):
    tokens = torch.zeros(2, 1, 448, dtype=torch.int64)
    with torch.no_grad():
        prefill = Prefill(theirs.decoder, [(3, 0)])
        logits, _ = prefill(tokens, torch.tensor([447]), caches(theirs, 2, 1), cross)
    assert np.isfinite(logits.numpy()).all()
