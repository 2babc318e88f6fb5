"""The model a user loads: openai-whisper's interface, on MAX."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper
from whisper.decoding import DecodingOptions, DecodingResult

from whisper_port.compat.openai_objects import Decoder, Encoder, KeysValues, Scores
from whisper_port.decoding.task import decode
from whisper_port.engine import saved
from whisper_port.engine.engine import Engine, Sequences, WhisperGraphs, Windows, host
from whisper_port.engine.parts import ModelParts
from whisper_port.transcription.start import start
from whisper_port.vocabulary import Vocabulary


class WhisperModel:
    """Whisper on MAX. `whisper.transcribe`, `whisper.decode` and `whisper.detect_language` take it.

    Calls from several threads are right, and take turns on the device.

    Attributes:
        dims: openai's `ModelDimensions`.
        device: where torch tensors that go in and out lie: always the CPU.
        alignment_heads: bool (layers, heads), sparse: the heads that word times come from.
        source: where the weights come from, for a person to read.
        parts: what it is made of: the graphs, and all of the above.
    """

    device = torch.device("cpu")

    def __init__(self, parts: ModelParts, recompile: Callable[[], WhisperModel] | None = None) -> None:
        """`recompile` compiles the same model here, where the graphs were kept by another process."""
        self.parts, self._recompile = parts, recompile
        self.dims, self.source = parts.dims, parts.source
        self.alignment_heads = parts.alignment_heads.to_sparse()
        self.vocabulary = Vocabulary(parts.dims.n_vocab)
        self.engine = Engine(WhisperGraphs(**parts.graphs), parts.dims, parts.device.to_device())
        self.encoder, self.decoder = Encoder(self.engine), Decoder(self.engine)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all of it as an artifact, a folder that `load_model` starts from without a compile.

        Raises:
            fxmax.ArtifactError: the folder can't be written, or something else is there.
        """
        if self._recompile is not None:
            return self._recompile().save(path)
        return saved.write(path, self.parts)

    @property
    def is_multilingual(self) -> bool:
        return self.vocabulary.is_multilingual

    @property
    def num_languages(self) -> int:
        return self.vocabulary.num_languages

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
        token, probabilities = whisper.detect_language(self, torch.as_tensor(mel), tokenizer)
        return token, probabilities

    def decode(
        self, mel: Any, options: DecodingOptions | None = None, **kwargs: Any
    ) -> DecodingResult | list[DecodingResult]:
        """openai-whisper's `decode` of 30-second windows, faster: see `whisper_port.decoding.task`."""
        return decode(self, mel, options, **kwargs)

    def transcribe(self, audio: Any, *, batch_size: int | None = None, **options: Any) -> dict[str, Any]:
        """Transcribe a recording: openai-whisper's `transcribe`, faster.

        Args:
            audio: a path, or a numpy array or torch tensor of samples: see
                `whisper_port.audio.reading.pieces`.
            batch_size: how many windows to decode together; None is openai's way, one window at a
                time with the text before it. See `whisper_port.transcription.batched`.
            options: as `whisper.transcribe` takes them; and `sample_rate`, of an array in Hz (16000).

        Returns:
            {"text", "segments", "language"}, as openai-whisper returns them.

        Raises:
            AudioError: it can't be read as audio. ValueError: an option is wrong; before any long work.
        """
        run = start(self, audio, batch_size, **options)
        for _ in run:
            pass
        return run.result()

    def segments(self, audio: Any, *, batch_size: int | None = None, **options: Any) -> Iterator[Any]:
        """The segments of `transcribe`, dicts, as they come."""
        return start(self, audio, batch_size, **options)
