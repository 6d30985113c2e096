import io
import time

import pytest

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.inputs import opened_inputs
from gaudi_asr_cli.core.records import RawFormat


def paths_of(*sources, stdin=None):
    with opened_inputs([str(source) for source in sources], stdin) as inputs:
        return [str(one.audio.path) for one in inputs.utterances], inputs.skipped


@pytest.fixture
def folder(tmp_path):
    for name in ("b.WAV", "sub/a.flac", "notes.txt", "sub/deep/c.mp3", "._b.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_a_folder_gives_files_with_audio_suffixes_and_counts_the_others(folder):
    found, skipped = paths_of(folder)

    names = ["b.WAV", "sub/a.flac", "sub/deep/c.mp3"]
    assert found == [str(folder / name) for name in names]
    assert skipped == 2


def test_a_named_file_is_given_under_any_suffix(folder):
    assert paths_of(folder / "notes.txt") == ([str(folder / "notes.txt")], 0)


def test_a_missing_file_is_only_an_error_of_its_own(folder):
    found, _ = paths_of(folder / "gone.wav", folder / "b.WAV")

    assert found == [str(folder / "gone.wav"), str(folder / "b.WAV")]


def test_a_glob_gives_its_matches_and_folders_what_is_in_them(folder):
    assert paths_of(folder / "**" / "*.mp3")[0] == [str(folder / "sub/deep/c.mp3")]
    assert len(paths_of(folder / "su*")[0]) == 2


def test_a_file_with_brackets_in_its_name_is_no_glob(folder):
    (folder / "[x].wav").write_bytes(b"")

    assert paths_of(folder / "[x].wav")[0] == [str(folder / "[x].wav")]


def test_a_file_named_twice_is_transcribed_once(folder):
    assert len(paths_of(folder, folder / "b.WAV")[0]) == 3


def test_standard_input_is_copied_to_a_file():
    with opened_inputs(["-"], io.BytesIO(b"RIFF")) as inputs:
        (utterance,) = inputs.utterances
        assert utterance.id == "-"
        assert utterance.audio.path.read_bytes() == b"RIFF"

    assert not utterance.audio.path.exists()


@pytest.mark.parametrize("source", ["", "*.nothing"])
def test_no_input_to_transcribe_is_an_error(tmp_path, source):
    with pytest.raises(DataError, match="no audio file"):
        paths_of(tmp_path / source)


def rejected(*sources, stdin=None, raw=None):
    with opened_inputs([str(source) for source in sources], stdin, raw) as inputs:
        return dict(inputs.rejected)


def test_an_empty_name_and_a_glob_without_match_are_only_errors_of_their_own(folder):
    problems = rejected("", folder / "*.nothing", folder / "sub" / "a.flac", folder / "notes.txt")

    assert problems[""] == "an empty name names no file."
    assert problems[str(folder / "*.nothing")] == "no file matches it."


def test_a_folder_without_audio_next_to_a_file_is_an_error_of_its_own(folder):
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("a")

    problems = rejected(folder / "texts", folder / "b.WAV")

    assert "no audio file in this folder (1 other" in problems[str(folder / "texts")]


def test_a_closed_or_empty_standard_input_is_rejected():
    assert rejected("-", stdin=None) == {"-": "standard input is closed."}
    assert rejected("-", stdin=io.BytesIO()) == {"-": "standard input is empty."}


def test_a_folder_with_an_audio_suffix_is_a_folder_if_it_contains_audio(folder):
    (folder / "x.wav").mkdir()
    assert rejected(folder)[str(folder / "x.wav")] == "a folder, not a file."

    (folder / "x.wav" / "y.wav").write_bytes(b"RIFF")
    assert str(folder / "x.wav") not in rejected(folder)


def test_headerless_files_are_found_where_their_format_is_given(folder):
    for name in ("c.raw", "call.bin"):
        (folder / name).write_bytes(b"1234")
    raw = RawFormat(8_000, "s16le")

    with opened_inputs(
        [str(folder), str(folder / "call.bin"), "-"], io.BytesIO(b"12"), raw
    ) as all_:
        known = {one.id.rpartition("/")[2]: one.audio.raw for one in all_.utterances}

    assert known == {
        "b.WAV": None, "c.raw": raw, "sub/a.flac".rpartition("/")[2]: None, "c.mp3": None,
        "call.bin": raw, "-": raw,
    }  # fmt: skip


def test_files_without_a_header_are_given_to_be_rejected_by_name(folder):
    for name in ("c.raw", "d.PCM", "e.al"):
        (folder / name).write_bytes(b"1234")

    found, others = paths_of(folder)

    assert {str(folder / "c.raw"), str(folder / "d.PCM")} < set(found)
    assert others == 3


def test_ten_thousand_files_are_found_in_seconds(tmp_path):
    for number in range(100):
        inner = tmp_path / f"f{number}.wav"
        inner.mkdir()
        for name in range(100):
            (inner / f"{name:03d}.wav").touch()

    started_s = time.monotonic()
    found, _ = paths_of(tmp_path, tmp_path)

    assert len(found) == 10_000
    assert time.monotonic() - started_s < 20
