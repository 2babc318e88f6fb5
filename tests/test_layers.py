"""How the house stands: no import circle of any kind, few flat files, and every package says what it is.

The order of the layers is import-linter's, in pyproject.toml. This counts what that does not: circles within
a package, and of modules that no layer lists. Imports in functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("fxmax", "whisper_port")
MOST_FLAT_FILES = 10


def modules(package: str) -> dict[str, Path]:
    """Module → file; a package is its `__init__`."""
    found = {}
    for file in sorted((ROOT / package).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """(a, b) for each `from a import b` anywhere in a file, (a, "") for each `import a`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: a relative import"
            yield from ((str(node.module), alias.name) for alias in node.names)


def import_graph(package: str) -> networkx.DiGraph:
    """Which module imports which; `from package import module` imports that module alone."""
    files = modules(package)
    graph = networkx.DiGraph()
    graph.add_nodes_from(files)
    for module, file in files.items():
        for source, name in imports(file):
            target = f"{source}.{name}" if f"{source}.{name}" in files else source
            if target in files and target != module:
                graph.add_edge(module, target)
    return graph


def circles(graph: networkx.DiGraph) -> list[list[str]]:
    return [sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1]


def members(graph: networkx.DiGraph, package: str) -> networkx.DiGraph:
    """The same among the members of a package: its modules, its sub-packages as wholes, its `__init__`."""

    def member(module: str) -> str:
        if module == package:
            return "__init__"
        inside = module.startswith(f"{package}.")
        return module.removeprefix(f"{package}.").partition(".")[0] if inside else ""

    edges = {(member(a), member(b)) for a, b in graph.edges}
    return networkx.DiGraph((a, b) for a, b in edges if a and b and a != b)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_modules(package: str) -> None:
    graph = import_graph(package)
    assert graph.number_of_edges() > len(graph) / 2  # imports were read at all
    assert not circles(graph)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_packages(package: str) -> None:
    """Of the members of each package, at any depth, taken as wholes."""
    graph = import_graph(package)
    parents = [name for name, file in modules(package).items() if file.name == "__init__.py"]
    assert len(parents) > 5
    found = {parent: circles(members(graph, parent)) for parent in parents}
    assert not {parent: loops for parent, loops in found.items() if loops}


def test_a_circle_is_found(tmp_path, monkeypatch) -> None:
    """Of modules that import each other in a function, and for typing; of packages whose modules don't."""
    files = {
        "__init__.py": "",
        "a/__init__.py": "",
        "a/one.py": "def f():\n    from fxmax.b import two\n",
        "a/three.py": "",
        "b/__init__.py": "",
        "b/two.py": "from fxmax.a.three import x\n",
        "c.py": "import fxmax.d\n",
        "d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fxmax.c import x\n",
    }
    for name, text in files.items():
        file = tmp_path / "fxmax" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    graph = import_graph("fxmax")
    assert circles(graph) == [["fxmax.c", "fxmax.d"]]
    assert sorted(circles(members(graph, "fxmax"))) == [["a", "b"], ["c", "d"]]


def test_few_files_lie_flat() -> None:
    flat = sorted(file.name for file in (ROOT / "fxmax").glob("*.py"))
    assert len(flat) <= MOST_FLAT_FILES, flat


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_and_module_says_what_it_is(package: str) -> None:
    silent = [
        name
        for name, file in modules(package).items()
        if len((ast.get_docstring(ast.parse(file.read_text())) or "").split()) < 4
    ]
    assert not silent


def test_packages_import_nothing_of_scripts_or_tests() -> None:
    beside = {"scripts", "tests", *(path.stem for path in (ROOT / "scripts").iterdir())}
    for package in PACKAGES:
        for module, file in modules(package).items():
            assert not {source.partition(".")[0] for source, _ in imports(file)} & beside, module
