"""The `fxmax` command: what it prints, what it exits with, and how soon."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fxmax.cli import cli, main

MODEL = """
import torch

def small():
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU())
    return model.eval(), (torch.randn(4, 8),)

def bare():
    return torch.nn.Linear(8, 8).eval()

class Hard(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.svd(x).S.sum() + torch.nonzero(x).sum()

def hard():
    return Hard(), (torch.randn(3, 3),)

def wrong():
    return 3, 4
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "cli_model", raising=False)
    (tmp_path / "cli_model.py").write_text(MODEL)
    return "cli_model.py"


def run(*arguments, monkeypatch=None):
    """(status, stdout, stderr) of the console script, in this process."""
    sys.argv = ["fxmax", *arguments]
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code


def test_help_loads_neither_torch_nor_max():
    program = (
        "import sys, fxmax.cli\n"
        "try: fxmax.cli.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool([m for m in sys.modules if m.partition('.')[0] in ('torch', 'max', 'numpy')]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "fxmax verify mymodel.py:small" in done.stdout


@pytest.mark.parametrize("command", ["explain", "lower", "verify"])
def test_each_command_teaches(command):
    done = CliRunner().invoke(cli, [command, "--help"])
    assert done.exit_code == 0
    assert "package.module:factory" in done.output


def test_explain_says_what_is_lowered(model, capsys):
    assert run("explain", f"{model}:small", "--quiet") == 0
    assert "100% lowered" in capsys.readouterr().out
    assert run("explain", "cli_model:small", "--json", "--quiet") == 0
    assert json.loads(capsys.readouterr().out)["ops"]["fxmax.linear.default"] == 1


def test_verbose_names_what_the_report_counts(model, capsys):
    assert run("explain", f"{model}:small", "--quiet") == 0
    assert "packed as" not in capsys.readouterr().out
    assert run("explain", f"{model}:small", "--quiet", "--verbose") == 0
    assert "packed as" in capsys.readouterr().out


def test_explain_tells_gaps_and_exits_with_1(model, capsys):
    assert run("explain", f"{model}:hard", "--quiet") == 1
    out = capsys.readouterr().out
    assert "missing: aten" in out
    assert "cli_model.py:" in out
    assert run("lower", f"{model}:hard", "--quiet") == 1
    assert "can't be lowered" in capsys.readouterr().err


def test_sizes_may_vary(model, capsys):
    assert run("explain", f"{model}:small", "--dynamic", "batch=1..64", "--json", "--quiet") == 0
    nodes = json.loads(capsys.readouterr().out)["node_list"]
    assert "s" in nodes[0]["shape"]  # float32[s0, 8]
    assert run("explain", f"{model}:small", "--dynamic", "input.1:time=1..64", "--quiet") == 2
    assert "time" in capsys.readouterr().err  # torch says that the width is fixed


@pytest.mark.slow
def test_profile_tells_the_time_of_each_node(model, capsys, tmp_path):
    page = tmp_path / "time.html"
    options = ["--runs", "3", "--json", "--quiet", "--html", str(page)]
    assert run("profile", f"{model}:small", *options) == 0
    [node] = json.loads(capsys.readouterr().out)["nodes"]
    assert node["op"] == "fxmax.linear.default"
    assert node["ms"] >= 0
    assert "<option>time</option>" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["explain", "cli_model.py"], "names no factory"),
        (["explain", "cli_model.py:nothing"], "has no nothing"),
        (["explain", "no_such_model:f"], "can't be imported"),
        (["explain", "no_such.py:f"], "no such file"),
        (["explain", "cli_model.py:wrong"], r"gave (int, int)"),
        (["explain", "cli_model.py:bare"], "needs example inputs"),
        (["explain", "cli_model.py:small", "--dynamic", "batch"], "NAME=MIN..MAX"),
        (["explain", "cli_model.py:small", "--dynamic", "y.0:batch=1..2"], "the inputs are input"),
        (["explain", "cli_model.py:small", "--html", "no/where.html"], "folder does not exist"),
        (["profile", "cli_model.py:small", "--html", "no/where.html"], "folder does not exist"),
        (["profile", "cli_model.py:small", "--runs", "0"], "at least one run"),
        (["lower", "cli_model.py:small", "--emit", "no/where.py"], "folder does not exist"),
        (["lower", "cli_model.py:small", "--save", "no/where.fxmax"], "folder does not exist"),
        (["lower", "cli_model.py:small", "--save", "x.fxmax", "--no-compile"], "--no-compile"),
        (["explain", "cli_model.py:small", "--device", "tpu"], "cpu, gpu or gpu:N"),
        (["explain"], "TARGET"),
    ],
)
def test_bad_input_is_an_error_that_says_what_to_do(model, arguments, told, capsys):
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "Traceback" not in err


def test_lower_writes_source_and_a_page(model, capsys, tmp_path):
    done = run("lower", f"{model}:small", "--no-compile", "--emit", "out.py", "--html", "out.html", "--quiet")
    assert done == 0
    assert "def build():" in (tmp_path / "out.py").read_text()
    assert "<svg" in (tmp_path / "out.html").read_text()


@pytest.mark.slow
def test_lower_saves_and_verify_verifies(model, capsys, tmp_path):
    assert run("lower", f"{model}:small", "--save", "small.fxmax", "--quiet") == 0
    assert (tmp_path / "small.fxmax" / "manifest.json").is_file()
    capsys.readouterr()
    assert run("verify", f"{model}:small", "--json", "--quiet", "--html", "v.html") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert "no divergence" in (tmp_path / "v.html").read_text()
