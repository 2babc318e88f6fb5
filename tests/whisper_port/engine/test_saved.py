"""A whole Whisper model as an artifact: the same text with nothing compiled, or a clear error."""

from __future__ import annotations

import json

import pytest
import torch

import fxmax
from fxmax.runtime import program as runtime
from tests.support.speech import SAMPLE
from whisper_port import cli, load_model
from whisper_port.audio.reading import load_audio


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return model.save(tmp_path_factory.mktemp("saved") / "tiny.en.fxmax")


@pytest.fixture(scope="module")
def again(saved):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "_compile", None)  # to be called is an error
        return load_model(saved)


def test_it_transcribes_as_the_model_that_was_saved(again, model):
    audio = load_audio(SAMPLE)
    expected = model.transcribe(audio, word_timestamps=True)
    assert expected["text"].strip()
    assert again.transcribe(audio, word_timestamps=True) == expected
    assert again.dims == model.dims
    assert torch.equal(again.alignment_heads.to_dense(), model.alignment_heads.to_dense())
    assert model.source in again.source


def test_it_cant_be_saved_from_itself(again, tmp_path):
    with pytest.raises(fxmax.ArtifactError, match="copy that folder"):
        again.save(tmp_path / "copy.fxmax")


def test_the_command_starts_from_it(saved, tmp_path, capsys):
    arguments = ["--artifact", str(saved), str(SAMPLE), "--output_dir", str(tmp_path), "-f", "json"]
    assert cli.main(arguments) == 0
    assert json.loads((tmp_path / "sample.json").read_text())["text"].strip()


def test_the_command_writes_it(run_with_model, tmp_path, capsys):
    place = tmp_path / "made.fxmax"
    assert run_with_model(["--save_artifact", str(place)]) == 0
    assert load_model(place).is_multilingual is False
    assert f"--artifact {place}" in capsys.readouterr().err


@pytest.fixture
def run_with_model(model, monkeypatch):
    monkeypatch.setattr("whisper_port.loading.load_model", lambda *a, **k: model)
    return cli.main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name an audio file"),
        (["--artifact", "nowhere", "a.wav"], "is not an artifact"),
        (["--artifact", "nowhere", "--dtype", "int8", "a.wav"], "where it is saved"),
    ],
)
def test_what_the_command_refuses(arguments, message, capsys):
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert message in capsys.readouterr().err


def test_a_place_that_wont_do_is_refused_before_the_compile(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("whisper_port.loading.load_model", None)
    assert cli.main(["--save_artifact", str(tmp_path / "no" / "where")]) == 1
    assert "folder does not exist" in capsys.readouterr().err


def test_damage_is_an_error(saved, tmp_path):
    weights = saved / "weights.safetensors"
    kept = weights.read_bytes()
    try:
        weights.write_bytes(kept[:1000] + bytes([kept[1000] ^ 1]) + kept[1001:])
        with pytest.raises(fxmax.ArtifactError, match=r"weights\.safetensors"):
            load_model(saved)
    finally:
        weights.write_bytes(kept)
    with pytest.raises(ValueError, match="stay as they were saved"):
        load_model(saved, dtype="int8")


def test_another_model_is_told(model, tmp_path):
    fxmax.save(tmp_path / "another.fxmax", model.parts.graphs)  # without what makes it Whisper
    with pytest.raises(fxmax.ArtifactError, match="of another model than Whisper"):
        load_model(tmp_path / "another.fxmax")
