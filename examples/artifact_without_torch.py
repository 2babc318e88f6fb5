"""Compile here, run there: an artifact runs in a process that can't import torch."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import fxmax

THERE = """
import sys

sys.modules["torch"] = None  # an import of torch would fail
import numpy as np

import fxmax

module = fxmax.load(sys.argv[1])
np.save(sys.argv[3], module(np.load(sys.argv[2])))
"""


def main() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv1d(8, 16, 3, padding=1), torch.nn.GELU()).eval()
    x = torch.randn(1, 8, 100)
    compiled = fxmax.lower(module, (x,))
    with TemporaryDirectory() as name:
        folder = Path(name)
        compiled.save(folder / "stem.fxmax")
        np.save(folder / "x.npy", x.numpy())
        files = [str(folder / f) for f in ("stem.fxmax", "x.npy", "y.npy")]
        subprocess.run([sys.executable, "-c", THERE, *files], check=True)
        y = torch.from_numpy(np.load(folder / "y.npy"))
    with torch.no_grad():
        torch.testing.assert_close(y, module(x), rtol=1e-5, atol=1e-5)
    print("the artifact gives torch's numbers, without torch")


if __name__ == "__main__":
    main()
