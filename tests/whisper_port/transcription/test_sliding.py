"""tiny.en on MAX against openai-whisper on the same weights: tokens, numbers, word times, bad input."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingOptions

from tests.support.speech import CLIPS
from whisper_port.audio.reading import AudioError
from whisper_port.engine.engine import Sequences, host
from whisper_port.transcription.sliding import SlidingTranscription

pytestmark = pytest.mark.filterwarnings("ignore:FP16 is not supported")


def mel_of(audio: np.ndarray) -> torch.Tensor:
    return whisper.pad_or_trim(whisper.log_mel_spectrogram(audio), 3000)


def assert_same_result(ours, theirs):
    assert ours.tokens == theirs.tokens
    assert ours.text == theirs.text
    assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-3)
    assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-3)
    assert ours.compression_ratio == theirs.compression_ratio
    assert ours.temperature == theirs.temperature


def assert_same_transcript(ours, theirs):
    assert ours["text"] == theirs["text"]
    assert ours["language"] == theirs["language"]
    assert len(ours["segments"]) == len(theirs["segments"])
    for a, b in zip(ours["segments"], theirs["segments"], strict=True):
        assert list(a) == list(b)
        for key in ("id", "seek", "text", "tokens", "temperature"):
            assert a[key] == b[key], key
        for key in ("avg_logprob", "no_speech_prob", "compression_ratio"):
            assert a[key] == pytest.approx(b[key], abs=1e-3), key
        for key in ("start", "end"):
            assert a[key] == pytest.approx(b[key], abs=0.021), key
        for v, w in zip(a.get("words", []), b.get("words", []), strict=True):
            assert v["word"] == w["word"]
            assert v["start"] == pytest.approx(w["start"], abs=0.021)
            assert v["end"] == pytest.approx(w["end"], abs=0.021)
            assert v["probability"] == pytest.approx(w["probability"], abs=1e-2)


def test_features_are_openais(model, theirs, clip):
    mel = mel_of(clip)[None]
    with torch.no_grad():
        expected = theirs.encoder(mel)
    error = (model.encoder(mel) - expected).abs().max()
    assert error <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    "options",
    [{}, {"without_timestamps": True}, {"prompt": "A speech.", "prefix": "And so"}, {"beam_size": 5}],
    ids=str,
)
def test_decode_gives_openais_tokens(model, theirs, clip, options):
    options = DecodingOptions(language="en", fp16=False, **options)
    mel = mel_of(clip)
    assert_same_result(model.decode(mel, options), theirs.decode(mel, options))


@pytest.mark.parametrize("options", [{}, {"beam_size": 5, "patience": 2.0}], ids=str)
def test_whisper_decode_takes_the_model(model, theirs, clip, options):
    options = DecodingOptions(language="en", fp16=False, **options)
    mel = mel_of(clip)
    assert_same_result(whisper.decode(model, mel, options), theirs.decode(mel, options))


def test_windows_decode_together(model, theirs, clip):
    """Two windows of different length in one call."""
    mel = torch.stack([mel_of(clip), mel_of(clip[: 2 * 16000])])
    options = DecodingOptions(language="en", fp16=False)
    for ours, other in zip(model.decode(mel, options), theirs.decode(mel, options), strict=True):
        assert_same_result(ours, other)


@pytest.mark.slow
def test_sampling_draws_what_openai_draws(model, theirs, clip):
    """The same random numbers on the same logits."""
    options = DecodingOptions(language="en", fp16=False, temperature=0.4, best_of=3)
    results = []
    for one in (model, theirs):
        torch.manual_seed(7)
        results.append(one.decode(mel_of(clip), options))
    assert_same_result(*results)


def test_transcribe_with_word_times(model, theirs, clip):
    theirs_is = whisper.transcribe(theirs, clip, word_timestamps=True)
    assert_same_transcript(model.transcribe(clip, word_timestamps=True), theirs_is)
    assert_same_transcript(whisper.transcribe(model, clip, word_timestamps=True), theirs_is)


def test_transcribe_over_several_windows_with_every_option(model, theirs):
    """80 s made of one clip and silence, so that windows, prompts, clips and silence all matter."""
    file = CLIPS / "jfk.wav"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    from whisper_port.audio.reading import load_audio

    jfk = load_audio(file)
    audio = np.concatenate([jfk, jfk, np.zeros(8 * 16000, np.float32), jfk])
    options = {
        "initial_prompt": "A speech of 1961.",
        "carry_initial_prompt": True,
        "word_timestamps": True,
        "hallucination_silence_threshold": 2.0,
        "clip_timestamps": "0,20,28,41",
        "suppress_tokens": "-1,11",
        "max_initial_timestamp": 2.0,
        "temperature": 0.0,
    }
    assert_same_transcript(model.transcribe(audio, **options), whisper.transcribe(theirs, audio, **options))


def test_segments_come_one_by_one(model, clip):
    run = model.segments(clip, temperature=0.0)
    first = next(run)
    assert first["id"] == 0
    assert run.segments[0] is first
    rest = list(run)
    assert run.result() == model.transcribe(clip, temperature=0.0)
    assert run.segments == [first, *rest]


def test_a_full_prompt_and_a_full_context(model, clip):
    """More prompt than fits is cut as openai cuts it; sampling to the context's end is right."""
    options = DecodingOptions(
        language="en",
        fp16=False,
        prompt=[1212] * 600,
        sample_len=440,
        suppress_tokens=[50256],
        suppress_blank=False,
        without_timestamps=True,
    )
    result = model.decode(mel_of(clip), options)
    assert len(result.tokens) <= 449
    assert np.isfinite(result.avg_logprob)


