"""SHA-256 of texts and files, in hexadecimal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

BLOCK = 1 << 24  # bytes: each block waits twice for Python's lock, beside a thread that imports


def sha256(content: bytes | str) -> str:
    """Of bytes, or of a text in UTF-8."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Of a file, read block by block. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_sources(files: Mapping[str, Path], made_by: str = "") -> str:
    """Of files and their names, in the order given, and of what they are compiled with."""
    digest = hashlib.sha256(made_by.encode())
    for name, path in files.items():
        digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
