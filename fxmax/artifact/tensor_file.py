"""Tensors by name in a file, in the safetensors format. No torch, and no copy of all of them at once.

A file is the header's length, the header in JSON, and the tensors' bytes. MAX reads it, mapped into
memory; safetensors' own writers need torch, or numpy, which has no bfloat16.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from max.driver import Buffer
from max.graph.weights import SafetensorWeights

from fxmax.errors import ArtifactError

# dtype → (the format's name, bytes), the widest first: so that every tensor is aligned.
DTYPES = {
    "uint64": ("U64", 8),
    "int64": ("I64", 8),
    "float64": ("F64", 8),
    "float32": ("F32", 4),
    "uint32": ("U32", 4),
    "int32": ("I32", 4),
    "bfloat16": ("BF16", 2),
    "float16": ("F16", 2),
    "uint16": ("U16", 2),
    "int16": ("I16", 2),
    "int8": ("I8", 1),
    "uint8": ("U8", 1),
    "bool": ("BOOL", 1),
}
ALIGNMENT = 8  # of the tensors' start in the file


@dataclass(frozen=True)
class TensorSource:
    """A tensor to write. Two of one `identity` are one tensor.

    `dtype` is torch's name; `read` gives the bytes, in C order, when they are written: what is made
    for the file alone is not kept.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    identity: Hashable
    read: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * DTYPES[self.dtype][1]


def write_tensors(path: Path, tensors: Mapping[str, TensorSource]) -> None:
    """Write a new file. Raises OSError."""
    widths = list(DTYPES)
    ordered = sorted(tensors.items(), key=lambda item: (widths.index(item[1].dtype), item[0]))
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.nbytes
        kind = DTYPES[tensor.dtype][0]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in ordered:
            data = tensor.read()
            if data.nbytes != tensor.nbytes:
                raise ValueError(f"{name} has {data.nbytes} bytes; {tensor.nbytes} were announced")
            file.write(data.data)


def read_tensors(path: Path) -> dict[str, Buffer]:
    """The tensors of a file, mapped into memory.

    Raises:
        ArtifactError: there is no such file, or it is no safetensors file.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file")
    try:
        return {name: item.data().data for name, item in SafetensorWeights([path]).items()}
    except Exception as error:  # noqa: BLE001 - of MAX's own reader
        raise ArtifactError(f"{path} is not a readable safetensors file: {error}") from None
