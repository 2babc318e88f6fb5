"""A CTranslate2 (faster-whisper) folder: `model.bin` and `config.json`.

The file, little-endian: u32 version, spec name, u32 revision, u32 count; each variable its name,
u8 rank, u32 dims, u8 dtype, u32 bytes and data; then u32 count of aliases, pairs of names. A name
is u16 length with its NUL, then the bytes (CTranslate2, python/ctranslate2/specs/model_spec.py).
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import torch
from whisper.model import ModelDimensions

from whisper_port.checkpoints.checkpoint import Checkpoint, CheckpointError, checkpoint, heads_mask
from whisper_port.checkpoints.huggingface import read_json

SPEC = "WhisperSpec"
DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
BFLOAT16 = 5

# CTranslate2's names → openai's, applied in order; fused projections are split first.
RENAMES = [
    (r"/layer_(\d+)/", r".blocks.\1."),
    (r"\.self_attention/layer_norm/", ".attn_ln."),
    (r"\.attention/layer_norm/", ".cross_attn_ln."),
    (r"\.ffn/layer_norm/", ".mlp_ln."),
    (r"\.ffn/linear_0/", ".mlp.0."),
    (r"\.ffn/linear_1/", ".mlp.2."),
    (r"^encoder/layer_norm/", "encoder.ln_post."),
    (r"^decoder/layer_norm/", "decoder.ln."),
    (r"^(encoder|decoder)/position_encodings/encodings$", r"\1.positional_embedding"),
    (r"^decoder/embeddings/weight$", "decoder.token_embedding.weight"),
    (r"^encoder/(conv[12])/", r"encoder.\1."),
    (r"gamma$", "weight"),
    (r"beta$", "bias"),
]
# (layer's linear) → openai's projections, in the order that they are fused.
FUSED = {
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "self_attention/linear_1": ("attn.out",),
    "attention/linear_0": ("cross_attn.query",),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
    "attention/linear_2": ("cross_attn.out",),
}


def is_ctranslate2(path: Path) -> bool:
    """Whether a file starts as CTranslate2's do."""
    with path.open("rb") as file:
        head = file.read(64)
    return len(head) > 8 and head[6:].startswith(SPEC.encode())


def load(folder: Path) -> Checkpoint:
    """Read a CTranslate2 folder.

    Raises:
        CheckpointError: a file is missing, cut or corrupted, or it is another architecture.
    """
    content = (folder / "model.bin").read_bytes()
    return from_bytes(content, folder, f"{folder} (CTranslate2)")


def from_bytes(content: bytes, folder: Path, source: str) -> Checkpoint:
    """A checkpoint from `model.bin`'s bytes and the folder of its `config.json`."""
    variables = _Reader(content, source).variables()
    try:
        state = _state_dict(variables, source)
        dims = _dims(variables)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{source} is no Whisper that fxmax knows: {error}") from error
    pairs = read_json(folder / "config.json").get("alignment_heads")
    return checkpoint(dims, state, source, heads_mask(dims, pairs) if pairs else None)


