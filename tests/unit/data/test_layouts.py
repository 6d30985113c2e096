from __future__ import annotations

import json
from pathlib import Path

import pytest

from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.errors import DataError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def put(path: Path, text: str = "") -> Path:
    """Write a file; readers never open audio, so its bytes do not matter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(source, **options):
    return list(read_utterances(str(source), ReadOptions(**options)))


def error_of(source, **options) -> str:
    with pytest.raises(DataError) as caught:
        read(source, **options)
    return f"{caught.value.message} | {caught.value.remedy}"


# --- manifest -----------------------------------------------------------------------------------


def test_a_manifest_line_gives_path_duration_text_and_speaker(tmp_path):
    line = {"audio_filepath": "w/a.wav", "duration": 1.5, "offset": 2, "text": "Hi", "speaker": 7}
    path = put(tmp_path / "m.jsonl", json.dumps(line) + "\n\n")

    (utterance,) = read(path)

    assert utterance.id == "a"
    assert utterance.audio.path == tmp_path / "w/a.wav"
    assert (utterance.audio.start_s, utterance.audio.duration_s) == (2.0, 1.5)
    assert (utterance.text, utterance.speaker) == ("Hi", "7")


def test_lines_of_a_manifest_need_not_have_the_same_keys(tmp_path):
    path = put(
        tmp_path / "m.jsonl",
        '{"audio_filepath": "a.wav", "text": "a"}\n'
        '{"audio_filepath": "a.wav", "text": "b", "offset": 3.5, "speaker": "s"}\n',
    )

    first, second = read(path)

    assert (first.audio.start_s, first.speaker) == (0.0, None)
    assert (second.audio.start_s, second.speaker) == (3.5, "s")


def test_a_byte_order_mark_and_an_absolute_path_are_accepted(tmp_path):
    path = put(tmp_path / "m.json", '\ufeff{"audio_filepath": "/x/a.wav", "sentence": "é"}\n')

    (utterance,) = read(path)

    assert (utterance.audio.path, utterance.text) == (Path("/x/a.wav"), "é")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"audio_filepath": "b.wav", "text": ', "broken JSON"),
        ("[1, 2]", "a list instead of an object"),
        ('{"audio_filepath": "b.wav"}', "no column of text; the columns are audio_filepath"),
        ('{"text": "b"}', "no column of audio files; the columns are text"),
    ],
)
def test_a_broken_manifest_line_is_named_by_its_number(tmp_path, line, expected):
    good = '{"audio_filepath": "a.wav", "text": "a", "duration": 1}'
    path = put(tmp_path / "m.jsonl", f"{good}\n\n{line}\n{good}\n")

    message = error_of(path)

    assert f"{path}, line 3: " in message
    assert expected in message


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ('"audio_filepath": null', "not the path of an audio file"),
        ('"audio_filepath": " "', "not the path of an audio file"),
        ('"audio_filepath": "b\\ud800.wav"', "lone surrogate"),
        ('"audio_filepath": "http://x.org/b.wav"', "not on this machine"),
        ('"audio_filepath": "b.wav", "text": "b\\udc80"', "\\udc80, half of a character"),
        ('"audio_filepath": "b.wav", "text": ["b"]', "not a text"),
        ('"audio_filepath": "b.wav", "duration": "long"', "not a number of seconds"),
        ('"audio_filepath": "b.wav", "duration": -1', "not a number of seconds"),
        ('"audio_filepath": "b.wav", "duration": NaN', "not a number of seconds"),
        ('"audio_filepath": "b.wav", "offset": Infinity', "not a number of seconds"),
        ('"audio_filepath": "b.wav", "duration": 1e300', "not a number of seconds"),
        (f'"audio_filepath": "b.wav", "duration": 1{"0" * 400}', "not a number of seconds"),
        ('"audio_filepath": "b.wav", "duration": true', "not a number of seconds"),
        ('"audio_filepath": "b.wav", "offset": 2, "duration": 0', "starts at 2 s and lasts 0 s"),
        ('"audio_filepath": "b.wav", "start": 2, "end": 2', "starts at 2 s and ends at 2 s"),
    ],
)
def test_a_value_that_cannot_be_used_is_only_an_error_of_its_row(tmp_path, cells, expected):
    good = '{"audio_filepath": "a.wav", "text": "a", "duration": 1}'
    line = "{" + ('"text": "b", ' if '"text"' not in cells else "") + cells + "}"
    path = put(tmp_path / "m.jsonl", f"{good}\n\n{line}\n{good}\n")

    first, rejected, last = read(path)

    assert (first.rejection, last.rejection) == ("", "")
    assert rejected.rejection.startswith(f"{path}, line 3: ")
    assert expected in rejected.rejection
    assert f"{rejected}".encode()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"audio_filepath": "b.wav", "text": ' + "[" * 100_000, "nested too deeply"),
        ('{"audio_filepath": "b.wav", "text": 1' + "0" * 5_000 + "}", "Exceeds the limit"),
        ('{"audio_filepath": "b.wav", "text": "b", "text": "c"}', "'text' occurs twice"),
    ],
)
def test_json_that_python_cannot_read_is_named_by_its_line_number(tmp_path, line, expected):
    path = put(tmp_path / "m.jsonl", f'{{"audio_filepath": "a.wav", "text": "a"}}\n{line}\n')

    message = error_of(path)

    assert f"{path}, line 2: broken JSON: " in message
    assert expected in message


def test_a_line_that_is_not_utf_8_is_named_by_its_line_number(tmp_path):
    path = put(tmp_path / "m.jsonl", '{"audio_filepath": "a.wav", "text": "a"}\n')
    path.write_bytes(path.read_bytes() + b'{"audio_filepath": "b.wav", "text": "\xe9"}\n')

    assert "line 2: this is not UTF-8" in error_of(path)


def test_a_missing_text_column_lists_the_columns_and_the_option(tmp_path):
    path = put(tmp_path / "m.jsonl", '{"audio_filepath": "a.wav", "words": "hello"}\n')

    message = error_of(path)
    (named,) = read(path, text_column="words")
    (unneeded,) = read(path, needs_text=False)

    assert "the columns are audio_filepath, words" in message
    assert "--text-column" in message
    assert (named.text, unneeded.text) == ("hello", None)


def test_a_missing_text_column_given_by_name_is_rejected_even_where_no_text_is_needed(tmp_path):
    path = put(tmp_path / "m.jsonl", '{"audio_filepath": "a.wav", "text": "hello"}\n')

    assert "no column named 'words'" in error_of(path, text_column="words", needs_text=False)


def test_an_empty_manifest_is_rejected(tmp_path):
    assert "no utterance" in error_of(put(tmp_path / "m.jsonl", "\n"))


def test_a_folder_of_manifests_has_one_split_per_file(tmp_path):
    for name in ("train_manifest", "manifest_test"):
        put(tmp_path / f"{name}.jsonl", f'{{"audio_filepath": "{name}.wav", "text": "a"}}\n')

    message = error_of(tmp_path)
    ids = [u.id for u in read(f"{tmp_path}#train+test")]

    assert "several splits" in message
    assert "test, train" in message
    assert ids == ["train_manifest", "manifest_test"]


# --- table --------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["path", "audio", "audio_filepath", "file_name", "file", "wav"])
def test_the_audio_column_of_a_table_is_found_by_name(tmp_path, column):
    path = put(tmp_path / "t.csv", f'id,{column},transcript\n1,a/b.wav,"One, ""two"""\n')

    (utterance,) = read(path)

    assert utterance.audio.path == tmp_path / "a/b.wav"
    assert utterance.text == 'One, "two"'


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ";"), ("csv", "|"), ("tsv", "\t")])
def test_a_table_may_have_another_delimiter(tmp_path, suffix, separator):
    rows = [("path", "text", "duration"), ("a.wav", "yes, indeed", "1.25")]
    path = put(tmp_path / f"t.{suffix}", "".join(separator.join(row) + "\n" for row in rows))

    (utterance,) = read(path)

    assert (utterance.text, utterance.audio.duration_s) == ("yes, indeed", 1.25)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.wav", "1 cells, where the first line names 2"),
        ("a.wav,b,c", "3 cells"),
        ('a.wav,"never closed', "unexpected end of data"),
    ],
)
def test_a_broken_table_line_is_named_by_its_number(tmp_path, line, expected):
    path = put(tmp_path / "t.csv", f"path,text\nx.wav,x\n{line}\n")

    message = error_of(path)

    assert "line 3: " in message
    assert expected in message


