"""Whisper checkpoints from anywhere, as one state_dict in openai's names.

`load(path)` reads openai-whisper's `.pt`, a Hugging Face folder, or a CTranslate2 folder;
`resolve(name)` finds the weights of a named model. No code in a checkpoint is ever run.
"""

from whisper_port.checkpoints.checkpoint import Checkpoint, CheckpointError, NoWeightsError
from whisper_port.checkpoints.formats import load
from whisper_port.checkpoints.named import meta_checkpoint, random_checkpoint
from whisper_port.checkpoints.resolve import resolve

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "NoWeightsError",
    "load",
    "meta_checkpoint",
    "random_checkpoint",
    "resolve",
]
