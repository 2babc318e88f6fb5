"""A repro: a few lines on `max.graph` alone that MAX gets wrong, and how to compile and judge it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession, Model
from max.graph import DeviceRef, Graph, Module, TensorType, TensorValue

HOST = DeviceRef.CPU()
NAN, INF = float("nan"), float("inf")
SPECIAL = np.array([NAN, INF, -INF, -2, -0.0, 0, 3], np.float32)
ONES = np.ones_like(SPECIAL)
_random = np.random.default_rng(0)


def random(*shape: int) -> np.ndarray:
    return _random.standard_normal(shape, np.float32)


@dataclass(frozen=True)
class Repro:
    """A graph that MAX gets wrong.

    Attributes:
        build: graph values to a graph value.
        inputs: what it is called with.
        right: numpy arrays to a numpy array; None where MAX does not compile it.
        symbolic: names for the axes of each input, where its sizes are not fixed.
        mended_by: what fxmax has instead: "file, name".
    """

    name: str
    build: Callable[..., TensorValue]
    inputs: tuple[np.ndarray, ...]
    mended_by: str
    right: Callable[..., Any] | None = None
    symbolic: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether MAX compiles it."""
        return self.right is not None

    def add_to(self, module: Module) -> None:
        """The graph in a MAX module."""
        names = self.symbolic or [""] * len(self.inputs)
        types = [
            TensorType(DType.from_numpy(x.dtype), n.split() or x.shape, HOST)
            for x, n in zip(self.inputs, names, strict=True)
        ]
        with Graph(self.name, input_types=types, module=module) as graph:
            graph.output(self.build(*(value.tensor for value in graph.inputs)))

    def outcome(self, model: Model) -> tuple[np.ndarray, np.ndarray]:
        """(what MAX gives, what is right)."""
        assert self.right is not None
        with np.errstate(all="ignore"):
            right = np.asarray(self.right(*self.inputs))
        return self.run(model), right

    def run(self, model: Model) -> np.ndarray:
        return model.execute(*map(Buffer.from_numpy, self.inputs))[0].to_numpy()

    def is_wrong(self, model: Model) -> bool:
        given, right = self.outcome(model)
        assert (given.dtype, given.shape) == (right.dtype, right.shape), "the repro itself is wrong"
        return not np.allclose(given, right, rtol=1e-4, atol=1e-4, equal_nan=right.dtype.kind == "f")


REPROS: dict[str, Repro] = {}
Build = Callable[..., TensorValue]


def repro(*inputs: np.ndarray, mended_by: str, **about: Any) -> Callable[[Build], Build]:
    """Register a function as a repro, under its own name; `about` are fields of `Repro`."""

    def register(build: Build) -> Build:
        REPROS[build.__name__] = Repro(build.__name__, build, inputs, mended_by, **about)
        return build

    return register


def started(repros: Sequence[Repro]) -> dict[str, Model]:
    """Repros compiled together, in one module, in their order."""
    module = Module()
    for each in repros:
        each.add_to(module)
    session = InferenceSession(devices=[CPU()])
    return dict(session.init_all(session.compile(module)))