def test_a_table_without_audio_lists_its_columns(tmp_path):
    message = error_of(put(tmp_path / "t.csv", "name,text\na,b\n"))

    assert "no column of audio files; the columns are name, text" in message


# --- folder and audiofolder ---------------------------------------------------------------------


def test_a_folder_gives_audio_with_the_text_next_to_it(tmp_path):
    for name in ("b.wav", "a.FLAC", "deep/er/c.m4a", ".hidden.wav", "notes.md"):
        put(tmp_path / name)
    put(tmp_path / "b.txt", "Hello there.\n")

    utterances = read(tmp_path)

    assert [(u.id, u.text) for u in utterances] == [("a", None), ("b", "Hello there."), ("c", None)]


def test_a_split_of_a_folder_is_a_sub_folder(tmp_path):
    put(tmp_path / "train/a.wav")
    put(tmp_path / "test/b.wav")

    assert [u.id for u in read(f"{tmp_path}#test")] == ["b"]


def test_a_single_audio_file_is_a_source_too(tmp_path):
    assert [u.id for u in read(put(tmp_path / "a.wav"))] == ["a"]


def test_stems_that_repeat_become_paths(tmp_path):
    for name in ("x/a.wav", "y/a.wav", "y/a.flac"):
        put(tmp_path / name)

    assert [u.id for u in read(tmp_path)] == ["a", "y/a", "y/a-2"]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_an_audiofolder_reads_its_metadata_and_takes_dev_for_validation(tmp_path, name):
    lines = {
        "metadata.csv": "file_name,transcription,speaker\na.wav,hi,s1\n",
        "metadata.jsonl": '{"file_name": "a.wav", "transcription": "hi", "speaker": "s1"}\n',
    }
    for split in ("train", "validation"):
        put(tmp_path / split / name, lines[name])

    (utterance,) = read(f"{tmp_path}#dev")

    assert utterance.audio.path == tmp_path / "validation/a.wav"
    assert (utterance.text, utterance.speaker) == ("hi", "s1")
    assert "train, validation" in error_of(tmp_path)


