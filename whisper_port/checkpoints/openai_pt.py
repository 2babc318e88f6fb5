"""openai-whisper's `.pt`: a dict of `dims` and `model_state_dict`, read without running its code."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from whisper.model import ModelDimensions

from whisper_port.checkpoints.checkpoint import Checkpoint, CheckpointError, checkpoint

BROKEN = "cut, corrupted, or no PyTorch checkpoint"


def load(path: Path, source: str = "") -> Checkpoint:
    """Read a `.pt` with `weights_only=True`.

    Raises:
        CheckpointError: it is cut, corrupted, carries code, or is another model.
    """
    content = _read(path)
    if not isinstance(content, dict) or not {"dims", "model_state_dict"} <= set(content):
        keys = (
            f"its keys are {', '.join(map(str, list(content)[:6]))}"
            if isinstance(content, dict)
            else (f"it holds a {type(content).__name__}")
        )
        raise CheckpointError(
            f"{path} is no openai-whisper checkpoint: it needs `dims` and `model_state_dict`, and {keys}. "
            "For a Hugging Face or CTranslate2 model give its folder."
        )
    wanted = {f.name for f in fields(ModelDimensions)}
    dims = content["dims"]
    if not isinstance(dims, dict) or set(dims) != wanted:
        raise CheckpointError(f"{path}: `dims` must have exactly {', '.join(sorted(wanted))}")
    return checkpoint(ModelDimensions(**dims), dict(content["model_state_dict"]), source or str(path))


def _read(path: Path) -> Any:
    try:
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        _, _, found = str(error).partition("WeightsUnpickler error: ")  # torch's own words for it
        if "GLOBAL" in found or "Unsupported class" in found:
            raise CheckpointError(
                f"{path} holds more than tensors and plain values, and fxmax runs no code from a "
                f"checkpoint ({_first_line(found)}). Save its state_dict alone."
            ) from error
        reason = _first_line(found or str(error))
        raise CheckpointError(f"{path} is {BROKEN}: {reason}. Get it again.") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is {BROKEN}: {_first_line(str(error))}. Get it again.") from error


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[0][:200]
