"""A call whose results are known: an artifact brings one for each graph, to make where it lands. No torch.

Inputs and results are kept as samples: an input is its sample repeated, so that values stay what they were
(ids, masks, positions), and of a result the sample's elements are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from max.driver import Buffer
from max.dtype import DType

from fxmax.artifact.tensor_file import TensorSource, read_tensors, write_tensors
from fxmax.errors import ArtifactError
from fxmax.runtime.arrays import as_buffer, as_numpy, on_host
from fxmax.runtime.dtypes import graph_dtype
from fxmax.runtime.executable import Executable

NOTHING: Mapping[str, str] = {}
SAMPLE, WHOLE = 4096, 2**20
"""Elements that are kept of a tensor, and of an input of integers or bools, which may count one another."""
ALLOWED = {"float64": 1e-6, "float32": 1e-3, "float16": 2e-2, "bfloat16": 5e-2}
"""dtype → how far an element may be off, over its own absolute value and the root mean square of all.

Kernels of another machine add in another order: for Whisper's encoder that is 4e-5 between two algorithms.
"""
FLIPPED = 0.01
"""The part of a result's integers that may differ, and one may always: rounding turns an argmax over."""
FLOOR = 1e-6
"""What any float may be off: where all that is known cancels to 0, rounding does not."""
MARK = 1e30
"""Floats past this stand for minus infinity, as masks have them, and say nothing of a result's scale."""


@dataclass(frozen=True, eq=False)
class GoldenCall:
    """Shapes of the graph's tensor inputs; samples of them, and of what the call leaves, by name.

    `dtype` is the coarsest float that the graph computes in, which a result may not show; "" of one without.
    """

    shapes: tuple[tuple[int, ...], ...]
    inputs: list[np.ndarray]
    results: dict[str, np.ndarray]
    dtype: str = ""


@dataclass(frozen=True)
class Agreement:
    """A result of a golden call against what is known of it. `fault` says what is wrong; "" where nothing is.

    `error` and `allowed` are of the element that is farthest off for what it may be; for integers, how many
    differ.
    """

    graph: str
    result: str
    error: float
    allowed: float
    fault: str = ""


def record(graph: Executable, inputs: Sequence[Buffer], dtype: str = "") -> GoldenCall:
    """Call the graph on samples of `inputs`, which are of its tensors' dtypes; its state stays as it is.

    Args:
        dtype: the coarsest float that the graph computes in.

    Raises:
        ArtifactError: MAX fails at it.
    """
    shapes = tuple(tuple(int(n) for n in buffer.shape) for buffer in inputs)
    dtypes = _dtypes(graph)
    samples = [_sample_of_input(as_numpy(on_host(b), d), d) for b, d in zip(inputs, dtypes, strict=True)]
    results = {name: sample for name, (sample, _) in _results(graph, shapes, samples).items()}
    return GoldenCall(shapes, samples, results, dtype)


def compare(name: str, graph: Executable, golden: GoldenCall) -> Iterator[Agreement]:
    """Make the call here. Raises ArtifactError where MAX fails at it."""
    now = _results(graph, golden.shapes, golden.inputs)
    for result, known in golden.results.items():
        if result in now:
            sample, dtype = now[result]
            yield _compared(name, result, sample, max(dtype, golden.dtype, key=_allowed), known)
        else:
            yield Agreement(name, result, math.inf, 0.0, "the graph here has no such result")


def write(file: Path, calls: Mapping[str, GoldenCall]) -> None:
    """Write the samples of graphs' calls. Raises OSError."""
    tensors = dict[str, TensorSource]()
    for graph, call in calls.items():
        named = {f"input {i}": sample for i, sample in enumerate(call.inputs)} | call.results
        tensors |= {f"{graph}/{name}": _source(f"{graph}/{name}", sample) for name, sample in named.items()}
    write_tensors(file, tensors)


def read(
    file: Path, shapes: Mapping[str, tuple[tuple[int, ...], ...]], dtypes: Mapping[str, str] = NOTHING
) -> dict[str, GoldenCall]:
    """The calls of the graphs in `shapes`.

    Args:
        dtypes: the coarsest float that each computes in, where it is known.

    Raises:
        ArtifactError: the file is not readable, or lacks an input.
    """
    calls = {}
    found = {name: as_numpy(buffer, buffer.dtype).copy() for name, buffer in read_tensors(file).items()}
    for graph, of_inputs in shapes.items():
        mine = {name.rpartition("/")[2]: x for name, x in found.items() if name.rpartition("/")[0] == graph}
        needed = [f"input {i}" for i in range(len(of_inputs))]
        if lost := [name for name in needed if name not in mine]:
            raise ArtifactError(f"{file} lacks {graph}'s {', '.join(lost)}: save the artifact again")
        calls[graph] = GoldenCall(of_inputs, [mine.pop(name) for name in needed], mine, dtypes.get(graph, ""))
    return calls


