"""How a caller's arrays become MAX buffers, and MAX's results arrays again. No torch.

`NumpyArrays` takes what speaks DLPack and gives numpy; `fxmax.compiled.torch_arrays` adds torch's tensors.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from max.driver import CPU, Buffer
from max.dtype import DType

from fxmax.errors import InputError
from fxmax.runtime.signature import OutputSpec, TensorSpec

Inlet = Callable[[Any], Buffer]
Outlet = Callable[[Buffer, str], Any]


class Arrays(Protocol):
    """One kind of caller's arrays. Inlets and outlets are made once, and called for every value."""

    def inlet(self, spec: TensorSpec, dtype: DType) -> Inlet:
        """Takes a value for `spec`, checked for its shape, to a buffer of the graph's `dtype`.

        The buffer shares the value's memory where it can. Where the graph writes it and it can't, the
        buffer is a copy: see `in_place`.
        """

    def in_place(self, dtype: DType) -> Callable[[Any], bool]:
        """Tells whether the buffer of a value that the graph writes, as `dtype`, shares its memory."""

    def write_back(self, value: Any, buffer: Buffer) -> None:
        """Let a value hold what the graph wrote to its copy."""

    def outlet(self, spec: OutputSpec) -> Outlet:
        """Takes a result, and where results go, to the array that is returned."""

    def home(self, values: Sequence[Any]) -> str:
        """Where the results of a call with these values go."""


class NumpyArrays:
    """In: numpy arrays, and all else that speaks DLPack. Out: numpy arrays."""

    def inlet(self, spec: TensorSpec, dtype: DType) -> Inlet:
        wanted = None if dtype == DType.bfloat16 else np.dtype(dtype.to_numpy())

        def read(value: Any) -> Buffer:
            if isinstance(value, np.ndarray) and wanted is not None:
                if not (value.flags.c_contiguous and value.flags.writeable and value.dtype == wanted):
                    if spec.mutated and not value.flags.writeable:
                        raise unfit_to_write(spec, dtype)
                    # MAX takes memory that it may write; it writes only where the signature says so.
                    value = np.require(value, wanted, requirements=["C", "W"])
                return Buffer.from_numpy(value)
            if getattr(value, "requires_grad", False):
                value = without_gradients(value)
            contiguous = getattr(value, "is_contiguous", None)  # torch's; MAX takes no other from it
            if callable(contiguous) and not contiguous():
                value = value.contiguous()
            buffer = Buffer.from_dlpack(value)
            if buffer.dtype != dtype or not buffer.is_contiguous:
                if spec.mutated and not hasattr(value, "copy_"):
                    raise unfit_to_write(spec, dtype)
                buffer = as_buffer(as_numpy(buffer.to(CPU()).contiguous(), dtype), dtype)
            return buffer

        return read

    def in_place(self, dtype: DType) -> Callable[[Any], bool]:
        wanted = None if dtype == DType.bfloat16 else np.dtype(dtype.to_numpy())

        def fits(value: Any) -> bool:
            if isinstance(value, np.ndarray):
                return bool(value.flags.c_contiguous and value.dtype == wanted)
            contiguous = getattr(value, "is_contiguous", True)  # a method of torch's
            whole = contiguous() if callable(contiguous) else contiguous
            return bool(whole) and dtype_name(value) == dtype.name

        return fits

    def write_back(self, value: Any, buffer: Buffer) -> None:
        now = as_numpy(on_host(buffer))
        if isinstance(value, np.ndarray):
            value[...] = now
        else:  # torch's, which takes no other but tensors
            value.detach().copy_(value.new_tensor(now))

    def outlet(self, spec: OutputSpec) -> Outlet:
        def write(buffer: Buffer, home: str) -> np.ndarray:
            array = as_numpy(on_host(buffer))
            return array.astype(np.float16) if spec.dtype == "float16" else array

        return write

    def home(self, values: Sequence[Any]) -> str:
        return "numpy"


def on_host(buffer: Buffer) -> Buffer:
    """The buffer, or a copy of it where it is on a device."""
    return buffer if buffer.is_host else buffer.to(CPU())


def dtype_name(value: Any) -> str:
    """`float32` of any array's dtype."""
    return getattr(value.dtype, "name", None) or str(value.dtype).removeprefix("torch.")


def as_numpy(buffer: Buffer, dtype: DType | None = None) -> np.ndarray:
    """A buffer on the host as a numpy array, of `dtype` if that is given.

    numpy has no bfloat16: it becomes float32, or, where bfloat16 is asked for, its 16-bit patterns.
    """
    if buffer.dtype == DType.bfloat16:
        array: np.ndarray = buffer.view(DType.uint16, buffer.shape).to_numpy()
        if dtype == DType.bfloat16:
            return array
        array = (array.astype(np.uint32) << 16).view(np.float32)
    else:
        array = buffer.to_numpy()
    if dtype is not None:
        array = np.ascontiguousarray(array, np.dtype(dtype.to_numpy()))
    return array.reshape(tuple(buffer.shape))


def as_buffer(array: np.ndarray, dtype: DType) -> Buffer:
    """The buffer of an array that `as_numpy` made for `dtype`; it shares the array's memory."""
    buffer = Buffer.from_numpy(array)
    return buffer.view(DType.bfloat16, buffer.shape) if dtype == DType.bfloat16 else buffer


def unfit_to_write(spec: TensorSpec, dtype: DType) -> InputError:
    """Of an array that the graph would have to write a copy of."""
    return InputError(
        f"{spec.name} is written in place: it must be contiguous, writeable and {dtype.name}; "
        "what is given is not"
    )


_warned = threading.Event()


def without_gradients(tensor: Any) -> Any:
    """The tensor, detached; its owner is told once."""
    if not _warned.is_set():
        _warned.set()
        warnings.warn(
            "an input requires gradients; fxmax is for inference and returns results without them",
            stacklevel=6,  # of who calls the module
        )
    return tensor.detach()
