"""What a figure depends on: the machine, the threads, the versions, the date."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "max",
    "torch",
    "openai-whisper",
    "onnxruntime",
    "openvino",
    "ctranslate2",
    "faster-whisper",
)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(threads: int) -> dict[str, object]:
    """A JSON-ready record."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "cpu": _cpu(),
        "cores": cores(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def _cpu() -> str:
    """The processor's name and the widest vectors it says it has."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine()
    lines = [line.partition(":") for line in info.read_text().splitlines()]
    found = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    flags = found.get("flags", "").split()
    vectors = next((f for f in ("avx512f", "avx2") if f in flags), "")
    return f"{found.get('model name', platform.machine())} {vectors}".strip()
