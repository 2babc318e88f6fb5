"""A second process starts from what the first has compiled, with any checkpoint of the size."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from max.graph import DeviceRef

import fxmax
from tests.support.speech import SAMPLE
from whisper_port import load_model
from whisper_port.audio.log_mel import log_mel_spectrogram
from whisper_port.audio.reading import load_audio
from whisper_port.engine import warm_start as warm
from whisper_port.engine.engine import host

CPU = DeviceRef.CPU()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(warm, "artifacts_folder", lambda: tmp_path)
    monkeypatch.delenv("FXMAX_CACHE", raising=False)
    return tmp_path


@pytest.fixture
def kept(model, checkpoint, folder):
    warm.keep(model.parts.graphs, checkpoint, CPU, None)
    [place] = folder.rglob("*.fxmax")
    return place


def find(checkpoint, dtype=None):
    return warm.find(checkpoint, CPU, dtype)


def test_it_transcribes_the_same_and_nothing_is_compiled(kept, model, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("it compiles")

    monkeypatch.setattr("whisper_port.building.compile_checkpoint", refuse)
    again = load_model("tiny.en", "cpu", quiet=True)
    audio = load_audio(SAMPLE)
    expected = model.transcribe(audio, word_timestamps=True)
    assert again.transcribe(audio, word_timestamps=True) == expected
    assert expected["text"].strip()
    assert sum(f.stat().st_size for f in kept.rglob("*")) < 40e6  # no weights: they are 150 MB


def test_a_model_that_started_so_can_be_saved(kept, model, monkeypatch, tmp_path):
    monkeypatch.setattr("whisper_port.building.compile_checkpoint", lambda *args, **kwargs: model)
    place = load_model("tiny.en", "cpu", quiet=True).save(tmp_path / "whole.fxmax")
    assert load_model(place).dims == model.dims


def test_another_checkpoint_of_the_size_brings_its_own_weights(kept, checkpoint, model):
    state = {k: v.clone() for k, v in checkpoint.state_dict.items()}
    state["encoder.ln_post.bias"] += 1.0
    changed = find(replace(checkpoint, state_dict=state))
    mel = log_mel_spectrogram(load_audio(SAMPLE), padding=480_000)[:, :3000][None]
    buffer = model.engine.buffer(np.ascontiguousarray(mel))
    before, after = (host(graphs["encoder"].execute(buffer)[0]) for graphs in (model.parts.graphs, changed))
    np.testing.assert_allclose(after, before + 1.0, atol=1e-5)


def test_a_checkpoint_that_does_not_fit_is_refused_by_name(kept, checkpoint):
    state = dict(checkpoint.state_dict)
    state["encoder.ln_post.bias"] = torch.zeros(7)
    del state["decoder.ln.weight"]
    with pytest.raises(fxmax.WeightError, match=r"(?s)ln_post\.bias.*\[7\]|decoder\.ln\.weight") as told:
        find(replace(checkpoint, state_dict=state))
    assert "ln_post.bias" in str(told.value)
    assert "decoder.ln.weight: missing" in str(told.value)


@pytest.mark.parametrize("change", ["dims", "heads", "dtype", "code", "off", "damaged"])
def test_what_is_not_the_same_is_not_found(kept, checkpoint, monkeypatch, change):
    assert find(checkpoint) is not None
    dtype = None
    if change == "dims":
        checkpoint = replace(checkpoint, dims=replace(checkpoint.dims, n_text_layer=5))
    elif change == "heads":
        checkpoint = replace(checkpoint, alignment_heads=torch.ones(4, 6, dtype=torch.bool))
    elif change == "dtype":
        dtype = "int8"
    elif change == "code":
        monkeypatch.setattr(warm, "_code", lambda: "changed")
    elif change == "off":
        monkeypatch.setenv("FXMAX_CACHE", "0")
    else:
        (kept / "program.mef").write_bytes(b"half")
    assert find(checkpoint, dtype) is None


def test_a_change_to_any_file_of_both_packages_is_another_graph(monkeypatch, tmp_path):
    from whisper_port.engine import graphs  # and with it all that lowers

    assert graphs.compile_graphs
    ours = {
        Path(module.__file__).resolve()
        for name, module in list(sys.modules.items())
        if name.split(".")[0] in ("fxmax", "whisper_port") and getattr(module, "__file__", None)
    }
    sources = warm.sources()
    assert ours <= {file.resolve() for file in sources.values()}
    assert any(name.startswith("fxmax/kernels/") and name.endswith(".mojo") for name in sources)
    before = warm._code.__wrapped__()
    changed = tmp_path / "decoder.py"
    changed.write_bytes(sources["whisper_port/modules/decoder.py"].read_bytes() + b"\n")
    monkeypatch.setattr(warm, "sources", lambda: {**sources, "whisper_port/modules/decoder.py": changed})
    assert warm._code.__wrapped__() != before
