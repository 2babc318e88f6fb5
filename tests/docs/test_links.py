"""The pages' links and paths lead somewhere, and the API reference leaves no public name out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fxmax
import fxmax.errors
import whisper_port

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"^```.*?^```", re.M | re.S)
LINK = re.compile(r"\]\(([^()\s]+)\)")
# A path of the repository, in code: `fxmax/rules/pool.py`, `tests/docs/`, `fxmax/kernels/*.mojo`.
PATH = re.compile(r"`((?:docs|examples|fxmax|scripts|tests|whisper_port)/[\w./*-]*)")
RELEASED = "CHANGELOG.md"  # paths there are those of their day


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub and MyST make links of them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def dead_links(page: Path) -> list[str]:
    dead = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def missing_paths(page: Path) -> list[str]:
    text = page.read_text()
    return [path for path in sorted(set(PATH.findall(text))) if not any(ROOT.glob(path.rstrip("/")))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert not dead_links(page)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != RELEASED], ids=lambda p: p.name)
def test_every_path_that_is_named_is_there(page: Path) -> None:
    assert not missing_paths(page)


def test_what_is_found_dead(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading, `so`\n[a](#a-heading-so) [b](#b) [c](c.md) `fxmax/no.py` `fxmax/*.py`\n")
    assert dead_links(page) == ["#b", "c.md"]
    assert missing_paths(page) == ["fxmax/no.py"]


@pytest.mark.parametrize(
    ("package", "page"), [(fxmax, "api-fxmax.md"), (whisper_port, "api-whisper.md")], ids=["fxmax", "whisper"]
)
def test_the_reference_has_every_public_name(package, page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    documented = set(re.findall(rf"^\.\. auto\w+:: {package.__name__}\.(\w+)$", text, re.M))
    errors = {n for n in vars(fxmax.errors) if n.endswith("Error")} if package is fxmax else set()
    assert documented - {"errors"} | errors == set(package.__all__) - {"__version__"}
