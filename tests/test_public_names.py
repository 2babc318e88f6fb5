"""The names that users write: what the packages export, and what README and docs mention."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import fxmax
import fxmax.fx.custom_ops  # defines the ops of torch.ops.fxmax
import whisper_port

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PACKAGES = [fxmax, whisper_port]
# `fxmax.lower`, `fxmax.passes.PASSES`; not the `fxmax` of a file's name, `net.fxmax`.
DOTTED = re.compile(r"(?<![\w./-])(?:fxmax|whisper_port)(?:\.[A-Za-z_]\w*)+")
# In pyproject these are no modules, but names of groups of entry points.
ENTRY_POINTS = {"fxmax.example_inputs"}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_every_exported_name_loads(package: Any) -> None:
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert dir(package) == package.__all__


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_type_checkers_see_the_names_that_load(package: Any) -> None:
    tree = ast.parse(Path(package.__file__).read_text())
    [block] = [n for n in tree.body if isinstance(n, ast.If)]
    seen = {
        alias.asname: (line.module, alias.name)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    for line in block.body:  # new, old = _new, _old: a name that differs from the one at home
        if isinstance(line, ast.Assign):
            names, private = line.targets[0].elts, line.value.elts
            seen |= {n.id: seen.pop(p.id) for n, p in zip(names, private, strict=True)}
    homes = {n: h if isinstance(h, tuple) else (h, n) for n, h in package._HOME.items()}
    assert seen == homes


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_a_name_that_is_not_there_is_an_attribute_error(package: Any) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_importing_the_package_loads_neither_torch_nor_max(package: Any) -> None:
    program = (
        f"import sys, {package.__name__} as package; dir(package)\n"
        "print([m for m in sys.modules if m.partition('.')[0] in ('torch', 'max', 'numpy', 'whisper')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_name_in_the_docs_resolves(page: Path) -> None:
    missing = [name for name in mentioned(page.read_text()) if not resolves(name)]
    assert not missing


def test_what_is_looked_for_in_the_docs() -> None:
    text = "`fxmax.lower(m)` with fxmax.passes.PASSES writes net.fxmax; see x/fxmax.html, fxmax.nothing."
    assert mentioned(text) == ["fxmax.lower", "fxmax.nothing", "fxmax.passes.PASSES"]
    assert [name for name in mentioned(text) if not resolves(name)] == ["fxmax.nothing"]


def mentioned(text: str) -> list[str]:
    """The dotted names of the two packages in `text`."""
    return sorted(set(DOTTED.findall(text)) - ENTRY_POINTS)


def resolves(name: str) -> bool:
    """Whether `name` is an attribute, a module, what a module holds, or one of fxmax's ops of torch."""
    package, *parts = name.split(".")
    value: Any = import_module(package)
    for at, part in enumerate(parts, 1):
        if not hasattr(value, part):
            try:
                import_module(".".join([package, *parts[:at]]))
            except ModuleNotFoundError:
                return package == "fxmax" and at == 1 and hasattr(torch.ops.fxmax, part)
        value = getattr(value, part)
    return True
