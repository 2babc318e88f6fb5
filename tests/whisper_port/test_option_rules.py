"""Which option values are refused: each by name, with what it may be, by the table alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from whisper.decoding import DecodingOptions

from whisper_port.option_rules import VALUES, clip_seconds, problems, refuse, token_ids
from whisper_port.transcription.options import TranscribeOptions
from whisper_port.vocabulary import Vocabulary

ENGLISH = Vocabulary(51864)
WRONG = [
    {"task": "summarize"},
    {"language": 5},
    {"batch_size": 0},
    {"temperature": -0.1},
    {"temperature": float("nan")},
    {"temperature": float("inf")},
    {"temperature": ()},
    {"temperature": (0.0, -1.0)},
    {"temperature": "hot"},
    {"best_of": 0},
    {"best_of": 2.5},
    {"beam_size": 0},
    {"beam_size": -1},
    {"beam_size": "5"},
    {"patience": 0.0, "beam_size": 5},
    {"patience": float("inf"), "beam_size": 5},
    {"length_penalty": 1.5},
    {"length_penalty": -0.1},
    {"sample_len": 0},
    {"suppress_tokens": "-1,"},
    {"suppress_tokens": "a"},
    {"suppress_tokens": "-2"},
    {"suppress_tokens": [1.5]},
    {"max_initial_timestamp": -1.0},
    {"initial_prompt": 5},
    {"compression_ratio_threshold": -1.0},
    {"compression_ratio_threshold": float("nan")},
    {"logprob_threshold": 1.0},
    {"no_speech_threshold": 60},
    {"clip_timestamps": "a,b"},
    {"clip_timestamps": "0,inf"},
    {"clip_timestamps": "inf"},
    {"clip_timestamps": "nan,1"},
    {"clip_timestamps": "-5,3"},
    {"clip_timestamps": "5,2"},
    {"clip_timestamps": "2,2"},
    {"clip_timestamps": [1.0, 2.0, 5.0, 3.0]},
    {"clip_timestamps": 5},
    {"hallucination_silence_threshold": -1},
    {"prepend_punctuations": None},
    {"append_punctuations": None},
    *({name: "yes"} for name in ("verbose", "word_timestamps", "carry_initial_prompt", "suppress_blank")),
    {"without_timestamps": None},
    {"condition_on_previous_text": 2},
]
RIGHT = [
    {},
    {"language": "es", "batch_size": 1, "verbose": None},
    {"temperature": 0, "best_of": None, "beam_size": None, "patience": None},
    {"temperature": (0.0, 1.0), "beam_size": 1, "patience": 1.0, "length_penalty": 0},
    {"temperature": 1.5, "logprob_threshold": -np.inf, "compression_ratio_threshold": np.inf},
    {"beam_size": np.int64(2), "temperature": np.float32(0.2), "suppress_tokens": np.array([3, 4])},
    {"suppress_tokens": ""},
    {"suppress_tokens": None},
    {"suppress_tokens": "-1,11"},
    {"suppress_tokens": [-1]},
    {"clip_timestamps": ""},
    {"clip_timestamps": "0,20,28"},
    {"clip_timestamps": "10,20,0,5"},
    {"clip_timestamps": np.array([1.0, 2.5])},
    {"logprob_threshold": 0, "no_speech_threshold": 1, "hallucination_silence_threshold": 0},
]


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_a_wrong_value_is_named_with_what_it_may_be(options):
    name = next(iter(options))
    with pytest.raises(ValueError, match=f"^{name} is ") as told:
        refuse(options, ENGLISH)
    assert VALUES[name].words in str(told.value)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("options", RIGHT, ids=str)
def test_what_openai_takes_is_taken(options):
    refuse(options, ENGLISH)


def test_every_wrong_value_is_named_at_once():
    assert [p.split()[0] for p in problems({"beam_size": 0, "best_of": 5, "patience": -1}, prefix="--")] == [
        "--beam_size",
        "--patience",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 2, "hallucination_silence_threshold": 1.0}, "leave it out, or batch_size"),
        ({"patience": 1.0}, "which beam_size asks for"),
        ({"patience": 0.1, "beam_size": 2}, "has to be 1 or more"),
        ({"task": "translate"}, "needs a multilingual model"),
        ({"suppress_tokens": "50,99999"}, "has 99999; the model's tokens end at 51863"),
    ],
    ids=str,
)
def test_right_values_that_cant_go_together_are_told(options, words):
    with pytest.raises(ValueError, match=words):
        refuse(options, ENGLISH)


def test_every_option_has_a_place_in_the_table():
    elsewhere = {"decode", "sample_rate"}  # the options themselves; a recording's, which is read
    whatever = {"prompt", "prefix", "fp16"}  # text or tokens of any length; not used
    names = {f.name for one in (TranscribeOptions, DecodingOptions) for f in fields(one)}
    assert names - elsewhere - whatever <= set(VALUES)
    assert set(VALUES) <= names | {"batch_size"}


def test_the_defaults_are_right():
    refuse(TranscribeOptions().named(), ENGLISH)
    refuse(vars(DecodingOptions()), ENGLISH)


def test_strings_and_sequences_say_the_same():
    assert clip_seconds("0,1.5") == clip_seconds([0, 1.5]) == [0.0, 1.5]
    assert clip_seconds("") == clip_seconds([]) == [0.0]
    assert token_ids("-1,50") == token_ids([-1, 50]) == [-1, 50]
    assert token_ids("") == token_ids(None) == []


def test_the_table_needs_neither_torch_nor_max():
    code = "import sys, whisper_port.option_rules; assert not {'torch', 'max', 'whisper'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
