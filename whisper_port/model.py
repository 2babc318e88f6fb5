"""The model a user loads: openai-whisper's interface, on MAX."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper
from max.graph import DeviceRef
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import ModelDimensions

from fxmax.runtime import device as devices
from whisper_port.checkpoints import Checkpoint, resolve
from whisper_port.compat.openai_objects import Decoder, Encoder, KeysValues, Scores
from whisper_port.decoding.task import decode
from whisper_port.engine import saved as artifact
from whisper_port.engine import warm_start as warm
from whisper_port.engine.engine import Engine, Graph, Graphs, Sequences, Windows, host


def from_checkpoint(
    name: str, device: str, dtype: str | None, download_root: str | None, quiet: bool
) -> WhisperModel:
    """See `whisper_port.load_model`, of a name or the path of a checkpoint."""
    known = name in whisper.available_models()
    if download_root is not None and known:
        file = os.path.join(download_root, os.path.basename(whisper._MODELS[name]))
        checkpoint = resolve(name, file) if os.path.exists(file) else resolve(name, quiet=quiet)
    else:
        checkpoint = resolve(name, quiet=quiet) if known or not os.path.exists(name) else resolve(None, name)
    where = devices.resolve(device)
    if (graphs := warm.find(checkpoint, where, dtype)) is not None:
        again = partial(compile_checkpoint, checkpoint, device, dtype=dtype, quiet=quiet)
        heads = checkpoint.heads().to_sparse()
        return WhisperModel(graphs, checkpoint.dims, heads, checkpoint.source, where, again)
    model = compile_checkpoint(checkpoint, device, dtype=dtype, quiet=quiet)
    warm.keep(model.graphs, checkpoint, where, dtype)
    return model


def compile_checkpoint(
    checkpoint: Checkpoint, device: str = "auto", *, dtype: str | None = None, quiet: bool = False
) -> WhisperModel:
    """A checkpoint that was read before, lowered and compiled, whatever earlier processes have done."""
    from whisper_port.engine.graphs import compile_graphs  # what lowers is not needed where nothing is

    torch_model = checkpoint.build()
    graphs = compile_graphs(torch_model, device=device, dtype=dtype, quiet=quiet)
    return WhisperModel(
        graphs, checkpoint.dims, torch_model.alignment_heads, checkpoint.source, devices.resolve(device)
    )


class WhisperModel:
    """Whisper on MAX. `whisper.transcribe`, `whisper.decode` and `whisper.detect_language` take it.

    Calls from several threads are right, and take turns on the device.

    Attributes:
        dims: openai's `ModelDimensions`.
        device: where torch tensors that go in and out lie: always the CPU.
        alignment_heads: bool (layers, heads), sparse: the heads that word times come from.
        source: where the weights come from, for a person to read.
    """

    device = torch.device("cpu")

    def __init__(
        self,
        graphs: Mapping[str, Graph],
        dims: ModelDimensions,
        alignment_heads: torch.Tensor,
        source: str,
        device: DeviceRef,
        again: Callable[[], WhisperModel] | None = None,
    ) -> None:
        self.dims, self.alignment_heads, self.source = dims, alignment_heads, source
        self.graphs = graphs
        self._again = again  # compiles it, where the graphs were kept by another process
        self.engine = Engine(Graphs(**graphs), dims, device.to_device())
        self.encoder, self.decoder = Encoder(self.engine), Decoder(self.engine)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all of it as an artifact, a folder that `load_model` starts from without a compile.

        Raises:
            fxmax.ArtifactError: the folder can't be written, or something else is there.
        """
        if self._again is not None:
            return self._again().save(path)
        return artifact.save(self, path)

    @property
    def is_multilingual(self) -> bool:
        return self.dims.n_vocab >= 51865

    @property
    def num_languages(self) -> int:
        return self.dims.n_vocab - 51765 - int(self.is_multilingual)

    def windows(self, audio: torch.Tensor) -> Windows:
        """Encoded windows from log-mels (windows, n_mels, 3000), or from features."""
        values = audio.float().cpu().numpy()
        if values.shape[-2:] == (self.dims.n_audio_ctx, self.dims.n_audio_state):
            return self.engine.windows(values)
        wanted = (self.dims.n_mels, 2 * self.dims.n_audio_ctx)
        if values.ndim != 3 or values.shape[1:] != wanted:
            raise ValueError(f"log-mels of one window have shape {wanted}; these have {values.shape[1:]}")
        return self.engine.encode(np.ascontiguousarray(values))

    def embed_audio(self, mel: torch.Tensor) -> torch.Tensor:
        """Features (windows, places, state) of log-mels (windows, n_mels, 3000)."""
        return self.encoder(mel)

    def logits(self, tokens: torch.Tensor, audio_features: torch.Tensor) -> torch.Tensor:
        """Logits (windows, n, vocabulary) of tokens (windows, n) over features."""
        return self.decoder(tokens, audio_features)

    def __call__(self, mel: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of whole sequences; hooks on the cross-attention layers get their scores."""
        sequences = Sequences(self.engine, self.windows(mel))
        ids = np.ascontiguousarray(tokens.cpu().numpy()[:, None])
        logits, buffer = sequences.prefill(ids, range(ids.shape[-1]))
        scores = host(buffer)
        pairs = self.alignment_heads.indices().T.tolist()
        by_layer = [Scores() for _ in self.decoder.blocks]
        for i, (layer, head) in enumerate(pairs):
            by_layer[layer].heads[head] = torch.from_numpy(scores[0, i])
        for block, found in zip(self.decoder.blocks, by_layer, strict=True):
            for hook in list(block.cross_attn.hooks):
                hook(block.cross_attn, (), (None, [found]))
        return torch.from_numpy(logits[:, 0])

    forward = __call__

    def to(self, device: torch.device | str) -> WhisperModel:
        """Itself, as code written for openai's model calls this; MAX's device is chosen by `load_model`."""
        if torch.device(device).type != "cpu":
            warnings.warn(
                f"the model stays on {self.engine.device.label}: give the device to load_model", stacklevel=2
            )
        return self

    def eval(self) -> WhisperModel:
        """Itself: it is for inference only."""
        return self

    def install_kv_cache_hooks(self, cache: dict[Any, Any] | None = None) -> tuple[KeysValues, list[Any]]:
        """An empty cache for `decoder`, as openai's method of that name; there is nothing to hook."""
        return KeysValues(), []

    def detect_language(self, mel: Any, tokenizer: Any = None) -> tuple[Any, Any]:
        """openai-whisper's: the language token and each language's probability, for each window."""
        return whisper.detect_language(self, torch.as_tensor(mel), tokenizer)  # type: ignore[no-any-return]

    def decode(
        self, mel: Any, options: DecodingOptions | None = None, **kwargs: Any
    ) -> DecodingResult | list[DecodingResult]:
        """openai-whisper's `decode` of 30-second windows, faster: see `whisper_port.decode`."""
        return decode(self, mel, options, **kwargs)

    def transcribe(self, audio: Any, *, batch_size: int | None = None, **options: Any) -> dict[str, Any]:
        """Transcribe a recording: openai-whisper's `transcribe`, faster.

        Args:
            audio: a path, or a numpy array or torch tensor of samples: see `whisper_port.audio.pieces`.
            batch_size: how many windows to decode together; None is openai's way, one window at a
                time with the text before it. See `whisper_port.batched`.
            options: as `whisper.transcribe` takes them; and `sample_rate`, of an array in Hz (16000).

        Returns:
            {"text", "segments", "language"}, as openai-whisper returns them.

        Raises:
            AudioError: it can't be read as audio. ValueError: an option is wrong; before any long work.
        """
        from whisper_port.transcription.batched import start

        run = start(self, audio, batch_size, **options)
        for _ in run:
            pass
        return run.result()

    def segments(self, audio: Any, *, batch_size: int | None = None, **options: Any) -> Iterator[Any]:
        """The segments of `transcribe`, dicts, as they come."""
        from whisper_port.transcription.batched import start

        return start(self, audio, batch_size, **options)
