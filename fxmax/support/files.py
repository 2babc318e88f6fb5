"""Files: written whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

BLOCK = 1 << 24  # bytes: each block waits twice for Python's lock, beside a thread that imports


def write_whole(path: Path, text: str) -> None:
    """Write all of `text` or nothing: a crash leaves the old file."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
