from pathlib import Path

from gaudi_asr_cli.core.evaluation.utterances import prediction_json, score_utterance
from gaudi_asr_cli.core.records import AudioSpan, ErrorCounts, Utterance
from gaudi_asr_cli.core.text.normalizers import keep_text, normalize_basic


def utter(text, **audio):
    return Utterance("u1", AudioSpan(Path("a.wav"), **audio), text, speaker="s1")


def test_raw_and_normalised_texts_are_counted_side_by_side():
    scored = score_utterance(utter("Hello,  World!"), "hello word", normalize_basic)

    assert (scored.reference, scored.hypothesis) == ("hello world", "hello word")
    assert scored.words == ErrorCounts(hits=1, substitutions=1)
    assert scored.raw_words == ErrorCounts(substitutions=2)
    assert scored.characters == ErrorCounts(hits=10, deletions=1)
    assert (scored.raw_reference, scored.raw_hypothesis) == ("Hello,  World!", "hello word")


def test_white_space_alone_is_never_an_error():
    scored = score_utterance(utter(" a \t b"), "a  b ", keep_text)

    assert scored.words == scored.raw_words == ErrorCounts(hits=2)
    assert scored.characters == scored.raw_characters == ErrorCounts(hits=3)


def test_no_text_is_an_empty_reference():
    scored = score_utterance(utter(None), "a b", keep_text)

    assert scored.words == ErrorCounts(insertions=2)


def test_the_duration_is_the_decoded_one_or_else_that_of_the_span():
    assert score_utterance(utter("", duration_s=2.0), "", keep_text).duration_s == 2.0
    assert (
        score_utterance(utter("", duration_s=2.0), "", keep_text, duration_s=1.5).duration_s == 1.5
    )


def test_a_prediction_line_has_the_fields_of_the_contract():
    line = prediction_json(score_utterance(utter("A b", duration_s=1.0), "a", normalize_basic))

    assert line == {
        "id": "u1",
        "path": "a.wav",
        "reference": "a b",
        "hypothesis": "a",
        "raw_reference": "A b",
        "raw_hypothesis": "a",
        "hits": 1,
        "substitutions": 0,
        "deletions": 1,
        "insertions": 0,
        "duration_s": 1.0,
        "speaker": "s1",
    }
