from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.data.layouts import LAYOUTS
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.sources import _with_unique_ids, parse_source, read_utterances
from gaudi_asr_cli.core.errors import DataError, UnreachableError
from gaudi_asr_cli.core.records import AudioSpan, Utterance


def put_manifest(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f'{{"audio_filepath": "{n}.wav", "text": "{n}"}}\n' for n in names))
    return path


@pytest.mark.parametrize(
    ("source", "layout", "place", "splits"),
    [
        ("demo", "demo", ".", (None,)),
        ("demo#test", "demo", ".", ("test",)),
        ("demo:#train+dev", "demo", ".", ("train", "dev")),
        ("openslr/librispeech_asr#train.100+validation", "hub", "openslr/librispeech_asr",
         ("train.100", "validation")),
        ("hf:google/fleurs", "hub", "google/fleurs", (None,)),
        ("librispeech_asr", "hub", "librispeech_asr", (None,)),
    ],
)  # fmt: skip
def test_a_source_is_parsed(source, layout, place, splits):
    parsed = parse_source(source)

    assert (parsed.layout, parsed.place.as_posix(), parsed.splits) == (layout, place, splits)


def test_a_split_in_the_source_takes_precedence_over_the_option():
    assert parse_source("a-b/c#test", "train").splits == ("test",)
    assert parse_source("a-b/c", "train+dev").splits == ("train", "dev")


def test_a_layout_can_be_named(tmp_path):
    path = put_manifest(tmp_path / "list.txt", "a")

    assert [u.id for u in read_utterances(f"manifest:{path}")] == ["a"]


def test_a_hash_in_a_file_name_is_no_split(tmp_path):
    path = put_manifest(tmp_path / "take#2.jsonl", "a")

    assert parse_source(str(path)).splits == (None,)


def test_a_single_file_has_no_splits(tmp_path):
    path = put_manifest(tmp_path / "m.jsonl", "a")

    with pytest.raises(DataError, match="single file and has no split 'test'"):
        read_utterances(f"{path}#test")


def test_a_folder_of_another_layout_is_rejected(tmp_path):
    put_manifest(tmp_path / "m.jsonl", "a")

    with pytest.raises(DataError, match="no data of this layout"):
        list(read_utterances(f"kaldi:{tmp_path}"))


def test_a_mistyped_layout_gets_a_suggestion(tmp_path):
    with pytest.raises(DataError, match=r"no layout 'kladi'\. Did you mean kaldi:/x"):
        read_utterances("kladi:/x")


@pytest.mark.parametrize(
    "missing", ["", "mnifest.jsonl", "./mnifest.jsonl", "sub/none.wav", "/nowhere/at/all"]
)
def test_a_missing_path_is_no_hub_id(tmp_path, monkeypatch, missing):
    monkeypatch.chdir(tmp_path)
    put_manifest(tmp_path / "manifest.jsonl", "a")

    with pytest.raises(DataError, match="no such file or folder") as caught:
        read_utterances(missing)

    if "mnifest" in missing:
        assert "Did you mean manifest.jsonl?" in caught.value.message


def test_an_id_whose_owner_is_a_local_folder_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "digits").mkdir(parents=True)

    with pytest.raises(DataError, match="Did you mean data/digits"):
        read_utterances("data/digit")


@pytest.mark.parametrize(
    ("removed", "replacement"),
    [
        ("librispeech_asr", "openslr/librispeech_asr"),
        ("common_voice#train", "commonvoice:DIR"),
        ("mozilla-foundation/common_voice_17_0", "datacollective.mozillafoundation.org"),
        ("timit_asr", "LDC93S1"),
        ("multilingual_librispeech", "facebook/multilingual_librispeech"),
    ],
)
def test_a_removed_hub_id_names_its_replacement(removed, replacement):
    with pytest.raises(UnreachableError) as caught:
        list(read_utterances(removed))

    assert replacement in caught.value.remedy


def test_an_unrecognised_folder_is_described_with_how_to_name_a_layout(tmp_path):
    (tmp_path / "notes.md").write_text("x")

    with pytest.raises(DataError, match=r"it holds notes\.md") as caught:
        read_utterances(str(tmp_path))

    assert "LAYOUT:" in caught.value.remedy


