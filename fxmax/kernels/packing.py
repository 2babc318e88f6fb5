"""How weights are packed for the kernels in `gemm`: kernels/gemm/tile.mojo's right-hand side; and int8.

On torch tensors, where a checkpoint is bound, and on numpy arrays, where an artifact is loaded
without torch; so nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

PANEL, BLOCK = 32, 16  # tile.mojo: PANEL and KB
GROUP = 128  # dot.mojo


def panels(weight: Any) -> Any:
    """(n, k) → (n / PANEL, k, PANEL), both padded with zeros."""
    padded = _padded(weight, BLOCK)
    return padded.reshape(-1, PANEL, padded.shape[1]).swapaxes(1, 2)


def _padded(weight: Any, block: int) -> Any:
    """(n, k) with zeros up to whole panels and whole blocks of k."""
    n, k = weight.shape
    shape = (n + -n % PANEL, k + -k % block)
    padded = np.zeros(shape, weight.dtype) if isinstance(weight, np.ndarray) else weight.new_zeros(shape)
    padded[:n, :k] = weight
    return padded


def window_panels(weight: Any) -> Any:
    """A convolution's filter (features, channels, taps) as panels over windows of (taps, channels)."""
    return panels(weight.swapaxes(1, 2).reshape(weight.shape[0], -1))


def strassen_panels(weight: Any) -> Any:
    """(n, k) → (7 n / (2 · PANEL), k / 2, PANEL) float32: sums of quarters, for strassen.mojo.

    Of each two panels, halved along k: b11 + b22, b11, b12 - b22, b21 - b11, b22, b11 + b12, b21 + b22.

    Raises:
        ValueError: NaN or infinities, which the sums would spread to other features.
    """
    pairs, half = weight.shape[0] // (2 * PANEL), weight.shape[1] // 2
    if isinstance(weight, np.ndarray):
        weight = weight.astype(np.float32, copy=False)
        made = np.empty((pairs, 7, half, PANEL), np.float32)
    else:
        weight = weight.float()
        made = weight.new_empty(pairs, 7, half, PANEL)
    quarters = weight.reshape(pairs, 2, PANEL, 2, half)
    b11, b12, b21, b22 = (quarters[:, j, :, i].swapaxes(1, 2) for i in range(2) for j in range(2))
    for i, total in enumerate((b11 + b22, b11, b12 - b22, b21 - b11, b22, b11 + b12, b21 + b22)):
        made[:, i] = total
    on_meta = getattr(made, "is_meta", False)
    if not on_meta and not math.isfinite(abs(weight).max()):
        raise ValueError("has NaN or infinities, which the pass `strassen` can't bear: lower without it")
    return made.reshape(-1, half, PANEL)


def scales(weight: Any) -> Any:
    """(n, k) → (n,) float32: the largest weight of a row is 127 of its scale."""
    if isinstance(weight, np.ndarray):
        largest = np.abs(weight.astype(np.float32, copy=False)).max(1)
        return np.where(largest > 0, largest / np.float32(127), np.float32(1))
    largest = weight.float().abs().amax(1)
    return (largest / 127).masked_fill(largest == 0, 1)


def rounded(weight: Any) -> Any:
    """(n, k) → int8, each row in units of its scale."""
    if isinstance(weight, np.ndarray):
        units = weight.astype(np.float32, copy=False) / scales(weight)[:, None]
        return units.round().clip(-127, 127).astype(np.int8)
    units = weight.float() / scales(weight).unsqueeze(1)
    return units.round().clamp(-127, 127).char()


def int8_panels(weight: Any) -> Any:
    """(n, k) → `panels` of int8."""
    return panels(rounded(weight))


def int8_quads(weight: Any) -> Any:
    """(n, k) → (n / PANEL, k / 4, PANEL · 4) int8: four of k side by side, for dot.mojo."""
    padded = _padded(rounded(weight), GROUP)
    quads = padded.reshape(-1, PANEL, padded.shape[1] // 4, 4).swapaxes(1, 2)
    return quads.reshape(*quads.shape[:2], -1)


# A slot's layout → the function that makes it.
INT8, INT8_SCALES = "int8 panels, a scale a row", "row scales"
INT8_QUADS = "int8 panels of quads, a scale a row"
PACKINGS: dict[str, Callable[[Any], Any]] = {
    "panels": panels,
    "window panels": window_panels,
    "strassen panels": strassen_panels,
    INT8: int8_panels,
    INT8_QUADS: int8_quads,
    INT8_SCALES: scales,
}
SMALLER = (INT8, INT8_QUADS, INT8_SCALES)  # than the weight itself: an artifact with weights holds these
