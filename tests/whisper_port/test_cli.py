"""`fxmax-whisper` and scripts/transcribe.py: flags, files written, errors, Ctrl-C."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
import whisper

from tests.support.speech import SAMPLE
from whisper_port import cli
from whisper_port.audio.reading import load_audio

SCRIPT = Path(__file__).parents[2] / "scripts" / "transcribe.py"


@pytest.fixture
def run(model, monkeypatch):
    """The command in this process, with the compiled model in place of a load."""
    monkeypatch.setattr("whisper_port.loading.load_model", lambda *a, **k: model)
    return lambda *args: cli.main([str(a) for a in args])


def openai_parser(monkeypatch) -> argparse.ArgumentParser:
    """The parser inside `whisper.transcribe.cli`."""
    module = sys.modules["whisper.transcribe"]
    seen = []

    def stop(self, *args, **kwargs):
        seen.append(self)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(SystemExit):
            module.cli()
    return seen[0]


def test_the_flags_and_defaults_are_openais(monkeypatch):
    theirs = {a.dest: a for a in openai_parser(monkeypatch)._actions}
    ours = {a.dest: a for a in cli.build_parser()._actions}
    own = {"dtype", "artifact", "save_artifact", "batch_size"}
    assert set(ours) == {*theirs, *own}
    for name in set(theirs) - {"help", "model", "device"}:
        assert ours[name].option_strings == theirs[name].option_strings, name
        a, b = ours[name].default, theirs[name].default
        assert (str(a) if isinstance(a, Path) else a) == b, name


def test_help_teaches_without_loading_torch():
    code = "import sys; sys.argv = ['fxmax-whisper', '--help']\nfrom whisper_port.cli import main\n"
    code += "try: main()\nfinally: print('torch' in sys.modules, 'max' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SCRIPT.parents[1])
    assert "examples:" in done.stdout
    assert done.stdout.strip().endswith("False False")


def test_files_are_written_by_openais_writers(run, theirs, tmp_path, capsys):
    assert run(SAMPLE, SAMPLE, "--output_dir", tmp_path / "new", "--word_timestamps", "True") == 0
    written = sorted(f.name for f in (tmp_path / "new").iterdir())
    assert written == [f"sample.{e}" for e in ("json", "srt", "tsv", "txt", "vtt")]
    found = json.loads((tmp_path / "new" / "sample.json").read_text())
    expected = whisper.transcribe(theirs, load_audio(SAMPLE), beam_size=5, best_of=5, fp16=False)
    assert found["text"] == expected["text"]
    assert found["segments"][0]["words"]
    assert f"] {expected['segments'][0]['text']}" in capsys.readouterr().out


def test_a_bad_file_is_skipped_and_the_next_is_done(run, tmp_path, capsys):
    bad = tmp_path / "bad.wav"
    bad.write_text("not audio")
    assert run(bad, tmp_path / "gone.wav", SAMPLE, "-o", tmp_path, "-f", "txt", "--beam_size", "None") == 1
    assert sorted(f.name for f in tmp_path.iterdir()) == ["bad.wav", "sample.txt"]
    error = capsys.readouterr().err
    assert "bad.wav can't be read as audio" in error
    assert "no such audio file" in error


def test_ctrl_c_writes_the_segments_so_far(run, tmp_path, capsys, monkeypatch):
    from whisper_port.transcription.transcription import Transcription

    given = Transcription.__next__

    def interrupted(self):
        if self.segments:
            raise KeyboardInterrupt
        return given(self)

    monkeypatch.setattr(Transcription, "__next__", interrupted)
    assert run(SAMPLE, "-o", tmp_path, "-f", "txt", "--beam_size", "None") == 130
    assert (tmp_path / "sample.txt").read_text().strip()
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--max_line_width", "40"], "requires --word_timestamps True"),
        (["--task", "translate"], "needs a multilingual model"),
        (["--language", "Klingon"], "unknown language"),
        (["--word_timestamps", "yes"], "neither True nor False"),
        (["--temperature_increment_on_fallback", "0"], "above 0"),
        (["-o", __file__], "is a file"),
    ],
)
def test_wrong_usage_is_refused_at_once(args, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["talk.wav", *args])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_model_is_explained(capsys):
    assert cli.main(["talk.wav", "--model", "tinny.en"]) == 1
    assert "Did you mean tiny.en?" in capsys.readouterr().err


def test_the_script_is_the_command():
    done = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "fxmax-whisper" in done.stdout
