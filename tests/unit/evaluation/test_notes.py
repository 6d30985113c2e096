from pathlib import Path

import pytest

from gaudi_asr_cli.core.evaluation.comparison import plan_comparison
from gaudi_asr_cli.core.evaluation.notes import find_notes
from gaudi_asr_cli.core.evaluation.score import find_worst, score_json, summarize
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.records import AudioSpan, Utterance
from gaudi_asr_cli.core.text.normalizers import open_normalizer
from gaudi_asr_cli.core.text.rules import TextRules


def score(*pairs, normalizer="basic"):
    normalize = open_normalizer(normalizer)
    return [
        score_utterance(
            Utterance(f"u{n}", AudioSpan(Path("x.wav"), 0.0, 1.0), reference), hypothesis, normalize
        )
        for n, (reference, hypothesis) in enumerate(pairs, start=1)
    ]


def note(*pairs, normalizer="basic", **rules):
    return find_notes(score(*pairs, normalizer=normalizer), normalizer, TextRules(**rules))


def summarise(scored):
    return summarize(scored, plan_comparison("basic"), utterances_total=9, audio_s_total=9.0)


def test_plain_texts_need_no_note():
    assert note(("One, two.", "one too"), ("I am", "i am")) == ()


def test_ignorable_characters_are_counted_on_both_sides():
    (sentence,) = note(("so\u00adft\u200b", "soft"), ("a\u200bb", "ab"), ("c", "\ufeffc"))

    assert sentence == (
        "4 default-ignorable characters (U+200B ZERO WIDTH SPACE, U+00AD SOFT HYPHEN, "
        "U+FEFF ZERO WIDTH NO-BREAK SPACE) in 2 references and 1 hypothesis were dropped "
        "before scoring."
    )


@pytest.mark.parametrize("normalizer", ["none", "basic/1", "whisper-english"])
def test_normalisers_that_keep_ignorable_characters_are_noted(normalizer):
    (sentence,) = note(("so\u200bft", "soft"), normalizer=normalizer)

    assert f"counts as {normalizer} takes it; basic/2 drops it" in sentence


def test_empty_references_are_named_with_their_insertions():
    pairs = (("...", "uh huh"), ("", ""), ("one", "one"))

    (sentence,) = note(*pairs)

    assert sentence == (
        "2 references are empty after normalising (u1, u2): only insertions are possible "
        "there, 2 in total."
    )
    assert summarise(score(*pairs)).empty_references == ("u1", "u2")


def test_bracketed_words_that_count_are_noted():
    pairs = ("well (almost) all", "well all"), ("[noise]", "")

    (sentence,) = note(*pairs)

    assert sentence.startswith("2 references hold words in brackets, such as '(almost)'")
    assert "--normalizer basic/1" in sentence
    assert not any("brackets" in one for one in note(*pairs, normalizer="basic/1"))


@pytest.mark.parametrize("normalizer", ["basic", "basic/1", "whisper-english"])
def test_turkish_letters_without_their_language_are_noted(normalizer):
    (sentence,) = note(("IŞIK", "ışık"), ("a", "a"), normalizer=normalizer)

    assert sentence.startswith("1 utterance holds İ or ı")
    assert "--language tr" in sentence
    assert ("--normalizer basic/2" in sentence) == (normalizer != "basic")


def test_with_their_language_or_unfolded_they_are_not():
    pair = ("IŞIK", "ışık")

    assert note(pair, language="tr") == ()
    assert note(pair, normalizer="none") == ()
    assert note(pair, normalizer="none", case="lower", language="tr") == ()
    assert len(note(pair, normalizer="none", case="lower")) == 1


def test_whisper_english_names_utterances_whose_numbers_it_changes_oddly():
    (sentence,) = note(
        ("It was four o'clock.", "it was 4"), ("twenty one", "21"), normalizer="whisper-english"
    )

    assert "1 utterance (u1)" in sentence
    assert '"four o clock" becomes "40 clock" in u1' in sentence


@pytest.mark.parametrize(
    "text",
    ["今天天气很好", "私は学生です", "สวัสดีครับ", "ສະບາຍດີ", "សួស្តី", "မင်္ဂလာပါ", "བཀྲ་ཤིས"],
)
def test_scripts_without_spaces_put_the_character_error_rate_first(text):
    found = summarise(score((text, text[:-1])))

    assert found.cer_first
    assert "character error rate first" in found.notes[-1]
    assert score_json(found)["wer"] > 0


@pytest.mark.parametrize("text", ["안녕하세요 세계", "hello 世界", "नमस्ते दुनिया", "", "12"])
def test_others_do_not(text):
    found = summarise(score((text, "x")))

    assert not found.cer_first
    assert "character error rate" not in " ".join(found.notes)


def test_the_worst_are_ranked_by_the_leading_error_rate():
    scored = score(("今天天气", "明日夜雨"), ("很好", "很"))

    assert [one.id for one in find_worst(scored, cer_first=True)] == ["u1", "u2"]


def test_notes_are_a_list_in_the_json():
    found = summarize(
        score(("a", "a")),
        plan_comparison("basic"),
        utterances_total=1,
        audio_s_total=1.0,
        notes=("One.",),
    )

    assert score_json(found)["notes"] == ["One."]