class _Reader:
    """Reads the file's variables; every length is checked before it is believed."""

    def __init__(self, content: bytes, source: str) -> None:
        self.content, self.source, self.at = content, source, 0

    def variables(self) -> dict[str, np.ndarray]:
        version = self._number("I")
        spec = self._name() if version >= 2 else ""
        if spec != SPEC:
            raise CheckpointError(f"{self.source} is a CTranslate2 {spec or 'unnamed'} model, not {SPEC}")
        self._number("I")  # the revision of the spec
        found = {}
        for _ in range(self._number("I")):
            name, array = self._variable()
            found[name] = array
        for _ in range(self._number("I")):
            alias, name = self._name(), self._name()
            if name not in found:
                raise self._broken(f"alias {alias} of a variable that is not there")
        if self.at != len(self.content):
            raise self._broken(f"{len(self.content) - self.at} bytes too many")
        return found

    def _variable(self) -> tuple[str, np.ndarray]:
        name = self._name()
        shape = [self._number("I") for _ in range(self._number("B"))]
        kind, size = self._number("B"), self._number("I")
        data = self._take(size)
        if kind not in DTYPES and kind != BFLOAT16:
            raise self._broken(f"{name} has an unknown dtype {kind}")
        item = 2 if kind == BFLOAT16 else np.dtype(DTYPES[kind]).itemsize
        if int(np.prod(shape, dtype=np.int64)) * item != size:
            raise self._broken(f"{name} has {size} bytes for shape {shape}")
        if kind == BFLOAT16:  # the upper half of a float32
            wide = np.frombuffer(data, np.uint16).astype(np.uint32) << 16
            return name, wide.view(np.float32).reshape(shape)
        return name, np.frombuffer(data, DTYPES[kind]).reshape(shape)

    def _number(self, kind: str) -> int:
        return int(struct.unpack("<" + kind, self._take(struct.calcsize("<" + kind)))[0])

    def _name(self) -> str:
        raw = self._take(self._number("H"))
        try:
            return raw.rstrip(b"\0").decode()
        except UnicodeDecodeError as error:
            raise self._broken("a name that is no text") from error

    def _take(self, size: int) -> bytes:
        if self.at + size > len(self.content):
            raise self._broken(f"it ends at byte {len(self.content)}, in the middle of a variable")
        self.at += size
        return self.content[self.at - size : self.at]

    def _broken(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.source} is cut or corrupted: {what}. Get it again.")


def _state_dict(variables: dict[str, np.ndarray], source: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for name, array in variables.items():
        if array.ndim == 0 or name.endswith(("alignment_layer", "alignment_heads", "_scale")):
            continue  # settings, and the scales of quantized weights
        value = torch.from_numpy(_dequantized(name, array, variables))
        found = re.fullmatch(r"(encoder|decoder)/layer_(\d+)/((?:self_)?attention/linear_\d)/(\w+)", name)
        if found is None:
            for pattern, replacement in RENAMES:
                name = re.sub(pattern, replacement, name)
            state[name] = value
            continue
        side, layer, linear, kind = found.groups()
        parts = FUSED[linear]
        if value.shape[0] % len(parts):
            raise ValueError(f"{name} does not split into {len(parts)}")
        for part, piece in zip(parts, value.chunk(len(parts)), strict=True):
            if part.endswith(".key") and kind == "bias":  # openai's key projection has none
                if piece.any():
                    raise CheckpointError(f"{source}: {name} has a key bias, which Whisper has not")
                continue
            state[f"{side}.blocks.{layer}.{part}.{kind}"] = piece
    return state


def _dequantized(name: str, array: np.ndarray, variables: dict[str, np.ndarray]) -> np.ndarray:
    """float32; an int8 or int16 weight is divided by its scale (one a row, or one)."""
    scale = variables.get(f"{name}_scale")
    if array.dtype.kind == "i":
        if scale is None:
            raise ValueError(f"{name} is {array.dtype} without a scale")
        rows = scale.astype(np.float32).reshape(-1, *[1] * (array.ndim - 1)) if scale.size > 1 else scale
        return (array.astype(np.float32) / rows).astype(np.float32)
    return array.astype(np.float32)


def _dims(variables: dict[str, np.ndarray]) -> ModelDimensions:
    def layers(side: str) -> int:
        return 1 + max(int(m[1]) for n in variables if (m := re.match(rf"{side}/layer_(\d+)/", n)))

    conv, positions = variables["encoder/conv1/weight"], variables["encoder/position_encodings/encodings"]
    embedding, text = (
        variables["decoder/embeddings/weight"],
        variables["decoder/position_encodings/encodings"],
    )
    return ModelDimensions(
        n_mels=conv.shape[1],
        n_audio_ctx=positions.shape[0],
        n_audio_state=positions.shape[1],
        n_audio_head=int(variables["encoder/num_heads"]),
        n_audio_layer=layers("encoder"),
        n_vocab=embedding.shape[0],
        n_text_ctx=text.shape[0],
        n_text_state=text.shape[1],
        n_text_head=int(variables["decoder/num_heads"]),
        n_text_layer=layers("decoder"),
    )
