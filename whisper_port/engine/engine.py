"""Running the graphs: windows of sound, and the token sequences decoded from them.

Between the calls everything stays in MAX buffers on the device. A step hands over its logits, which on
the CPU is no copy; the rules that choose from them cost less in numpy than as kernels of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from max.driver import Buffer, Device
from max.dtype import DType
from whisper.model import ModelDimensions

from fxmax.runtime.arrays import on_host
from fxmax.runtime.signature import Signature

PAST = np.zeros(4096, np.uint8)  # never read: its slices tell a graph how many tokens went before


class Graph(Protocol):
    """A graph to run on MAX buffers: an `fxmax.Compiled`, or an `fxmax.Loaded` from an artifact."""

    @property
    def signature(self) -> Signature: ...

    def execute(self, *buffers: Buffer) -> list[Buffer]: ...


@dataclass(frozen=True)
class WhisperGraphs:
    """A model's graphs; see `whisper_port.engine.graphs.jobs` for what each takes and gives."""

    encoder: Graph
    cross: Graph
    prefill: Graph
    step: Graph


def cache_shape(dims: ModelDimensions) -> tuple[int, int, int]:
    """(heads, slots, width) of one self-attention cache."""
    return dims.n_text_head, dims.n_text_ctx + 1, dims.n_text_state // dims.n_text_head


@dataclass(frozen=True)
class Windows:
    """Encoded windows: features (audio, places, state), and cross-attention keys and values."""

    features: Buffer
    cross: tuple[Buffer, ...]

    @property
    def count(self) -> int:
        return int(self.features.shape[0])


class Engine:
    """The compiled graphs of one model, called with numpy arrays and MAX buffers.

    Threads may share it: it keeps nothing of a call but the last window, which it swaps whole.
    """

    def __init__(self, graphs: WhisperGraphs, dims: ModelDimensions, device: Device) -> None:
        self.graphs, self.dims, self.device = graphs, dims, device
        self.on_cpu = device.is_host
        self.cache_dtype = DType[graphs.step.signature.tensors[2].dtype]  # tokens, past, caches, …
        self._past = self.buffer(PAST)
        self._last_mel = _Last()
        self._last_features = _Last()

    def encode(self, mel: np.ndarray) -> Windows:
        """Windows from log-mels (audio, n_mels, 3000) float32.

        The last ones are remembered: openai's code encodes a window again for each temperature
        and for the word times.
        """

        def windows(mel: np.ndarray) -> Windows:
            [features] = self.graphs.encoder.execute(self.buffer(mel))
            return Windows(features, tuple(self.graphs.cross.execute(features)))

        return self._last_mel(mel, windows)  # type: ignore[no-any-return]

    def windows(self, features: np.ndarray) -> Windows:
        """Windows from features (audio, places, state) float32 that were encoded before."""
        last = self._last_mel.value
        if last is not None and np.array_equal(host(last.features), features):
            return last  # type: ignore[no-any-return]

        def windows(features: np.ndarray) -> Windows:
            buffer = self.buffer(features)
            return Windows(buffer, tuple(self.graphs.cross.execute(buffer)))

        return self._last_features(features, windows)  # type: ignore[no-any-return]

    def past(self, tokens: int) -> Buffer:
        """What tells `step` how many tokens went before."""
        return self._past[:tokens]

    def forget(self) -> None:
        """Drop the last windows, for a benchmark that runs one recording again and again."""
        self._last_mel, self._last_features = _Last(), _Last()

    def buffer(self, array: np.ndarray, dtype: DType | None = None) -> Buffer:
        """A MAX buffer on the device; on the CPU it is the array's own memory.

        `dtype` is what the array's bits stand for, where numpy has another name for them: see `bits`.
        """
        buffer = Buffer.from_numpy(np.require(array, requirements=["C", "W"]))
        if dtype is not None and buffer.dtype != dtype:
            buffer = buffer.view(dtype)
        return buffer if self.on_cpu else buffer.to(self.device)


