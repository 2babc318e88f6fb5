"""How weights are packed for the kernels in `gemm`: kernels/gemm/tile.mojo's right-hand side.

On torch tensors, where a checkpoint is bound, and on numpy arrays, where an artifact is loaded
without torch; so nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

PANEL, BLOCK = 32, 16  # tile.mojo: PANEL and KB


def panels(weight: Any) -> Any:
    """(n, k) → (n / PANEL, k, PANEL), both padded with zeros."""
    n, k = weight.shape
    shape = (n + -n % PANEL, k + -k % BLOCK)
    padded = np.zeros(shape, weight.dtype) if isinstance(weight, np.ndarray) else weight.new_zeros(shape)
    padded[:n, :k] = weight
    return padded.reshape(-1, PANEL, shape[1]).swapaxes(1, 2)


def window_panels(weight: Any) -> Any:
    """A convolution's filter (features, channels, taps) as panels over windows of (taps, channels)."""
    return panels(weight.swapaxes(1, 2).reshape(weight.shape[0], -1))


# A slot's layout → the function that makes it.
PACKINGS: dict[str, Callable[[Any], Any]] = {"panels": panels, "window panels": window_panels}
