"""What depends on the model or the sound: languages, tasks, and clips that lie outside of it."""

from __future__ import annotations

import warnings

import pytest

from whisper_port.transcription.options import TranscribeOptions, check_language, check_options, clips
from whisper_port.vocabulary import Vocabulary, official_vocabulary

ENGLISH, MULTILINGUAL, LARGE_V3 = (official_vocabulary(name) for name in ("tiny.en", "base", "large"))


@pytest.mark.parametrize(
    ("timestamps", "frames", "found"),
    [
        ("0", 500, [(0, 500)]),
        ("", 500, [(0, 500)]),
        ([1, 2.5], 500, [(100, 250)]),
        ("1,2,3", 500, [(100, 200), (300, 500)]),
        ("1,99", 500, [(100, 9900)]),
        ("3,4,1,2", 500, [(300, 400), (100, 200)]),
        ("0", 0, [(0, 0)]),
        ("7", 0, [(700, 0)]),  # there is no sound: nothing is missed
    ],
)
def test_clips_are_frames(timestamps, frames, found):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert clips(timestamps, frames) == found


@pytest.mark.parametrize("timestamps", ["6", "5,9", "6,8,9", "1.001,1.002"])
def test_clips_of_which_none_lies_in_the_sound_are_refused(timestamps):
    with pytest.raises(ValueError, match="the sound ends at 5 s: there is nothing to transcribe"):
        clips(timestamps, 500)


def test_a_clip_beside_others_that_lies_outside_is_told():
    with pytest.warns(UserWarning, match="1 of 2 clips are not transcribed"):
        assert clips("1,2,6,8", 500) == [(100, 200), (600, 800)]


@pytest.mark.parametrize(
    ("language", "vocabulary", "code"),
    [
        (None, ENGLISH, "en"),
        (None, MULTILINGUAL, ""),
        ("English", ENGLISH, "en"),
        ("Spanish", MULTILINGUAL, "es"),
        ("castilian", MULTILINGUAL, "es"),
        ("yue", LARGE_V3, "yue"),
    ],
)
def test_a_language_goes_by_its_name_or_code(language, vocabulary, code):
    assert check_language(language, vocabulary) == code


@pytest.mark.parametrize(
    ("language", "vocabulary", "message"),
    [
        ("es", ENGLISH, "knows English only"),
        ("yue", MULTILINGUAL, "came with large-v3"),
        ("spannish", MULTILINGUAL, r"unknown language 'spannish' \(is it spanish\?\)"),
        ("auto", MULTILINGUAL, r"unknown language 'auto'; .* leave it out, to have it detected"),
    ],
)
def test_a_language_that_the_model_does_not_know_is_told(language, vocabulary, message):
    with pytest.raises(ValueError, match=message):
        check_language(language, vocabulary)


def test_what_has_no_effect_is_told():
    with pytest.warns(UserWarning, match="no effect without word_timestamps"):
        check_options(TranscribeOptions(hallucination_silence_threshold=1.0), MULTILINGUAL)


@pytest.mark.parametrize(
    ("name", "multilingual", "languages"),
    [("tiny.en", False, 99), ("base", True, 99), ("large-v2", True, 99), ("turbo", True, 100)],
)
def test_a_name_says_what_its_model_knows(name, multilingual, languages):
    from whisper_port.checkpoints.named import dims_of

    vocabulary = official_vocabulary(name)
    assert vocabulary == Vocabulary(dims_of(name).n_vocab)
    assert (vocabulary.is_multilingual, vocabulary.num_languages) == (multilingual, languages)


def test_another_name_says_nothing():
    assert official_vocabulary("my/checkpoint.en") is None