# -- one call ---------------------------------------------------------------------------------------------


def _results(
    graph: Executable, shapes: Sequence[tuple[int, ...]], samples: Sequence[np.ndarray]
) -> dict[str, tuple[np.ndarray, str]]:
    """What a call leaves (results, written inputs, state): samples, and the dtypes they were computed in."""
    device = graph.device.to_device()
    given = [
        as_buffer(np.resize(sample, shape), dtype).to(device)
        for sample, shape, dtype in zip(samples, shapes, _dtypes(graph), strict=True)
    ]
    try:
        results, states = graph.apart(given)
    except Exception as error:
        raise ArtifactError(f"MAX can't run the graph on the inputs of its golden call: {error}") from error
    left = {f"result {i}": buffer for i, buffer in enumerate(results)}
    left |= {
        f"written {spec.name}": b
        for spec, b in zip(graph.signature.tensors, given, strict=True)
        if spec.mutated
    }
    left |= {f"state {spec.name}": b for spec, b in zip(graph.signature.states, states, strict=True)}
    return {
        name.replace("/", "."): (_sample(as_numpy(on_host(buffer))), buffer.dtype.name)
        for name, buffer in left.items()
    }


def _allowed(dtype: str) -> float:
    return ALLOWED.get(dtype, 0.0)


def _dtypes(graph: Executable) -> list[DType]:
    on_cpu = graph.device.is_cpu()
    return [graph_dtype(spec.dtype, on_cpu) for spec in graph.signature.tensors]


def _sample_of_input(array: np.ndarray, dtype: DType) -> np.ndarray:
    return _sample(array, SAMPLE if dtype.is_float() else WHOLE)


def _sample(array: np.ndarray, most: int = SAMPLE) -> np.ndarray:
    """At most so many elements, spread over all of them, in memory of their own."""
    flat = array.reshape(-1)
    step = max(1, math.ceil(flat.size / most))
    return flat[::step].copy()


def _source(name: str, array: np.ndarray) -> TensorSource:
    return TensorSource(name, array.dtype.name, array.shape, id(array), lambda: array.view(np.uint8))


# -- comparison -------------------------------------------------------------------------------------------
#
# `fxmax.verification.comparison` judges results too, NaN and infinities among them: torch tensors against
# torch's, by what rounding was sampled to do in the graph. Here there is neither a graph to sample nor torch.


def _compared(graph: str, result: str, now: np.ndarray, dtype: str, known: np.ndarray) -> Agreement:
    if now.shape != known.shape or now.dtype != known.dtype:
        fault = f"{now.dtype}{list(now.shape)} in place of {known.dtype}{list(known.shape)}"
        return Agreement(graph, result, math.inf, 0.0, fault)
    if known.dtype.kind != "f":
        differ, most = int((now != known).sum()), max(1, int(FLIPPED * known.size))
        fault = f"{differ} of its {known.size} values differ" if differ > most else ""
        return Agreement(graph, result, differ, most, fault)
    finite = np.isfinite(known)
    odd = (np.isnan(now) != np.isnan(known)) | ((now != known) & ~finite & ~np.isnan(known))
    odd |= finite & ~np.isfinite(now)
    if odd.any():
        text = f"{int(odd.sum())} of {known.size} are NaN or infinite where they were not, or the reverse"
        return Agreement(graph, result, math.inf, 0.0, text)
    then, here = known[finite].astype(np.float64), now[finite].astype(np.float64)
    if not then.size:
        return Agreement(graph, result, 0.0, 0.0)
    numbers = then[np.abs(then) < MARK]
    scale = float(np.sqrt(np.mean(numbers**2))) if numbers.size else 0.0
    errors, most_off = np.abs(here - then), ALLOWED[dtype] * (np.abs(then) + scale) + FLOOR
    worst = int(np.argmax(errors / most_off))
    error, allowed = float(errors[worst]), float(most_off[worst])
    fault = f"off by {error:.3g} from {then[worst]:.3g}, where {allowed:.3g} is allowed"
    return Agreement(graph, result, error, allowed, fault if error > allowed else "")
