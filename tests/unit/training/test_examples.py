from pathlib import Path
from types import SimpleNamespace

import pytest

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.geometry import FrameGeometry, geometry_from_config
from gaudi_asr_cli.core.records import AudioSpan, Utterance
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary
from gaudi_asr_cli.core.training.examples import Limits, check_vocabulary, select_examples
from gaudi_asr_cli.core.training.tasks.ctc import CtcTask

VOCABULARY = build_vocabulary({"a": 1, "b": 1})
GEOMETRY: FrameGeometry = geometry_from_config(
    {"model_type": "wav2vec2", "conv_kernel": [320], "conv_stride": [320]}
)
TASK = CtcTask(SimpleNamespace(vocabulary=VOCABULARY, geometry=GEOMETRY))


def utterance(name, text, duration_s):
    return Utterance(name, AudioSpan(Path("x.wav"), duration_s=duration_s), text)


def select(*utterances, limits=Limits()):  # noqa: B008
    return select_examples(utterances, TextRules(), TASK, limits)


def test_labels_follow_the_cleaned_text():
    examples = select(utterance("u", " ab  a ", 1.0))

    assert "".join(VOCABULARY.tokens[label] for label in examples.labels[0]) == "ab|a"


@pytest.mark.parametrize(
    ("text", "frames", "kept"),
    [("abab", 4, True), ("abab", 3, False), ("aab", 3, False), ("aab", 4, True)],
)
def test_repeated_letters_need_one_more_frame(text, frames, kept):
    wanted = utterance("wanted", text, frames * 0.02)

    examples = select(wanted, utterance("other", "a", 1.0))

    assert (wanted in examples.utterances) is kept


def test_every_skipped_utterance_is_listed_with_its_reason():
    examples = select(
        utterance("good", "ab", 1.0),
        utterance("empty", "", 1.0),
        utterance("short", "a", 0.1),
        utterance("long", "a", 9.0),
        utterance("dense", "abababababababab", 0.25),
        limits=Limits(min_s=0.2, max_s=5.0),
    )

    assert [one.id for one in examples.utterances] == ["good"]
    assert {one.utterance_id: one.reason for one in examples.skipped} == {
        "empty": "no text",
        "short": "too short",
        "long": "too long",
        "dense": "too few frames for its text",
    }


def test_nothing_left_to_train_on_is_an_error_with_the_reasons():
    with pytest.raises(DataError, match="no text"):
        select(utterance("empty", "", 1.0))


def test_rare_unknown_characters_are_counted():
    unknown = check_vocabulary(VOCABULARY, ["ab" * 50, "a-b"])

    assert unknown == {"-": 1}


def test_a_vocabulary_of_the_other_case_is_an_error_with_a_remedy():
    with pytest.raises(DataError) as caught:
        check_vocabulary(VOCABULARY, ["ABBA"])

    assert "--case lower" in caught.value.remedy