def test_a_prefix_that_does_not_fit_is_refused(model, clip):
    with pytest.raises(ValueError, match=r"at most 448 fit"):
        model.decode(mel_of(clip), DecodingOptions(language="en", prefix=[1212] * 600, sample_len=224))


def test_the_cache_is_written_in_place_and_no_further(model, clip):
    windows = model.windows(mel_of(clip)[None])
    sequences = Sequences(model.engine, windows)
    sequences.prefill(np.array([[[50257, 50362, 843]]]), [2])
    assert all(host(c)[..., :3, :].any() and not host(c)[..., 3:, :].any() for c in sequences.caches)
    wide = sequences.spread(2)
    wide.rearrange([1, 0])
    for a, b in zip(sequences.caches, wide.caches, strict=True):
        np.testing.assert_array_equal(np.repeat(host(a), 2, axis=1), host(b))


def test_a_graph_runs_on_buffers_as_on_arrays(model):
    features = np.random.default_rng(0).normal(size=(1, 1500, 384)).astype(np.float32)
    cross = model.engine.graphs.cross
    buffers = cross.execute(model.engine.buffer(features))
    for buffer, array in zip(buffers, cross(features), strict=True):
        np.testing.assert_array_equal(host(buffer), array)


@pytest.mark.parametrize("name", ["step", "prefill"])
def test_a_whole_cache_is_never_copied(model, name):
    lowered = getattr(model.engine.graphs, name).lowered
    assert lowered.report.coverage == 1
    assert sum(spec.mutated for spec in lowered.signature.tensors) == 2 * model.dims.n_text_layer
    text = str(lowered.graph)
    assert text.count("fxmax.store_places") == 2 * model.dims.n_text_layer
    assert "mo.mutable.store" not in text
    reads = 0 if name == "step" else 2 * model.dims.n_text_layer  # a prompt's mask: attention is composed
    assert text.count("mo.mutable.load") == reads


def test_silence_ten_milliseconds_and_nothing(model, theirs):
    for samples in (0, 100, 160, 16000):
        silence = np.zeros(samples, np.float32)
        expected = whisper.transcribe(theirs, silence, temperature=0.0)
        assert_same_transcript(model.transcribe(silence, temperature=0.0), expected)


def test_clipped_sound_is_openais(model, theirs, clip):
    loud = np.clip(clip * 50, -1, 1)
    expected = whisper.transcribe(theirs, loud, temperature=0.0)
    assert_same_transcript(model.transcribe(loud, temperature=0.0), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "translate"}, "multilingual"),
        ({"task": "summarize"}, "'transcribe' or 'translate'"),
        ({"language": "es"}, "English only"),
        ({"language": "klingon"}, "unknown language"),
        ({"clip_timestamps": "a,b"}, "start,end"),
        ({"temperature": ()}, "empty"),
    ],
)
def test_a_wrong_option_is_refused_before_any_work(model, options, message):
    with pytest.raises(ValueError, match=message):
        SlidingTranscription(model, "nowhere.wav", **options)  # before the file is looked at


def test_an_unknown_option_is_refused(model):
    with pytest.raises(TypeError, match="beams"):
        model.transcribe(np.zeros(16000, np.float32), beams=5)


def test_sound_of_nan_is_refused(model):
    with pytest.raises(AudioError, match="NaN"):
        model.transcribe(np.full(16000, np.nan, np.float32))


@pytest.mark.slow
def test_two_threads_share_a_model(model, clip):
    expected = model.transcribe(clip, temperature=0.0)
    results: dict[int, object] = {}

    def work(i: int) -> None:
        shifted = np.concatenate([np.zeros(i * 1600, np.float32), clip])
        alone = model.transcribe(shifted, temperature=0.0) if i else expected
        results[i] = (model.transcribe(shifted, temperature=0.0), alone)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert all(a == b for a, b in results.values())


def test_no_torch_module_runs(model, clip, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise AssertionError(f"a torch module ran: {type(self).__name__}")

    monkeypatch.setattr(torch.nn.Module, "__call__", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.transcribe(clip, word_timestamps=True, temperature=0.0, beam_size=2)["text"]