def test_splits_are_joined_with_unique_ids(tmp_path):
    for split in ("train", "dev"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.wav").write_bytes(b"x")

    ids = [u.id for u in read_utterances(f"folder:{tmp_path}#train+dev")]

    assert ids == ["a", "dev/a"]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(["a", "b", "a-2", "x/a"]))))
def test_ids_are_unique_whatever_the_paths(places):
    root = Path("/root")
    utterances = [Utterance(n, AudioSpan(root / folder / f"{n}.wav")) for folder, n in places]

    unique = list(_with_unique_ids(utterances, root))

    assert len({u.id for u in unique}) == len(places)
    assert [u.audio for u in unique] == [u.audio for u in utterances]


def test_a_reader_is_lazy_and_a_broken_line_is_an_error_when_it_is_reached(tmp_path):
    path = put_manifest(tmp_path / "m.jsonl", "a", "b")
    path.write_text(path.read_text() + "broken\n")

    utterances = read_utterances(str(path))

    assert [next(utterances).id, next(utterances).id] == ["a", "b"]
    with pytest.raises(DataError, match="line 3"):
        next(utterances)


def test_a_long_manifest_is_planned_without_opening_audio(tmp_path):
    path = tmp_path / "m.jsonl"
    line = {"duration": 12.5, "text": "some words", "speaker": "s"}
    with path.open("w") as file:
        for i in range(20_000):
            file.write(json.dumps({"audio_filepath": f"gone/{i}.wav", **line}) + "\n")
    started_s = time.process_time()

    utterances = list(read_utterances(str(path)))

    # Twelve microseconds a line were measured; a busy machine may take some times as long.
    assert time.process_time() - started_s < 20_000 * 100e-6
    assert sum(u.audio.duration_s or 0 for u in utterances) == 250_000


def test_every_layout_of_the_contract_is_registered():
    assert set(LAYOUTS) == {
        "folder", "audiofolder", "manifest", "table", "librispeech", "commonvoice", "kaldi",
        "parquet", "hub", "demo", "ljspeech", "mls", "spontaneous",
    }  # fmt: skip


def test_text_may_be_missing_where_it_is_not_needed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("path\na.wav\n")

    (utterance,) = read_utterances(str(path), ReadOptions(needs_text=False))

    assert utterance.text is None


def test_a_layout_that_finds_no_text_does_not_lose_it_silently(tmp_path, monkeypatch):
    (tmp_path / "captions").write_text("a=one\nb=two\n")
    monkeypatch.setitem(LAYOUTS.paths, "textless", "helpers.fake_plugins:TEXTLESS")
    source = f"textless:{tmp_path}"

    with pytest.raises(DataError, match=r"none of its 2 utterances has a text .layout textless."):
        list(read_utterances(source))
    assert len(list(read_utterances(source, ReadOptions(needs_text=False)))) == 2


def test_a_text_column_that_a_folder_cannot_have_is_an_error(tmp_path):
    (tmp_path / "a.wav").touch()

    assert len(list(read_utterances(str(tmp_path)))) == 1
    with pytest.raises(DataError, match="layout folder"):
        list(read_utterances(str(tmp_path), ReadOptions(text_column="words")))


def test_a_layout_without_detect_is_reached_only_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "captions").write_text("a=one\n")
    (tmp_path / "a.wav").touch()
    monkeypatch.setitem(LAYOUTS.paths, "captions", "helpers.fake_plugins:UNDETECTED")

    (bare,) = read_utterances(str(tmp_path))
    (named,) = read_utterances(f"captions:{tmp_path}")

    assert (bare.text, named.text) == (None, "one")


def test_a_layout_with_detect_is_asked_before_the_plain_folder(tmp_path, monkeypatch):
    (tmp_path / "captions").write_text("a=one\n")
    (tmp_path / "a.wav").touch()
    monkeypatch.setitem(LAYOUTS.paths, "captions", "helpers.fake_plugins:CAPTIONS")

    (utterance,) = read_utterances(str(tmp_path))

    assert utterance.text == "one"