# --- librispeech, commonvoice, kaldi ------------------------------------------------------------


def test_librispeech_reads_chapters_of_the_named_split(tmp_path):
    chapter = tmp_path / "LibriSpeech/test-clean/61/70968"
    for number in ("0000", "0001"):
        put(chapter / f"61-70968-{number}.flac")
    put(chapter / "61-70968.trans.txt", "61-70968-0000 HE BEGAN\n61-70968-0001 OR\n")
    put(tmp_path / "LibriSpeech/dev-clean/1/2/1-2.trans.txt", "1-2-0000 X\n")

    utterances = read(f"{tmp_path}#test.clean")

    assert [(u.id, u.text, u.speaker) for u in utterances] == [
        ("61-70968-0000", "HE BEGAN", "61"),
        ("61-70968-0001", "OR", "61"),
    ]
    assert utterances[0].audio.path == chapter / "61-70968-0000.flac"
    assert "dev-clean, test-clean" in error_of(tmp_path / "LibriSpeech")


def test_librispeech_lists_audio_without_text_and_text_without_audio(tmp_path):
    chapter = tmp_path / "dev/1/2"
    put(chapter / "1-2-0007.flac")
    put(chapter / "1-2.trans.txt", "1-2-0000 GONE\n")

    utterances = read(tmp_path / "dev")

    assert [(u.id, u.text) for u in utterances] == [("1-2-0000", "GONE"), ("1-2-0007", None)]


CV_HEADER = "client_id\tpath\tsentence\tup_votes"


def make_commonvoice(root: Path) -> Path:
    (root / "clips").mkdir(parents=True)
    put(root / "test.tsv", f'{CV_HEADER}\nabc\tcv_1.mp3\t"Quoted, he said\t2\nabc\tcv_2\tTwo.\t2\n')
    put(root / "train.tsv", f"{CV_HEADER}\nabc\tcv_3.mp3\tThree.\t2\n")
    put(root / "clip_durations.tsv", "clip\tduration[ms]\ncv_1.mp3\t1500\n")
    return root


@pytest.mark.parametrize("place", ["en#test", "en/test.tsv", "#test"])
def test_commonvoice_reads_sentences_unchanged(tmp_path, place):
    make_commonvoice(tmp_path / "en")

    utterances = read(f"{tmp_path}/{place}".replace("/#", "#"))

    assert [(u.id, u.text, u.speaker) for u in utterances] == [
        ("cv_1", '"Quoted, he said', "abc"),
        ("cv_2", "Two.", "abc"),
    ]
    assert utterances[1].audio.path == tmp_path / "en/clips/cv_2.mp3"
    assert [u.audio.duration_s for u in utterances] == [1.5, None]


def test_commonvoice_durations_that_are_not_numbers_are_an_error(tmp_path):
    root = make_commonvoice(tmp_path)
    put(root / "clip_durations.tsv", "clip\tduration[ms]\ncv_1.mp3\tlong\n")

    assert "clip_durations.tsv" in error_of(f"{root}#test")


