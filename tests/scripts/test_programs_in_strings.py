"""Programs in strings, which no linter reads, import names that are there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# At the start of a line or after a semicolon, in a string as elsewhere.
IMPORT = re.compile(r"(?:^|[;\"'])\s*from ((?:fxmax|whisper_port)[\w.]*) import \(?([\w, ]+)", re.M)


def missing(text: str) -> list[str]:
    """The names that `text` imports from the two packages and that are not there."""
    wrong = []
    for home, names in IMPORT.findall(text):
        for name in (part.split(" as ")[0].strip() for part in names.split(",")):
            if name and not there(home, name):
                wrong.append(f"{home}.{name}")
    return wrong


def there(home: str, name: str) -> bool:
    """Whether `from home import name` works."""
    try:
        if hasattr(import_module(home), name):
            return True
        import_module(f"{home}.{name}")
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("folder", ["scripts", "examples"])
def test_every_import_finds_its_name(folder: str) -> None:
    wrong = {str(f.relative_to(ROOT)): missing(f.read_text()) for f in sorted((ROOT / folder).rglob("*.py"))}
    assert {file: names for file, names in wrong.items() if names} == {}


def test_what_is_not_there_is_found() -> None:
    text = (
        'CODE = """\nfrom fxmax.api import lower, raise_up\n"""\nrun("import sys; from fxmax.gone import x")'
    )
    assert missing(text) == ["fxmax.api.raise_up", "fxmax.gone.x"]
