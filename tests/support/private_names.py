"""Which private names of another package a file uses, read off its syntax."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("fxmax", "whisper_port", "scripts") for path in (ROOT / folder).rglob("*.py")]


def imported(path: Path, package: str) -> set[str]:
    """Dotted names that the file imports from `package`, and that have a private part."""
    tree = ast.parse(path.read_text())
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Attribute) and not node.attr.startswith("__"):
            found.add(ast.unparse(node))
    return {name for name in found if name.split(".")[0] == package and is_private(name)}


def is_private(name: str) -> bool:
    """Whether a part of it begins with an underscore, operators aside: torch.ops has names of its own."""
    return any(part.startswith("_") for part in name.split(".")) and not name.startswith("torch.ops.")


def attributes(path: Path) -> set[str]:
    """Private attributes that the file reads of anything but `self` and modules."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            found.add(node.attr)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr" and len(node.args) > 1:
            attribute = node.args[1]
            if isinstance(attribute, ast.Constant) and str(attribute.value).startswith("_"):
                found.add(str(attribute.value))
    return found


def foreign_attributes() -> dict[str, set[Path]]:
    """Private attributes that are read in some file and defined in none, operators' names aside."""
    defined = {"_fields", "_replace"}  # of named tuples
    used: dict[str, set[Path]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                operator = ast.unparse(node.value).removeprefix("torch.ops.").split(".")[0] == "aten"
                if isinstance(node.ctx, ast.Store) or operator or node.attr.startswith("__"):
                    defined |= set() if operator else {node.attr}
                else:
                    used.setdefault(node.attr, set()).add(path)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
    return {name: paths for name, paths in used.items() if name not in defined}


def resolve(name: str) -> Any:
    """The object of a dotted name; the longest part that can be imported is imported.

    Raises:
        AttributeError, ImportError: it is gone.
    """
    module, _, rest = name.rpartition(".")
    parts = [rest]
    while True:
        try:
            value = import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            parts.insert(0, last)
            if not module:
                raise
    for part in parts:
        value = getattr(value, part)
    return value
