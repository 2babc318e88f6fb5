"""Which format a path holds, told by its content."""

from __future__ import annotations

import os
from pathlib import Path

from whisper_port.checkpoints import ctranslate2, huggingface, openai_pt
from whisper_port.checkpoints.checkpoint import Checkpoint, CheckpointError


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint: openai's `.pt`, a Hugging Face folder, or a CTranslate2 folder.

    A folder's `model.safetensors` or `model.bin` may be given itself.

    Raises:
        CheckpointError: there is no such file, it is cut or corrupted, or it is no Whisper.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"no such file or folder: {path}")
    if path.is_dir():
        if any(path.glob("model.safetensors*")):
            return huggingface.load(path)
        if (path / "model.bin").is_file():
            return ctranslate2.load(path)
        raise CheckpointError(
            f"{path} has no model.safetensors (Hugging Face) and no model.bin (CTranslate2). "
            "Give the folder that has one, or openai-whisper's .pt file."
        )
    if path.suffix == ".safetensors":
        return huggingface.load(path.parent)
    if path.suffix == ".bin" and ctranslate2.is_ctranslate2(path):
        return ctranslate2.load(path.parent)
    return openai_pt.load(path)
