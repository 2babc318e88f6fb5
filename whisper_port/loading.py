"""`load_model`, the way in. It imports neither torch nor whisper until they are needed.

An artifact's graphs need neither of them, so they load while the imports run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import fxmax
from fxmax.artifact.manifest import MANIFEST
from fxmax.runtime import device as devices
from fxmax.support.gc_pause import uncollected
from whisper_port.compat.lazy_numba import import_whisper

if TYPE_CHECKING:
    from whisper_port.model import WhisperModel


def load_model(
    name: str | os.PathLike[str],
    device: str = "auto",
    *,
    dtype: str | None = None,
    download_root: str | None = None,
    quiet: bool = False,
) -> WhisperModel:
    """A Whisper model, compiled for MAX: minutes the first time, then from MAX's cache.

    Args:
        name: one of `whisper.available_models()`, or the path of a checkpoint: openai's `.pt`, a
            Hugging Face folder, or a CTranslate2 folder; or that of an artifact (`WhisperModel.save`),
            which compiles nothing.
        device: `auto` (the CPU), `cpu`, `gpu` or `gpu:N`.
        dtype: `int8` (CPU) stores the weights of linears and logits as int8 with a scale a row, and the
            cross-attention's keys and values with a scale a place; where the CPU has an int8 dot
            product, what goes into a linear is rounded to int8 too. None leaves all as it is.
        download_root: the folder that openai-whisper downloads to (default: its own cache).
        quiet: show no progress.

    Raises:
        CheckpointError: there is no such model, or no place has its weights; the text lists them.
        fxmax.FxmaxError: the device is not there, or it can't be compiled; or the artifact is
            damaged or not for this machine.
    """
    devices.resolve(device)  # before any long work
    path = os.fspath(name)
    if not is_artifact(path):
        with imports():
            import_whisper()
            from whisper_port.building import from_checkpoint

        return from_checkpoint(path, device, dtype, download_root, quiet)
    if dtype is not None:
        raise ValueError(f"{path} is an artifact: its weights stay as they were saved (dtype={dtype!r})")
    with ThreadPoolExecutor(1) as pool:
        graphs = pool.submit(fxmax.load_all, path)
        with imports():
            import_whisper()  # and torch: over a second
            from whisper_port.building import from_artifact

        return from_artifact(graphs.result(), path, device)


@contextmanager
def imports() -> Iterator[None]:
    """What suits importing torch, put back at the end.

    No garbage collection, which takes a fifth of the time and finds nothing; and Python's lock goes
    round ten times as often, since a thread that loads an artifact needs it for moments only.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(interval / 10)
    try:
        with uncollected():
            yield
    finally:
        sys.setswitchinterval(interval)


def is_artifact(path: str) -> bool:
    """Whether a path is an artifact's folder, of whatever model."""
    return os.path.isfile(os.path.join(path, MANIFEST))
