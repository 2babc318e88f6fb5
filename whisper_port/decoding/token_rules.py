"""openai's logit filters and greedy choice (`whisper.decoding`), on numpy.

What may follow depends on the tokens so far; it comes down to one mask over the vocabulary,
`suppress`, and the few numbers of `allowed`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from whisper.decoding import ApplyTimestampRules, DecodingTask, SuppressBlank, SuppressTokens


class GreedyRules:
    """The logit filters of one decoding task."""

    def __init__(self, task: DecodingTask, vocabulary: int) -> None:
        self.eot = task.tokenizer.eot
        self.begin = task.tokenizer.timestamp_begin
        self.vocabulary = vocabulary
        self.suppress = np.zeros(vocabulary, np.float32)
        self.blank: list[int] = []
        self.timestamps: ApplyTimestampRules | None = None
        for one in task.logit_filters:
            if isinstance(one, SuppressTokens):
                self.suppress[one.suppress_tokens] = -np.inf
            elif isinstance(one, SuppressBlank):
                self.blank = [*one.tokenizer.encode(" "), one.tokenizer.eot]
            elif isinstance(one, ApplyTimestampRules):
                self.timestamps = one
                if one.tokenizer.no_timestamps is not None:
                    self.suppress[one.tokenizer.no_timestamps] = -np.inf
            else:
                raise TypeError(f"a logit filter that this decoder does not know: {type(one).__name__}")

    def allowed(self, sampled: Sequence[int]) -> tuple[int, int, int]:
        """What may follow the tokens sampled so far: text from a, timestamps from b and before c."""
        if self.timestamps is None:
            return 0, self.begin, self.vocabulary
        text, begin, end = 0, self.begin, self.vocabulary
        if not sampled:
            most = self.timestamps.max_initial_timestamp_index
            return self.begin, begin, end if most is None else self.begin + most + 1
        after_time = sampled[-1] >= self.begin
        after_two = len(sampled) < 2 or sampled[-2] >= self.begin
        last = next((t for t in reversed(sampled) if t >= self.begin), None)
        if last is not None:  # times don't fall, and a segment has a length
            begin = last if after_time and not after_two else last + 1
        if after_time and after_two:
            end = begin  # times come in pairs: text follows
        elif after_time:
            text = self.eot
        return text, begin, end

    def choose(self, logits: np.ndarray, sampled: Sequence[int]) -> tuple[int, float]:
        """The next token and its log-probability, from logits (vocabulary,) float32."""
        logprobs = self.logprobs(logits, sampled)
        token = int(logprobs.argmax())
        return token, float(logprobs[token])

    def logprobs(self, logits: np.ndarray, sampled: Sequence[int]) -> np.ndarray:
        """Log-probabilities (vocabulary,) of the next token, after the filters."""
        logits = logits + self.suppress
        if not sampled:
            logits[self.blank] = -np.inf
        text, begin, end = self.allowed(sampled)
        logits[:text] = -np.inf
        logits[self.begin : begin] = -np.inf
        logits[max(end, self.begin) :] = -np.inf
        logits -= logits.max()
        weights = np.exp(logits)
        if self.timestamps is not None:
            times = weights[self.begin :].sum()
            if times > weights[: self.begin].max():  # likelier in sum than any text token
                logits[: self.begin] = -np.inf
                return np.asarray(logits - np.log(times))
        return np.asarray(logits - np.log(weights.sum()))
