"""Decoding one window: openai's `DecodingTask` with its forward passes on MAX.

openai's own code checks the options, builds the prompt, ranks and returns. Greedy decoding chooses by
its rules on numpy; beams and sampling run openai's filters and decoders on the same logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from whisper.decoding import BeamSearchDecoder, DecodingOptions, DecodingResult, DecodingTask, Inference

from whisper_port.decoding.token_rules import GreedyRules
from whisper_port.engine.engine import Sequences, Windows, host
from whisper_port.option_rules import refuse
from whisper_port.protocol import DecodingModel
from whisper_port.vocabulary import Vocabulary


def decode(
    model: DecodingModel, mel: Any, options: DecodingOptions | None = None, **kwargs: Any
) -> DecodingResult | list[DecodingResult]:
    """openai-whisper's `decode`, faster: the same options and results.

    Args:
        mel: log-mel of windows, (n_mels, 3000) or (windows, n_mels, 3000), or their features;
            a numpy array or torch tensor.
    """
    options = replace(options or DecodingOptions(), **kwargs)
    mel = torch.as_tensor(mel)
    single = mel.ndim == 2
    results = Task(model, options).run(mel[None] if single else mel)
    return results[0] if single else results


class Task(DecodingTask):  # type: ignore[misc]  # openai-whisper has no types
    """One call of `decode`."""

    model: Any

    def __init__(self, model: DecodingModel, options: DecodingOptions) -> None:
        # openai's own checks do without a look at most values; tasks it has more of here.
        values = {name: value for name, value in vars(options).items() if name != "task"}
        refuse(values, Vocabulary(model.dims.n_vocab))
        super().__init__(model, replace(options, fp16=False))
        if len(self.initial_tokens) > model.dims.n_text_ctx:
            raise ValueError(
                f"the prompt and prefix are {len(self.initial_tokens)} tokens; at most "
                f"{model.dims.n_text_ctx} fit. Shorten the prefix."
            )
        self.inference: _OnMax = _OnMax()
        if isinstance(self.decoder, BeamSearchDecoder):
            self.decoder.inference = self.inference
        self.greedy = options.temperature == 0 and not isinstance(self.decoder, BeamSearchDecoder)
        self.windows: Windows | None = None

    def run(self, mel: torch.Tensor) -> list[DecodingResult]:
        """openai's `run`, which takes several windows only where each has one sequence."""
        if self.n_group == 1:
            results: list[DecodingResult] = super().run(mel)
            return results
        return [result for window in mel for result in super(Task, self).run(window[None])]

    def _get_audio_features(self, mel: torch.Tensor) -> torch.Tensor:
        self.windows = self.model.windows(mel)
        return torch.from_numpy(host(self.windows.features).copy())  # the result is the caller's own

    def _main_loop(
        self, audio_features: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
        assert self.windows is not None
        sequences = Sequences(self.model.engine, self.windows)
        first = tokens[:: self.n_group].numpy()  # a group starts alike
        places = (self.sot_index, len(self.initial_tokens) - 1)
        logits = sequences.prefill(np.ascontiguousarray(first[:, None]), places)[0][:, 0]
        silence = [np.nan] * len(first)
        if self.tokenizer.no_speech is not None:
            silence = [_probability(row, self.tokenizer.no_speech) for row in logits[:, 0]]
        silence = [p for p in silence for _ in range(self.n_group)]
        if self.greedy:
            return *self._greedy_loop(sequences, tokens, logits[:, 1]), silence
        last = torch.from_numpy(logits[:, 1].repeat(self.n_group, axis=0))
        return *self._sampling_loop(sequences.spread(self.n_group), tokens, last), silence

    def _greedy_loop(
        self, sequences: Sequences, tokens: torch.Tensor, logits: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(tokens, sums of log-probabilities), a window a row."""
        rules = GreedyRules(self, logits.shape[-1])
        sampled: list[list[int]] = [[] for _ in logits]
        chosen = [rules.choose(row, []) for row in logits]
        following, sums = [t for t, _ in chosen], [p for _, p in chosen]
        room = self.n_ctx - len(self.initial_tokens)  # openai samples one token beyond the context
        running = list(range(len(logits)))  # the windows that `sequences` holds
        for i in range(self.sample_len):
            for row, token in zip(sampled, following, strict=True):
                row.append(token)
            if i + 1 == self.sample_len or i >= room or all(t == self.eot for t in following):
                break
            live = [j for j in running if following[j] != self.eot]
            if 2 * len(live) <= len(running):
                sequences = sequences.select([running.index(j) for j in live])
                running = live
            rows = sequences.step(np.array([following[j] for j in running])[:, None])[:, 0]
            for j, row in zip(running, rows, strict=True):
                if following[j] != self.eot:  # a finished row stays as it is
                    following[j], logprob = rules.choose(row, sampled[j])
                    sums[j] += logprob
        grown = torch.cat([tokens, torch.tensor(sampled)], dim=-1)
        return grown, torch.tensor(sums)

    def _sampling_loop(
        self, sequences: Sequences, tokens: torch.Tensor, logits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same for beams and samples, by openai's filters and decoder."""
        self.inference.sequences = sequences
        sums = torch.zeros(len(tokens))
        for i in range(self.sample_len):
            for one in self.logit_filters:
                one.apply(logits, tokens)
            tokens, completed = self.decoder.update(tokens, logits, sums)
            if completed or tokens.shape[-1] > self.n_ctx or i + 1 == self.sample_len:
                break
            last = tokens[:, -1].numpy().reshape(-1, self.n_group)
            logits = torch.from_numpy(sequences.step(np.ascontiguousarray(last))).flatten(0, 1)
        return tokens, sums

    @property
    def eot(self) -> int:
        return int(self.tokenizer.eot)


class _OnMax(Inference):  # type: ignore[misc]
    """What openai's beam search asks of the forward pass: to follow its beams."""

    sequences: Sequences | None = None

    def rearrange_kv_cache(self, source_indices: Sequence[int]) -> None:
        assert self.sequences is not None
        self.sequences.rearrange(source_indices)


def _probability(logits: np.ndarray, token: int) -> float:
    weights = np.exp(logits - logits.max())
    return float(weights[token] / weights.sum())
