"""Devices by name: `cpu`, `gpu`, `gpu:1`, or `auto`, which is the CPU.

A GPU has to be asked for by name: little was tried on one, see `UNPROVEN`.
"""

from __future__ import annotations

import functools
import warnings

from max import driver
from max.engine import InferenceSession
from max.graph import DeviceRef

from fxmax.errors import DeviceError

UNPROVEN = (
    "little of fxmax was tried on a GPU: on an H200 Whisper's encoder and a decoder's token in bfloat16 and "
    "tests/gpu/test_gpu.py agreed with torch; compare with torch on your inputs"
)


def resolve(name: str) -> DeviceRef:
    """The MAX device that a name stands for.

    Raises:
        DeviceError: no such name, or no such device on this machine.
    """
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "gpu") or (index and not index.isdigit()):
        raise DeviceError(f"no device {name!r}; use auto, cpu, gpu or gpu:N")
    if kind in ("cpu", "auto"):
        return DeviceRef.CPU()
    there = driver.accelerator_count()
    number = int(index or 0)
    if number >= there:
        raise DeviceError(
            f"{name} was asked for, and MAX sees {there or 'no'} GPU{'' if there == 1 else 's'} here. "
            "Use device='cpu' (or --device cpu), or 'auto'."
        )
    return DeviceRef.GPU(number)


@functools.cache
def session(device: DeviceRef) -> InferenceSession:
    """One MAX session a device and process: sessions share nothing, and each costs a start."""
    return InferenceSession(devices=[device.to_device()])


def warn_of_gpu(device: DeviceRef) -> None:
    """Say what is not proven of a GPU, to whoever called what calls this."""
    if not device.is_cpu():
        warnings.warn(UNPROVEN, stacklevel=4)
