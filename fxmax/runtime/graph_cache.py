"""Compiled graphs, kept by content: the same graph, for the same MAX and machine, is compiled once.

MAX has a cache of its own, of kernels; with it a warm compile still takes seconds. Here the whole
compiled program is kept, which MAX reads in a tenth of a second. Every entry has a checksum, and is
written aside and renamed, so that processes may share the folder. Imports neither torch nor MAX.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fxmax.errors import CompileError
from fxmax.support.digests import sha256, sha256_of_file

ENTRY, PROGRAM = "entry.json", "program.mef"
LEAST_FREE_BYTES = 200 * 2**20  # a cold compile of Whisper's encoder writes some tens of MB
STALE = 3600.0  # seconds after which another process's unfinished entry is an orphan


def cache_folder() -> Path:
    """Where MAX keeps its compiled kernels; fxmax's own things are in `fxmax` there."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MODULAR_CACHE_DIR") or Path(root) / "modular")


def check_cache_folder() -> None:
    """Raise `CompileError` now, not minutes later, if MAX's cache folder can't be written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # a trial: permission bits don't tell all
            pass
    except OSError as error:
        raise CompileError(
            f"MAX's cache folder {folder} can't be written ({error.strerror}). Make it writable, or "
            "set XDG_CACHE_HOME to a folder that is."
        ) from error
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise CompileError(
            f"the disk of MAX's cache folder {folder} has {free / 2**20:.0f} MB left; a compile "
            f"needs {LEAST_FREE_BYTES / 2**20:.0f}. Free some space, or set XDG_CACHE_HOME elsewhere."
        )


def graphs_folder() -> Path:
    """Where whole compiled graphs are kept."""
    return cache_folder() / "fxmax" / "graphs"


def artifacts_folder() -> Path:
    """Where packages (whisper_port) keep whole artifacts to start from, one folder each."""
    return cache_folder() / "fxmax" / "artifacts"


def landed_folder() -> Path:
    """Where it is noted which artifacts computed the same here as where they were saved, one file each."""
    return cache_folder() / "fxmax" / "landed"


def artifacts() -> list[tuple[Path, int]]:
    """Each of them, and its bytes."""
    found = sorted(artifacts_folder().glob("*/"))
    return [(f, _bytes(f)) for f in found]


def _bytes(folder: Path) -> int:
    return sum(x.stat().st_size for x in folder.rglob("*") if x.is_file())


def enabled() -> bool:
    """Whether graphs are looked up and kept: unless the environment has FXMAX_CACHE=0."""
    return os.environ.get("FXMAX_CACHE", "1") != "0"


@dataclass(frozen=True)
class Key:
    """What decides a compiled program: digests of the graph and its Mojo kernels, MAX, the machine."""

    graph: str
    kernels: str
    max: str
    target: str

    @property
    def name(self) -> str:
        """The entry's folder."""
        return sha256("\0".join(asdict(self).values()))[:32]


@dataclass(frozen=True)
class Entry:
    """One compiled program. `seconds` is what its compile took, `created` seconds since 1970."""

    key: Key
    title: str
    seconds: float
    created: float
    sha256: str
    bytes: int


def key_of(graph: str, kernels: Sequence[Path], max_version: str, target: str) -> Key:
    """The key of a graph's text. Kernels count by their bytes, not by where they lie."""
    code = b"".join(bytes.fromhex(sha256_of_file(path)) for path in kernels)
    return Key(sha256(graph), sha256(code), max_version, target)


def folder_of(key: Key) -> Path:
    """Where its program is kept, if it is, with what else is known of it."""
    return graphs_folder() / key.name


def find(key: Key) -> tuple[Path | None, str]:
    """(the compiled program, how it came to be) or (None, why there is none).

    An entry that is damaged is removed, and is a miss.
    """
    folder = folder_of(key)
    if not folder.exists():
        return None, _why_not(key)
    entry = _read(folder)
    if entry is None or entry.key != key or sha256_of_file(folder / PROGRAM) != entry.sha256:
        shutil.rmtree(folder, ignore_errors=True)
        return None, "an earlier compile was damaged; it is removed"
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
    return folder / PROGRAM, f"compiled {when} in {entry.seconds:.0f} s"


def keep(key: Key, title: str, seconds: float, export: Callable[[Path], object]) -> bool:
    """Keep a program, which `export` writes to a path; False if it can't be kept (a full disk)."""
    graphs = graphs_folder()
    try:
        graphs.mkdir(parents=True, exist_ok=True)
        _sweep(graphs)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=graphs))
        try:
            export(part / PROGRAM)
            size = (part / PROGRAM).stat().st_size
            entry = Entry(key, title, seconds, time.time(), sha256_of_file(part / PROGRAM), size)
            (part / ENTRY).write_text(json.dumps(asdict(entry), indent=1) + "\n")
            part.rename(graphs / key.name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError:
        # The program in memory is good, and another process may have kept the same one.
        return (graphs / key.name / PROGRAM).exists()
    return True


def entries() -> Iterator[Entry]:
    """Everything that is kept and whole, newest first."""
    found = [entry for f in _folders() if (entry := _read(f)) is not None]
    yield from sorted(found, key=lambda e: -e.created)


def damaged() -> list[Path]:
    """Folders of programs that are not whole."""
    return [f for f in _folders() if _read(f) is None]


def _folders() -> list[Path]:
    return [f for f in graphs_folder().glob("*") if not f.name.startswith(".")]


def clear(days: float = 0.0) -> tuple[int, int]:
    """Remove graphs and artifacts older than `days`, and what is damaged; (how many, their bytes)."""
    before = time.time() - days * 86400
    old = [(graphs_folder() / e.key.name, e.bytes) for e in entries() if e.created <= before]
    old += [(folder, _bytes(folder)) for folder in damaged()]
    old += [(folder, used) for folder, used in artifacts() if folder.stat().st_mtime <= before]
    for folder, _ in old:
        shutil.rmtree(folder, ignore_errors=True)
    for note in landed_folder().glob("*.json"):
        if note.stat().st_mtime <= before:
            note.unlink(missing_ok=True)
    return len(old), sum(used for _, used in old)


def _why_not(key: Key) -> str:
    same = [e.key for e in entries() if e.key.graph == key.graph]
    if not same:
        return "no earlier compile of this graph"
    nearest = same[0]
    differ = {
        f"it was for MAX {nearest.max}": nearest.max != key.max,
        "it was for another device or CPU": nearest.target != key.target,
        "Mojo kernels have changed": nearest.kernels != key.kernels,
    }
    return "this graph was compiled before, but " + " and ".join(k for k, v in differ.items() if v)


def _read(folder: Path) -> Entry | None:
    try:
        data = json.loads((folder / ENTRY).read_text())
        entry = Entry(**{**data, "key": Key(**data["key"])})
        return entry if (folder / PROGRAM).stat().st_size == entry.bytes else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _sweep(graphs: Path) -> None:
    """Remove what processes that died left unfinished."""
    for part in graphs.glob(".part-*"):
        if time.time() - part.stat().st_mtime > STALE:
            shutil.rmtree(part, ignore_errors=True)
