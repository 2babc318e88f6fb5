#!/usr/bin/env python3
"""Build the sdist and the wheel, check what is in them, and use the wheel as someone who installed it.

A fresh venv gets the wheel with the extra `torch`. There, away from the checkout and with an empty home, it
prints the help texts, and lowers a module, compares it with torch and saves it. Then all that the extra
brought is removed, and the artifact gives the same numbers without it.

Needs git, the extra `dev`, and the package registry that pip is set up for. Takes about two minutes on two
cores, half of it in pip, half in a compile with cold caches.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from _checkout import ROOT

from fxmax._version import __version__

STARTED = time.monotonic()
PACKAGES = ("fxmax/", "whisper_port/")

NET = """
import torch

def net():
    layers = torch.nn.Linear(16, 32), torch.nn.GELU(), torch.nn.Linear(32, 4)
    return torch.nn.Sequential(*layers).eval(), (torch.randn(2, 16),)
"""

LOWER = """
import fxmax, net, numpy, torch

module, (x,) = net.net()
compiled = fxmax.lower(module, (x,), quiet=True)
expected = module(x).detach()
torch.testing.assert_close(compiled(x), expected)
compiled.save("net.fxmax")
numpy.savez("net.npz", x=x.numpy(), expected=expected.numpy())
"""

LOAD = """
import importlib.util, fxmax, numpy

assert importlib.util.find_spec("torch") is None
with numpy.load("net.npz") as saved:
    loaded = fxmax.load("net.fxmax")(saved["x"])
    numpy.testing.assert_allclose(loaded, saved["expected"], rtol=1e-5, atol=1e-6)
"""


class WrongPackageError(Exception):
    """What is wrong with the packages, for whoever runs this."""


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        try:
            say("build")
            run([sys.executable, "-m", "build", "--outdir", str(work / "dist"), str(ROOT)])
            [sdist], [wheel] = (work / "dist").glob("*.tar.gz"), (work / "dist").glob("*.whl")
            check_contents(sdist, wheel)
            use(wheel, work)
        except WrongPackageError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    say(f"{wheel.name} and {sdist.name} are as they should be")
    return 0


def check_contents(sdist: Path, wheel: Path) -> None:
    """The sdist holds what git does, the wheel its two packages; both say the one version."""
    tracked = set(run(["git", "-C", str(ROOT), "ls-files"]).splitlines())
    with tarfile.open(sdist) as archive:
        paths = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    same(sdist.name, paths, tracked | {"PKG-INFO"})
    with zipfile.ZipFile(wheel) as archive:
        info = f"fxmax-{__version__}.dist-info/"
        inside = {path for path in archive.namelist() if not path.startswith(info)}
        same(wheel.name, inside, {path for path in tracked if path.startswith(PACKAGES)})
        metadata = message_from_bytes(archive.read(info + "METADATA"))
    check_metadata(metadata)


def check_metadata(metadata: Message) -> None:
    """The version, the licence, and no torch in what `pip install fxmax` takes."""
    core = [r for r in metadata.get_all("Requires-Dist", ()) if "extra ==" not in r]
    if any(r.startswith("torch") for r in core):
        raise WrongPackageError(
            f"the core install takes torch, which running an artifact does not need: {core}"
        )
    for field, expected in {"Version": __version__, "License-Expression": "MIT"}.items():
        if metadata[field] != expected:
            raise WrongPackageError(f"METADATA has {field}: {metadata[field]}, and not {expected}")


def same(archive: str, inside: set[str], expected: set[str]) -> None:
    """Raises: WrongPackageError, with the names that `archive` has too many or too few."""
    if extra := sorted(inside - expected):
        raise WrongPackageError(f"{archive} holds what git does not, or not there: {', '.join(extra)}")
    if missing := sorted(expected - inside):
        raise WrongPackageError(f"{archive} lacks {', '.join(missing)}")


def use(wheel: Path, work: Path) -> None:
    """Install the wheel in a venv of its own, and do there what a user does first."""
    say("install")
    venv.create(work / "venv", with_pip=True)
    programs = work / "venv" / "bin"
    python, home, here = str(programs / "python"), work / "home", work / "here"
    pip = [python, "-m", "pip"]
    run([*pip, "install", "-q", "--no-compile", str(wheel)])
    core = packages(pip)
    run([*pip, "install", "-q", "--no-compile", f"{wheel}[torch]"])
    brought = packages(pip) - core
    home.mkdir()
    here.mkdir()
    (here / "net.py").write_text(NET)

    def user(*command: str, status: int = 0) -> str:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return run(list(command), cwd=here, env=kept | {"HOME": str(home)}, status=status)

    say("help")
    for program in ("fxmax", "fxmax-whisper"):
        expect("usage:", user(str(programs / program), "--help").lower())
    expect(__version__, user(str(programs / "fxmax"), "--version"))
    say("lower")
    user(python, "-c", LOWER)
    expect("100% lowered", user(str(programs / "fxmax"), "explain", "net.py:net"))
    say("load without torch")
    run([*pip, "uninstall", "-q", "-y", *sorted(brought)])
    user(python, "-c", LOAD)
    expect("pip install 'fxmax[torch]'", user(str(programs / "fxmax"), "explain", "net.py:net", status=2))


def packages(pip: list[str]) -> set[str]:
    """The names of what is installed."""
    return {line.partition("==")[0] for line in run([*pip, "list", "--format", "freeze"]).splitlines()}


def expect(text: str, output: str) -> None:
    """Raises: WrongPackageError, if `text` is not in `output`."""
    if text not in output:
        raise WrongPackageError(f"no {text!r} in:\n{output}")


def run(
    command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None, status: int = 0
) -> str:
    """What `command` prints.

    Raises:
        WrongPackageError: it ended with another status, with all it printed.
    """
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != status:
        raise WrongPackageError(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def say(text: str) -> None:
    print(f"check_wheel: {time.monotonic() - STARTED:3.0f} s: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
