"""The weights file is what safetensors itself would write, to the byte, and what MAX reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fxmax import ArtifactError
from fxmax.artifact.tensor_file import DTYPES, TensorSource, read_tensors, write_tensors
from fxmax.compiled.snapshot import tensor_source
from fxmax.runtime.arrays import as_numpy

TENSORS = {f"of.{name}": torch.arange(6).reshape(2, 3).to(getattr(torch, name)) for name in DTYPES} | {
    "scalar": torch.tensor(2.5),
    "b.flag": torch.tensor(True),
    "empty": torch.zeros(0, 3),
    "größe/∆": torch.tensor([1.5, -2.0]).bfloat16(),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
}


def test_the_bytes_are_those_of_safetensors(tmp_path) -> None:
    write_tensors(tmp_path / "ours", {name: tensor_source(name, value) for name, value in TENSORS.items()})
    save_file({name: value.contiguous() for name, value in TENSORS.items()}, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_max_reads_them(tmp_path) -> None:
    write_tensors(tmp_path / "file", {name: tensor_source(name, value) for name, value in TENSORS.items()})
    there = read_tensors(tmp_path / "file")
    assert set(there) == set(TENSORS)
    for name, buffer in there.items():
        wanted = TENSORS[name]
        assert buffer.dtype.name == str(wanted.dtype).removeprefix("torch.")
        wanted = wanted.float() if wanted.dtype == torch.bfloat16 else wanted
        np.testing.assert_array_equal(as_numpy(buffer), wanted.numpy())


def test_a_tensor_of_another_size_than_announced_is_not_written(tmp_path) -> None:
    wrong = TensorSource("w", "float32", (2,), 0, lambda: np.zeros(4, np.uint8))
    with pytest.raises(ValueError, match="w has 4 bytes; 8 were announced"):
        write_tensors(tmp_path / "file", {"w": wrong})


def test_what_is_no_tensor_file_is_an_error(tmp_path) -> None:
    (tmp_path / "file").write_text("not tensors")
    with pytest.raises(ArtifactError, match="not a readable safetensors file"):
        read_tensors(tmp_path / "file")
    with pytest.raises(ArtifactError, match="no such file"):
        read_tensors(tmp_path / "none")
