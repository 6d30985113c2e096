import json
import wave

import pytest

from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.text.vocabulary import read_vocabulary
from gaudi_asr_cli.core.workflows.vocab import VocabRequest, vocab


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
        "hours": pytest.approx(1.0 / 3600),
        "utterances": 2,
    }


def test_every_character_is_told_with_its_fate(manifest, tmp_path):
    request = VocabRequest(
        (manifest("aa bq.", "a b"),), tmp_path / "out", rules=TextRules("."), min_count=2
    )

    rows = {row.character: row for row in vocab(request).characters}

    assert {character: row.fate for character, row in rows.items()} == {
        "a": "kept",
        "b": "kept",
        " ": "kept",
        "q": "unknown",
        ".": "removed",
    }
    assert rows["."].name == "FULL STOP"
    assert "--min-count 2" in rows["q"].why


def test_mixed_scripts_are_warned_of(manifest, tmp_path):
    report = vocab(VocabRequest((manifest("banana b\u0430nana"),), tmp_path / "out"))

    assert any("CYRILLIC" in warning for warning in report.warnings)


def test_unreadable_audio_counts_as_text_but_not_as_hours(manifest, tmp_path):
    events = []
    request = VocabRequest((manifest("a", "b", broken=1),), tmp_path / "out")

    report = vocab(request, events.append)

    assert (report.utterances, report.audio_s) == (2, 0.5)
    assert "a" in report.vocabulary.tokens
    assert any(isinstance(event, Noticed) for event in events)


def test_a_folder_with_something_in_it_is_not_overwritten(manifest, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "vocab.json").write_text("{}")

    with pytest.raises(UsageError):
        vocab(VocabRequest((manifest("a"),), tmp_path / "out"))

    assert (tmp_path / "out" / "vocab.json").read_text() == "{}"


def test_data_without_text_is_refused_and_nothing_written(manifest, tmp_path):
    with pytest.raises(DataError):
        vocab(VocabRequest((manifest("", " "),), tmp_path / "out"))

    assert not (tmp_path / "out").exists()
