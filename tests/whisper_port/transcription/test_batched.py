"""Windows decoded together give what each gives alone, and cover the recording once."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from whisper.audio import N_FRAMES
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.tokenizer import get_tokenizer

from tests.support.speech import SAMPLE
from whisper_port.audio.log_mel import LogMel, log_mel_spectrogram
from whisper_port.audio.reading import load_audio
from whisper_port.transcription import batched
from whisper_port.transcription.segments import DecodedWindow, cut_whole
from whisper_port.transcription.start import start

RATE = 16000


def talk(seconds: float) -> np.ndarray:
    """The sample over and over, each time louder or quieter, with silence between."""
    sample = load_audio(SAMPLE)
    rng = np.random.default_rng(0)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE:
        parts += [sample * rng.uniform(0.3, 1.0), np.zeros(int(rng.uniform(0.4, 1.5) * RATE), np.float32)]
    return np.concatenate(parts)[: int(seconds * RATE)].astype(np.float32)


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    return talk(50)


def facts(result):
    """Everything but the last bits of the probabilities: a product of more rows rounds otherwise."""
    return result["text"], [(s["start"], s["end"], s["text"], s["tokens"]) for s in result["segments"]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"without_timestamps": True}, marks=pytest.mark.slow),
        pytest.param({"beam_size": 2}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_batch_gives_what_each_window_gives_alone(model, recording, options):
    given = {"temperature": 0.0, "language": "en", **options}
    alone = model.transcribe(recording, batch_size=1, **given)
    assert facts(model.transcribe(recording, batch_size=4, **given)) == facts(alone)
    assert len(alone["text"].split()) > 25


@pytest.mark.slow
def test_segments_are_in_order_and_have_words(model, recording):
    found = list(model.segments(recording, batch_size=2, word_timestamps=True, temperature=0.0))
    starts = [s["start"] for s in found]
    assert starts == sorted(starts)
    assert found[-1]["end"] > 40
    assert [s["id"] for s in found] == list(range(len(found)))
    words = [w for s in found for w in s["words"]]
    assert "".join(w["word"] for w in words).split() == " ".join(s["text"] for s in found).split()


@pytest.mark.slow
def test_only_the_windows_that_look_wrong_are_tried_again(model, recording, monkeypatch):
    run = start(model, recording, 4, temperature=(0.0, 0.4))
    asked = []
    real = type(model).decode

    def decode(self, mel, options):
        asked.append((len(mel), options.temperature))
        return real(self, mel, options)

    monkeypatch.setattr(type(model), "decode", decode)
    wrong = iter([True, False, False, False])  # of the first batch, the first window
    monkeypatch.setattr(run.options, "needs_fallback", lambda result: next(wrong, False), raising=False)
    list(run)
    assert asked[0][1:] == (0.0,)
    assert asked[1] == (1, 0.4)
    assert all(temperature == 0.0 for _, temperature in asked[2:])


@pytest.mark.slow
def test_a_finished_window_is_let_go_and_the_others_go_on(model):
    """Windows that end at different tokens, in one batch, as each alone."""
    sample = load_audio(SAMPLE)
    sounds = [sample, sample[: RATE // 2], np.zeros(RATE, np.float32), talk(28), sample[RATE:]]
    mels = np.stack([log_mel_spectrogram(s, padding=30 * RATE)[:, :N_FRAMES] for s in sounds])
    options = DecodingOptions(language="en", fp16=False)
    together = model.decode(mels, options)
    alone = [model.decode(mel, options) for mel in mels]
    assert [r.tokens for r in together] == [r.tokens for r in alone]
    assert len({len(r.tokens) for r in alone}) > 2
    np.testing.assert_allclose([r.avg_logprob for r in together], [r.avg_logprob for r in alone], atol=1e-3)


@pytest.mark.parametrize("clips", ["0", "3,40", "0,10,20,45", "49,200"])
def test_the_windows_cover_each_clip_once(recording, clips):
    mel = LogMel([recording], 80)
    found = list(batched.limits(mel, clips))
    edges = [min(round(float(t) * 100), mel.frames) for t in clips.split(",")]
    edges += [mel.frames] * (len(edges) % 2)
    assert sum(size for _, size in found) == sum(b - a for a, b in zip(edges[::2], edges[1::2], strict=True))
    assert all(0 < size <= N_FRAMES for _, size in found)
    assert all(a + n <= b for (a, n), (b, _) in itertools.pairwise(found))


def test_a_window_ends_where_it_is_quiet():
    rng = np.random.default_rng(1)
    window = rng.uniform(0.5, 1.0, (80, N_FRAMES)).astype(np.float32)
    window[:, 500:600] = -1.0  # too early
    window[:, 2400:2440] = -1.0
    assert 2400 <= batched.quiet_frame(window) < 2440
    window[:, 2800:2840] = -1.0  # as quiet, and later: a fuller window
    assert 2800 <= batched.quiet_frame(window) < 2840
    assert batched.LEAST <= batched.quiet_frame(np.ones_like(window)) <= N_FRAMES


def test_what_a_window_leaves_unfinished_is_kept():
    tokenizer = get_tokenizer(False)
    t, hello, there = tokenizer.timestamp_begin, *tokenizer.encode(" hello there")[:2]
    tokens = [t, hello, t + 50, t + 60, there]
    result = DecodingResult(audio_features=None, language="en", tokens=tokens)
    window = DecodedWindow(1000, 1500, 2, tokenizer, result)
    first, rest = cut_whole(window)
    assert (first["start"], first["end"], first["text"]) == (10.0, 11.0, " hello")
    assert (rest["start"], rest["end"], rest["text"]) == (pytest.approx(11.2), 25.0, " there")
    window.result = replace(result, tokens=[t, hello, t + 50, t + 50])
    assert [s["text"] for s in cut_whole(window)] == [" hello"]


def test_what_the_text_leaves_of_the_sound_is_decoded_next(model, recording, monkeypatch):
    """Ten seconds of each of two windows are told first; then the rests, together."""
    run = start(model, recording, 2, temperature=0.0, language="en")
    tokenizer = get_tokenizer(False)
    t, hello = tokenizer.timestamp_begin, *tokenizer.encode(" hello")
    asked = []

    def decode(frames, prompt):
        asked.append(len(frames))
        tokens = [t, hello, t + 500, t + 500] if len(asked) == 1 else [t, hello, t + 250]
        result = DecodingResult(audio_features=None, language="en", tokens=tokens, no_speech_prob=0.0)
        return [result] * len(frames)

    monkeypatch.setattr(run, "_decode_batch", decode)
    found = [(s["start"], s["end"]) for s in run]
    second = next(itertools.islice(batched.limits(LogMel([recording], 80), "0"), 1, None))[0] / 100
    times = [(0, 10), (10, 15), (second, second + 10), (second + 10, second + 15)]
    np.testing.assert_allclose(found, times, atol=1e-6)
    assert asked == [2, 2]


def test_what_is_refused(model, recording):
    with pytest.raises(ValueError, match="batch_size is 0"):
        model.transcribe(recording, batch_size=0)
    with pytest.raises(ValueError, match="leave it out, or batch_size"):
        model.transcribe(recording, batch_size=2, hallucination_silence_threshold=1.0)
