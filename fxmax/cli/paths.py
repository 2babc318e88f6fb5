"""Files that a command writes: looked at before it does anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class OutFile(click.Path):
    """A file to write, in a folder that exists."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment]
        if not path.resolve().parent.is_dir():
            self.fail(f"{path}: its folder does not exist; make it first", param, ctx)
        return path
