"""The machine that a compiled program is for, and whether this one will do. No torch."""

from __future__ import annotations

import functools
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from max.graph import DeviceRef

# What MAX's CPU code may use; the many other flags of a CPU (virtualization, …) don't matter.
X86_PREFIXES = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "vaes", "vpclmulqdq", "movbe", "popcnt")
ARM_PREFIXES = ("asimd", "sve", "sme", "fp", "bf16", "i8mm", "fhm", "atomics", "feat_")


@dataclass(frozen=True)
class Target:
    """Device kind (`cpu`, or `gpu` with its architecture), system, machine and CPU features."""

    device: str
    system: str
    machine: str
    features: tuple[str, ...]

    def unfit(self, here: Target) -> str:
        """Why a program for this target can't run `here`; "" if it can."""
        if (self.system, self.machine) != (here.system, here.machine):
            return f"it is for {self.system} on {self.machine}, and this is {here.system} on {here.machine}"
        if self.device != here.device:
            return f"it is for {self.device}, and this is {here.device}"
        if lacking := sorted(set(self.features) - set(here.features)):
            return f"it uses CPU features that this machine lacks: {', '.join(lacking)}"
        return ""


def target_of(device: DeviceRef) -> Target:
    """This machine, for a program on `device`."""
    kind = "cpu" if device.is_cpu() else f"gpu {device.to_device().architecture_name}"
    return Target(kind, platform.system().lower(), platform.machine().lower(), cpu_features())


@functools.cache
def cpu_features() -> tuple[str, ...]:
    """The instruction-set extensions of this CPU, sorted, by the names that the system gives them."""
    prefixes = X86_PREFIXES if platform.machine().lower() in ("x86_64", "amd64") else ARM_PREFIXES
    return tuple(sorted({f for f in _flags() if f.startswith(prefixes)}))


def has_int8_dot() -> bool:
    """Whether this CPU multiplies bytes by fours, which linears in `int8_dynamic` are built on."""
    return bool({"avx512_vnni", "avx_vnni"} & set(cpu_features()))


def _flags() -> list[str]:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return value.lower().split()
        return []
    out = subprocess.run(["sysctl", "hw.optional"], capture_output=True, text=True, check=False).stdout
    pairs = (line.removeprefix("hw.optional.").partition(": ") for line in out.splitlines())
    return [name.rpartition(".")[2].lower() for name, _, value in pairs if value.strip() == "1"]