class _Last:
    """A function's last result, given again for equal input."""

    def __init__(self) -> None:
        self._held: tuple[np.ndarray, Any] | None = None

    @property
    def value(self) -> Any:
        return self._held[1] if self._held else None

    def __call__(self, array: np.ndarray, make: Callable[[np.ndarray], Any]) -> Any:
        held = self._held
        if held is None or not np.array_equal(held[0], array):
            key = array.copy()  # the caller may change its array
            held = self._held = (key, make(key))
        return held[1]


class Sequences:
    """Token sequences being decoded: `group` of them for each window, with their own caches.

    Attributes:
        past: how many tokens the caches hold, the same for every sequence.
    """

    def __init__(self, engine: Engine, windows: Windows, group: int = 1) -> None:
        self.engine, self.windows, self.group = engine, windows, group
        self.past = 0
        shape = (windows.count, group, *cache_shape(engine.dims))
        number = 2 * engine.dims.n_text_layer
        if engine.on_cpu:
            self._arrays = [np.zeros(shape, np.float32) for _ in range(number)]
            self.caches = [Buffer.from_numpy(a) for a in self._arrays]
        else:
            self.caches = [Buffer.zeros(shape, engine.cache_dtype, engine.device) for _ in range(number)]

    def prefill(self, tokens: np.ndarray, at: Sequence[int]) -> tuple[np.ndarray, Buffer]:
        """The first tokens, (audio, group, n): see `decoder.Prefill` for what it returns."""
        engine = self.engine
        logits, scores = engine.graphs.prefill.execute(
            engine.buffer(tokens), engine.buffer(np.array(at)), *self.caches, *self.windows.cross
        )
        self.past = tokens.shape[2]
        return host(logits), scores

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Logits (audio, group, vocabulary) after one token more for each sequence, (audio, group)."""
        engine = self.engine
        [logits] = engine.graphs.step.execute(
            engine.buffer(tokens), engine.past(self.past), *self.caches, *self.windows.cross
        )
        self.past += 1
        return host(logits)

    def spread(self, group: int) -> Sequences:
        """`group` copies of each window's one sequence."""
        wide = Sequences(self.engine, self.windows, group)
        wide.past = self.past
        for i, cache in enumerate(self.caches):
            wide.write(i, np.repeat(bits(cache)[..., : self.past, :], group, axis=1))
        return wide

    def select(self, rows: Sequence[int]) -> Sequences:
        """Those of some windows alone: a finished window costs as much as another."""
        engine, chosen = self.engine, list(rows)
        parts = (
            engine.buffer(bits(b)[chosen], b.dtype) for b in (self.windows.features, *self.windows.cross)
        )
        fewer = Sequences(engine, Windows(next(parts), tuple(parts)), self.group)
        fewer.past = self.past
        for i, cache in enumerate(self.caches):
            fewer.write(i, bits(cache)[chosen][..., : self.past, :])
        return fewer

    def rearrange(self, sources: Sequence[int]) -> None:
        """Sequence i of the flat (audio · group) becomes what sequence `sources[i]` was."""
        if list(sources) != list(range(len(sources))):
            for i in range(len(self.caches)):
                self.take(i, sources)

    def take(self, i: int, sources: Sequence[int]) -> None:
        """`rearrange` for one cache."""
        held = bits(self.caches[i])[..., : self.past, :]
        moved = held.reshape(-1, *held.shape[2:])[list(sources)]
        self.write(i, moved.reshape(held.shape))

    def write(self, i: int, values: np.ndarray) -> None:
        """Set the places that are in use of one cache, as `bits` gives them."""
        if self.engine.on_cpu:
            self._arrays[i][..., : self.past, :] = values
        else:
            whole = bits(self.caches[i])
            whole[..., : self.past, :] = values
            self.caches[i] = self.engine.buffer(whole, self.engine.cache_dtype)


def host(buffer: Buffer) -> np.ndarray:
    """A buffer as a numpy array: its own memory on the CPU, a copy from elsewhere."""
    array: np.ndarray = on_host(buffer).to_numpy()
    return array


def bits(buffer: Buffer) -> np.ndarray:
    """As `host`; of bfloat16, which numpy has not, the bits as uint16. For moving values about."""
    there = on_host(buffer)
    return host(there.view(DType.uint16) if there.dtype == DType.bfloat16 else there)
