import json
import wave
from pathlib import Path

import pytest

from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.text.vocabulary import read_vocabulary
from gaudi_asr_cli.core.workflows.vocab import VocabRequest, vocab

TURKISH_CASE = Path(__file__).parents[4] / "shared" / "cases" / "turkish_case" / "v_tr.csv"


def write_wav(path, seconds=0.5):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(int(32_000 * seconds)))


@pytest.fixture
def manifest(tmp_path):
    """A manifest of the texts given, each with half a second of silence."""

    def write(*texts, name="data.jsonl", broken=0):
        lines = []
        for index, text in enumerate(texts):
            audio = tmp_path / f"{name}-{index}.wav"
            if index >= broken:
                write_wav(audio)
            lines.append(json.dumps({"audio_filepath": audio.name, "text": text}))
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write


def test_characters_of_all_sources_become_files_that_are_read_back(manifest, tmp_path):
    sources = (manifest("ab b", name="one.jsonl"), manifest("c", name="two.jsonl"))

    report = vocab(VocabRequest(sources, tmp_path / "out"))

    assert report.vocabulary.tokens == ("|", "a", "b", "c", "[UNK]", "[PAD]")
    assert read_vocabulary(tmp_path / "out") == report.vocabulary
    assert (tmp_path / "out" / "preprocessor_config.json").exists()


def test_the_json_has_the_fields_of_the_contract(manifest, tmp_path):
    request = VocabRequest(
        (manifest("Ab, b!", "b"),), tmp_path / "out", rules=TextRules(",!", case="lower")
    )

    result = vocab(request).to_json()

    assert result == {
        "schema": "vocab/1",
        "tokens": ["|", "a", "b", "[UNK]", "[PAD]"],
        "counts": {"b": 3, " ": 1, "a": 1},
        "removed": {"!": 1, ",": 1},
        "notes": [],
        "hours": pytest.approx(1.0 / 3600),
        "utterances": 2,
    }


def test_every_character_is_listed_with_its_status(manifest, tmp_path):
    request = VocabRequest(
        (manifest("aa bq.", "a b"),), tmp_path / "out", rules=TextRules("."), min_count=2
    )

    rows = {row.character: row for row in vocab(request).characters}

    assert {character: row.status for character, row in rows.items()} == {
        "a": "kept",
        "b": "kept",
        " ": "kept",
        "q": "unknown",
        ".": "removed",
    }
    assert rows["."].name == "FULL STOP"
    assert "--min-count 2" in rows["q"].reason


def test_mixed_scripts_give_a_warning(manifest, tmp_path):
    report = vocab(VocabRequest((manifest("banana b\u0430nana"),), tmp_path / "out"))

    assert any("CYRILLIC" in warning for warning in report.warnings)


def test_unreadable_audio_counts_as_text_but_not_as_hours(manifest, tmp_path):
    events = []
    request = VocabRequest((manifest("a", "b", broken=1),), tmp_path / "out")

    report = vocab(request, events.append)

    assert (report.utterances, report.audio_s) == (2, 0.5)
    assert "a" in report.vocabulary.tokens
    assert any(isinstance(event, Noticed) for event in events)


def test_a_folder_that_is_not_empty_is_not_overwritten(manifest, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "vocab.json").write_text("{}")

    with pytest.raises(UsageError):
        vocab(VocabRequest((manifest("a"),), tmp_path / "out"))

    assert (tmp_path / "out" / "vocab.json").read_text() == "{}"


def test_data_without_text_is_rejected_and_nothing_is_written(manifest, tmp_path):
    with pytest.raises(DataError):
        vocab(VocabRequest((manifest("", " "),), tmp_path / "out"))

    assert not (tmp_path / "out").exists()


def tokens(report):
    """Return the tokens without delimiter, unknown and blank."""
    return "".join(report.vocabulary.tokens[1:-2])


@pytest.mark.parametrize(("case", "expected"), [("lower", "abiklnstuış"), ("upper", "ABIKLNSTUİŞ")])
@pytest.mark.parametrize("language", ["tr", "az", "Turkish"])
def test_turkish_text_is_folded_by_its_own_rules(manifest, tmp_path, case, expected, language):
    rules = TextRules(case=case, language=language)
    data = manifest("İSTANBUL IŞIK", "istanbul ışık", "I\u0307STANBUL")

    report = vocab(VocabRequest((data,), tmp_path / "out", rules=rules))

    assert tokens(report) == expected
    assert report.warnings == ()


def test_turkish_text_folded_without_its_language_gets_a_note_and_no_combining_dot(
    manifest, tmp_path
):
    data = manifest("İSTANBUL", "one")
    request = VocabRequest((data,), tmp_path / "out", rules=TextRules(case="lower"))

    report = vocab(request)

    assert tokens(report) == "abeilnostu"
    (note,) = report.to_json()["notes"]
    assert note.startswith("1 of 2 texts hold İ or ı")
    assert "--language tr" in note


def test_text_that_is_not_folded_needs_no_note(manifest, tmp_path):
    report = vocab(VocabRequest((manifest("İSTANBUL"),), tmp_path / "out"))

    assert report.warnings == ()


def test_a_language_that_has_no_case_of_its_own_is_noted(manifest, tmp_path):
    request = VocabRequest((manifest("eins"),), tmp_path / "out", rules=TextRules(language="de"))

    (note,) = vocab(request).warnings

    assert "--language de changes no character" in note


@pytest.mark.shared
@pytest.mark.skipif(not TURKISH_CASE.exists(), reason="needs ../shared/cases")
def test_the_turkish_case_of_the_shared_data_is_right(tmp_path):
    rules = TextRules(case="lower", language="tr")

    report = vocab(VocabRequest((str(TURKISH_CASE),), tmp_path / "out", rules=rules))

    assert report.counts["ı"] == 4
    assert report.counts["i"] == 2
    assert "\u0307" not in report.counts


def test_half_a_surrogate_pair_is_an_error_that_names_its_utterance(tmp_path):
    write_wav(tmp_path / "a.wav")
    line = '{"audio_filepath": "a.wav", "text": "one \\ud83d two"}\n'
    (tmp_path / "data.jsonl").write_text(line, encoding="utf-8")

    with pytest.raises(DataError, match="half of a character") as caught:
        vocab(VocabRequest((str(tmp_path / "data.jsonl"),), tmp_path / "out"))

    assert "a" in caught.value.message
    assert not (tmp_path / "out").exists()
