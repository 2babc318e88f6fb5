"""The docs site: `sphinx-build -W docs docs/_build`, which needs no network."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fxmax._version import __version__  # noqa: E402 - found by the line above

project = "fxmax"
author = "The fxmax authors"
copyright = "the fxmax authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
default_role = "code"  # docstrings write `name`, as Markdown does
suppress_warnings = ["misc.highlighting_failure"]  # Mojo's lexer is older than the language

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"fxmax {release}"
html_show_sphinx = False