def test_commonvoice_with_several_languages_asks_for_one(tmp_path):
    make_commonvoice(tmp_path / "en")
    make_commonvoice(tmp_path / "tr")

    assert "--config: en, tr" in error_of(f"{tmp_path}#test")
    assert len(read(f"{tmp_path}#test", config="tr")) == 2
    assert "test, train" in error_of(tmp_path / "en")


def make_kaldi(directory: Path, **files: str) -> Path:
    for name, text in {"wav.scp": "r1 audio/r1.wav\n", **files}.items():
        put(directory / name, text)
    return directory


def test_kaldi_segments_are_spans_of_recordings(tmp_path):
    make_kaldi(
        tmp_path,
        segments="u2 r1 1.5 -1\nu1 r1 0.25 1.5\n",
        text="u1 HELLO  WORLD\nu2\n",
        utt2spk="u1 anna\nu2 anna\n",
    )

    second, first = read(tmp_path)

    assert (first.id, first.text, first.speaker) == ("u1", "HELLO  WORLD", "anna")
    assert first.audio.path == tmp_path / "audio/r1.wav"
    assert (first.audio.start_s, first.audio.duration_s) == (0.25, 1.25)
    assert (second.text, second.audio.duration_s) == ("", None)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ("3 1", "it ends at 1.0 s, not after 3.0 s"),
        ("1.5 1.5", "it ends at 1.5 s, not after 1.5 s"),
        ("-5 -1", "its start is -5.0 s"),
        ("nan -1", "its start is nan s"),
        ("0 inf", "its end is inf s"),
    ],
)
def test_a_kaldi_segment_of_impossible_times_is_only_an_error_of_its_own(tmp_path, times, expected):
    segments = f"u1 r1 0.25 1.5\nu2 r1 {times}\n"
    make_kaldi(tmp_path, segments=segments, text="u1 A\nu2 B\n")

    first, second = read(tmp_path)

    assert first.rejection == ""
    assert second.rejection.startswith(f"{tmp_path / 'segments'}, line 2: ")
    assert expected in second.rejection


def test_kaldi_without_segments_takes_durations_from_reco2dur(tmp_path):
    make_kaldi(tmp_path / "data/test", text="r1 HI\n", reco2dur="r1 2.5\n")

    (utterance,) = read(tmp_path)

    assert (utterance.id, utterance.audio.duration_s) == ("r1", 2.5)


def test_a_pipe_in_wav_scp_is_rejected_and_never_run(tmp_path):
    mark = tmp_path / "MARK"
    scp = f"r1 a.wav\nr2 touch {mark} |\n"
    make_kaldi(tmp_path / "d", **{"wav.scp": scp}, text="r1 A\nr2 B\n")

    message = error_of(tmp_path / "d")

    assert "line 2" in message
    assert "never run" in message
    assert not mark.exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the development data (../shared)")
def test_the_real_kaldi_folder_with_pipes_is_rejected():
    assert "never run" in error_of(SHARED / "layouts/kaldi_mini_librispeech_pipes")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"segments": "u1 r9 0 1\n"}, "line 1: 'r9 0 1' is not in wav.scp"),
        ({"segments": "u1 r1 0 one\n"}, "is broken"),
        ({"segments": "u1 r1 0 1 2\n"}, "'2' follows the end, and names a channel"),
        ({"segments": "u1 r1 0 1\n\nu1 r1 1 2\n"}, "lines 1 and 3 have the same key, 'u1'"),
        ({"text": "r1 A\nr1 B\n"}, "lines 1 and 2 have the same key, 'r1'"),
        ({"wav.scp": "r1 x.wav\nr1 y.wav\n"}, "lines 1 and 2 have the same key, 'r1'"),
        ({"wav.scp": "r1 raw/wav.1.ark:1234\n"}, "inside a Kaldi archive"),
        ({"wav.scp": "r1 a.ark\n"}, "inside a Kaldi archive"),
        (
            {
                "wav.scp": "r1 a.wav\nr2 a.wav\n",
                "reco2file_and_channel": "r1 a A\nr2 a B\n",
            },
            "channels of one file",
        ),
        ({"text": "r1 A\nr7 B\n"}, "1 utterances have no audio, r7 first"),
        ({"reco2dur": "r1 long\n"}, "could not convert"),
        ({}, "no file `text`"),
    ],
)
def test_kaldi_files_that_contradict_each_other_are_rejected(tmp_path, files, expected):
    text = {} if not files else {"text": "r1 A\n"}
    make_kaldi(tmp_path, **{**text, **files})

    assert expected in error_of(tmp_path)
