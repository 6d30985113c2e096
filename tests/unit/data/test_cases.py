"""Inputs that other tools read wrongly, with the right result, and variants of each."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from gaudi_asr_cli import load_model
from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.measure import measure
from gaudi_asr_cli.core.data.overlaps import find_overlaps
from gaudi_asr_cli.core.data.reading import read_measured
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
FILES_S = {"u0": 2.464, "u1": 2.217, "u2": 1.082, "u3": 0.953}
TEXTS = [
    "zero two four two six eight one",
    "five three eight six eight four one",
    "zero four",
    "five five",
]

shared = pytest.mark.shared
needs_cases = pytest.mark.skipif(
    not CASES.is_dir(), reason="needs the cases beside the checkout (../shared)"
)


def make(path: Path, seconds: float = 2.0, rate_hz: int = 16_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(round(seconds * rate_hz), 0.25), rate_hz)
    return path


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(source, **options):
    return read_measured([str(source)], ReadOptions(**options))


def error_of(source, **options) -> str:
    with pytest.raises(DataError) as caught:
        read(source, **options)
    return f"{caught.value.message} | {caught.value.remedy}"


def spans(measured) -> list[tuple[float, float]]:
    return [
        (round(one.audio.start_s, 3), round(one.audio.duration_s, 3)) for one in measured.utterances
    ]


# --- the original cases -----------------------------------------------------------------------


@shared
@needs_cases
@pytest.mark.parametrize(
    "name",
    [
        "t_start_end.csv",
        "t_start_end.jsonl",
        "t_begin_end_time.csv",
        "t_offset_end.jsonl",
        "t_starts_dur.csv",
    ],
)
def test_segments_by_start_and_end_are_those_by_start_and_duration(name):
    measured = read(CASES / "start_end" / name)

    assert [one.text for one in measured.utterances] == TEXTS
    assert [start for start, _ in spans(measured)] == pytest.approx(
        [0.0, 2.464, 4.681, 5.763], abs=0.001
    )
    assert measured.audio_s == pytest.approx(6.716, abs=0.001)
    assert (measured.broken, measured.notes) == ((), ())


@shared
@needs_cases
@pytest.mark.parametrize(
    ("name", "unit", "first"),
    [("t_ms.csv", "milliseconds", "2464"), ("t_samples.jsonl", "samples", "39425")],
)
def test_durations_in_another_unit_are_replaced_by_those_of_the_files_with_a_note(
    name, unit, first
):
    measured = read(CASES / "rows" / name)

    (note,) = measured.notes
    assert measured.audio_s == pytest.approx(6.716, abs=0.003)
    assert f"the list says {first} s, the file holds 2.464 s: {unit}?" in note
    assert str(CASES / "rows" / name) in note


@shared
@needs_cases
def test_rows_beyond_their_file_or_of_zero_length_are_only_errors_of_their_own():
    measured = read(CASES / "rows/t_beyond.jsonl")
    zero = read(CASES / "rows/zero_dur.jsonl")

    assert spans(measured) == [(0.0, 2.217)]
    assert "the list says 2.717 s, the file holds 2.217 s" in measured.notes[0]
    beyond, empty = (one.reason for one in measured.broken)
    assert "line 1: it starts at 9 s, the file holds 2.464 s" in beyond
    assert "line 3: it starts at 0 s and lasts 0 s" in empty
    assert "the file holds 1.082 s" in empty
    assert spans(zero) == [(0.0, 2.464)]
    assert "line 1: it starts at 2.464 s and lasts 0 s" in zero.broken[0].reason


@shared
@needs_cases
@pytest.mark.parametrize(
    "place",
    [
        "rows/t_backslash.csv",
        "tsv_quotes/t_quote_span.tsv",
        "layout_ljspeech",
        "layout_ljspeech/metadata.csv",
        "layout_mls",
        "layout_mls/test",
        "layout_cv_spontaneous",
        "layout_cv_spontaneous/ss-corpus-en.tsv",
    ],
)
def test_all_four_utterances_are_read_with_their_texts(place):
    measured = read(CASES / place)

    assert [one.text.strip('"') for one in measured.utterances] == TEXTS
    assert [length for _, length in spans(measured)] == pytest.approx(
        list(FILES_S.values()), abs=0.002
    )
    assert (measured.broken, measured.notes) == ((), ())


@shared
@needs_cases
def test_composed_names_of_a_list_find_decomposed_files():
    measured = read(CASES / "nfd/t_nfd.csv")

    assert [one.text for one in measured.utterances] == TEXTS[:2]


@shared
@needs_cases
@pytest.mark.parametrize("layout", ["ljspeech", "mls", "spontaneous"])
def test_a_new_layout_can_be_named(layout):
    folder = "cv_spontaneous" if layout == "spontaneous" else layout

    assert len(read(f"{layout}:{CASES / f'layout_{folder}'}").utterances) == 4


# --- variants: columns of time ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "cells"),
    [
        ("start,end", "0.5,1.25"),
        ("start_time,end_time", "0.5,1.25"),
        ("Start Time,Stop Time", "0.5,1.25"),
        ("startTime,endTime", "0.5,1.25"),
        ("begin,stop", "0.5,1.25"),
        ("start_s,end_s", "0.5,1.25"),
        ("start_ms,end_ms", "500,1250"),
        ("offset,end", "0.5,1.25"),
        ("offset_ms,duration_ms", "500,750"),
        ("start,duration", "0.5,0.75"),
        ("start,duration[ms]", "0.5,750"),
        ("start,end,duration", "0.50,1.25,0.751"),
        ("start,offset,end", "0.5,0.5,1.25"),
        ("start,length", "0.5,0.75"),
        ("xmin,xmax", "0.5,1.25"),
        ("segment_start,segment_end", "0.5,1.25"),
        ("start,end", "00:00:00.5,00:01.25"),
        ("start_sample,end_sample", "4000,10000"),
        ("sample_start,num_samples", "4000,6000"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_segment_is_recognised_by_any_usual_column_names(tmp_path, columns, cells, suffix):
    make(tmp_path / "a.wav", rate_hz=8_000)
    text = f"path,{columns},text\na.wav,{cells},hi\n"
    path = put(tmp_path / f"t.{suffix}", text.replace(",", "\t") if suffix == "tsv" else text)

    measured = read(path)

    assert spans(measured) == [(0.5, pytest.approx(0.75, abs=0.002))]
    assert (measured.broken, measured.notes) == ((), ())


def test_an_audiofolder_a_parquet_file_and_an_audio_object_have_segments_too(tmp_path):
    make(tmp_path / "f/a.wav")
    put(tmp_path / "f/metadata.csv", "file_name,start,end,text\na.wav,0.5,1.25,hi\n")
    columns = {"audio": ["f/a.wav"], "text": ["hi"], "begin_time": [0.5], "end_time": [1.25]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    audio = '{"path": "f/a.wav", "start_time": 0.5, "end_time": 1.25}'
    put(tmp_path / "m.jsonl", f'{{"audio": {audio}, "text": "hi"}}\n')

    measured = [read(tmp_path / name) for name in ("f", "t.parquet", "m.jsonl")]

    assert [spans(one) for one in measured] == [[(0.5, 0.75)]] * 3
    assert len(load_audio(measured[1].utterances[0].audio).samples) == 12_000


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("start_frame", "10"),
        ("num_frames", "100"),
        ("word_start", "0.5"),
        ("start_min", "0.01"),
        ("end_us", "500000"),
        ("from", "0.5"),
        ("length", "0.5"),
        ("segment", "0.5-1.25"),
        ("channel", "1"),
        ("channel", "left"),
        ("audio_channel", "B"),
    ],
)
def test_a_column_that_may_limit_audio_and_is_not_understood_is_rejected_by_name(
    tmp_path, column, value
):
    make(tmp_path / "a.wav")
    path = put(tmp_path / "t.csv", f"path,{column},text\na.wav,{value},hi\n")

    message = error_of(path)

    assert f"{path}, line 2: the column {column!r} ({value!r})" in message
    assert "ame " in message.partition(" | ")[2]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("start_date", "2021-05-01"),
        ("end_speaker", "anna"),
        ("channel", "BBC World"),
        ("num_channels", "1"),
        ("sampling_rate", "16000"),
        ("timestamp", "1700000000"),
        ("time", "12:30"),
        ("segment_id", "17"),
        ("age", "30"),
    ],
)
def test_a_column_that_does_not_limit_audio_is_ignored(tmp_path, column, value):
    make(tmp_path / "a.wav")
    path = put(tmp_path / "t.csv", f"path,{column},text\na.wav,{value},hi\n")

    assert spans(read(path)) == [(0.0, 2.0)]


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        ("start,offset", "1,0.5", "'start' is 1 s and 'offset' is 0.5 s"),
        ("end,end_ms", "1,1500", "'end' is 1 s and 'end_ms' is 1.5 s"),
        ("start,end,duration", "0.5,1,0.8", "by 'end' it ends at 1 s, and by 'duration'"),
        ("start,end", "1,0.5", "it starts at 1 s and ends at 0.5 s"),
        ("start,end", "1,1", "it starts at 1 s and ends at 1 s"),
        ("start,end", "nan,1", "'start' is 'nan', not a number of seconds"),
        ("start_ms,end_ms", "-1,1", "'start_ms' is '-1', not a number of milliseconds"),
        ("start", '"0,5"', "'start' is '0,5', not a number of seconds"),
        ("duration", "0", "it starts at 0 s and lasts 0 s"),
        ("duration", "1_0", "'duration' is '1_0', not a number of seconds"),
    ],
)
def test_times_that_contradict_each_other_are_errors_of_their_row(
    tmp_path, columns, cells, expected
):
    make(tmp_path / "a.wav")
    empty = "," * columns.count(",")
    path = put(tmp_path / "t.csv", f"path,{columns},text\na.wav,{cells},bad\na.wav,{empty},good\n")

    measured = read(path)

    assert [one.text for one in measured.utterances] == ["good"]
    (broken,) = measured.broken
    assert broken.reason.startswith(f"{path}, line 2: ")
    assert expected in broken.reason


@pytest.mark.parametrize(("factor", "unit"), [(1000, "milliseconds"), (16_000, "samples")])
def test_segments_in_another_unit_are_errors_of_their_rows_also_the_first(tmp_path, factor, unit):
    make(tmp_path / "a.wav", 6.0)
    rows = "".join(
        f"a.wav,{start * factor},{end * factor},hi\n" for start, end in [(0, 2), (2, 3), (3, 6)]
    )
    path = put(tmp_path / "t.csv", f"path,start,end,text\n{rows}a.wav,5,9,late\n")

    measured = read(path)

    first, *others = (one.reason for one in measured.broken)
    assert f"it ends at {2 * factor} s, the file holds 6.000 s: {unit}?" in first
    assert [f"{unit}?" in one for one in others] == [True, True]
    assert spans(measured) == [(5.0, 1.0)]


@pytest.mark.parametrize(("factor", "unit"), [(60, "minutes"), (3600, "hours")])
def test_durations_in_a_larger_unit_do_not_cut_the_files(tmp_path, factor, unit):
    make(tmp_path / "a.wav", 3.0)
    make(tmp_path / "b.wav", 5.0)
    rows = f"a.wav,{3 / factor:.6f},x\nb.wav,{5 / factor:.6f},y\n"

    measured = read(put(tmp_path / "t.csv", f"path,duration,text\n{rows}"))

    (note,) = measured.notes
    assert spans(measured) == [(0.0, 3.0), (0.0, 5.0)]
    assert f"the file holds 3.000 s: {unit}? (2 rows" in note


def test_a_cell_that_is_the_segment_its_row_names_is_read_whole_with_a_note(tmp_path):
    encoded = make(tmp_path / "a.wav").read_bytes()
    columns = {"audio": [encoded], "text": ["hi"], "begin_time": [401.5], "end_time": [403.5]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")

    measured = read(tmp_path / "t.parquet")

    assert spans(measured) == [(0.0, 2.0)]
    assert "it is that segment, and is read whole" in measured.notes[0]


def test_a_text_with_a_lone_surrogate_is_not_counted_for_a_vocabulary(tmp_path):
    make(tmp_path / "a.wav")
    path = put(tmp_path / "m.jsonl", '{"audio": "a.wav", "text": "a\\ud800"}\n')

    (broken,) = read(path).broken

    assert broken.utterance.text is None
    assert "\\ud800, half of a character" in broken.reason


# --- variants: quotation marks, names and ids ---------------------------------------------------


def test_a_quotation_mark_in_a_tsv_is_a_character_unless_it_quotes_a_whole_cell(tmp_path):
    make(tmp_path / "a.wav")
    texts = ['"open', 'close"', '"whole"', '"he said ""hi"""', '"', '""', '"a" or "b"', '5" disc']
    rows = "".join(f"a.wav\t{text}\n" for text in texts)
    path = put(tmp_path / "t.tsv", f"path\ttext\n{rows}")

    found = [one.text for one in read(path).utterances]

    assert found == [
        *('"open', 'close"', "whole", 'he said "hi"', '"', "", '"a" or "b"', '5" disc')
    ]


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('a.wav,x\na.wav,"y\na.wav,z\n', 3),
        ('a.wav,"x\na.wav,y\na.wav,"z"\n', 2),
        ('a.wav,"two\nlines"\na.wav,"say ""x\na.wav,y\n', 4),
        ('"a.wav",x\n"a.wav","y\na.wav,z\n', 3),
    ],
)
def test_an_unclosed_quote_in_a_csv_is_named_where_it_opens(tmp_path, rows, line):
    path = put(tmp_path / "t.csv", f"path,text\n{rows}")

    assert f"{path}, line {line}: the quotation mark that opens here" in error_of(path)


def test_columns_of_the_same_name_are_rejected(tmp_path):
    csv = put(tmp_path / "t.csv", "path,text,text\na.wav,x,y\n")
    table = pa.table([["a.wav"], ["x"], ["y"]], names=["path", "text", "text"])
    pq.write_table(table, tmp_path / "t.parquet")

    assert f"{csv}, line 1: two columns are named 'text'" in error_of(csv)
    assert "two columns are named 'text'" in error_of(tmp_path / "t.parquet")


def test_an_id_column_names_the_utterance_and_may_not_repeat(tmp_path):
    make(tmp_path / "a.wav")
    good = put(tmp_path / "good.csv", "utt_id,path,text\nx1,a.wav,x\n,a.wav,y\nx2,a.wav,z\n")
    bad = put(tmp_path / "bad.jsonl", '{"id": 7, "audio": "a.wav", "text": "x"}\n' * 2)

    ids = [one.id for one in read(good).utterances]

    assert ids == ["x1", "a", "x2"]
    assert f"{bad}: lines 1 and 2 have the same id, '7'" in error_of(bad)


# --- variants: paths ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "sub\\deep\\a b.wav",
        ".\\sub/deep\\a b.wav",
        "  sub/deep/a b.wav ",
        "file://{root}/sub/deep/a%20b.wav",
        "file://localhost{root}/sub/deep/a%20b.wav",
        "file:{root}/sub/deep/a%20b.wav",
        "FILE://{root}/sub/deep/a%20b.wav",
        "~/sub/deep/a b.wav",
    ],
)
def test_a_path_of_another_system_is_opened(tmp_path, monkeypatch, written):
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path / "sub/deep/a b.wav")
    path = put(tmp_path / "t.csv", f"path,text\n{written.format(root=tmp_path)},hi\n")

    assert spans(read(path)) == [(0.0, 2.0)]


@pytest.mark.parametrize("name", ["a\\b.wav", " a.wav", "~a.wav", "file:a.wav"])
def test_a_file_of_exactly_that_name_takes_precedence(tmp_path, name):
    make(tmp_path / name)
    make(tmp_path / "a/b.wav", 1.0)
    make(tmp_path / "a.wav", 1.0)
    path = put(tmp_path / "t.csv", f"path,text\n{name},hi\n")

    assert spans(read(path)) == [(0.0, 2.0)]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_accents_in_names_of_folders_and_files_may_be_composed_or_decomposed(tmp_path, on_disk):
    other = "NFD" if on_disk == "NFC" else "NFC"
    make(tmp_path / unicodedata.normalize(on_disk, "é/Việt.wav"))
    path = put(tmp_path / "t.csv", f"path,text\n{unicodedata.normalize(other, 'é/Việt.wav')},hi\n")

    assert spans(read(path)) == [(0.0, 2.0)]


@pytest.mark.parametrize(
    "written", ["C:\\data\\a.wav", "d:/data/a.wav", "\\\\server\\share\\a.wav"]
)
def test_an_absolute_path_of_windows_is_named_as_one(tmp_path, written):
    make(tmp_path / "a.wav")
    path = put(tmp_path / "t.csv", f"path,text\n{written},x\na.wav,y\n")

    (broken,) = read(path).broken

    assert f"line 2: 'path': {written!r} is a path of another system" in broken.reason


@pytest.mark.parametrize(
    ("content", "says", "remedy"),
    [
        ("path,text\na.wav,x\n".encode("utf-16"), "looks like UTF-16", "iconv -f utf-16"),
        ("path,text\na.wav,x\n".encode("utf-16-be"), "looks like UTF-16", "iconv -f utf-16"),
        (b"path,text\ra.wav,x\r", "carriage return alone", "tr"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_list_of_another_encoding_or_line_end_says_how_to_convert_it(
    tmp_path, content, says, remedy, suffix
):
    (tmp_path / f"t.{suffix}").write_bytes(content)

    with pytest.raises(DataError, match=says) as caught:
        read(tmp_path / f"t.{suffix}")

    assert remedy in caught.value.remedy


@pytest.mark.parametrize("url", ["https://x.org/a.wav", "s3://bucket/a.wav", "file://host/a.wav"])
def test_a_url_of_another_machine_is_an_error_of_its_row(tmp_path, url):
    make(tmp_path / "a.wav")
    path = put(tmp_path / "t.csv", f"path,text\n{url},x\na.wav,y\n")

    measured = read(path)

    assert len(measured.utterances) == 1
    assert f"line 2: 'path': {url!r} is not on this machine" in measured.broken[0].reason


# --- variants: layouts --------------------------------------------------------------------------


def test_ljspeech_takes_the_normalised_text_unless_another_is_named(tmp_path):
    for name in ("LJ1", "LJ2"):
        make(tmp_path / f"wavs/{name}.wav")
    put(tmp_path / "metadata.csv", 'LJ1|"In 1455"|In fourteen fifty-five\nLJ2|Plain, "so|\n')

    normalised = [one.text for one in read(tmp_path).utterances]
    written = [one.text for one in read(tmp_path, text_column="text").utterances]

    assert normalised == ["In fourteen fifty-five", 'Plain, "so']
    assert written == ['"In 1455"', 'Plain, "so']


def test_ljspeech_splits_are_listed_and_broken_lines_named(tmp_path):
    make(tmp_path / "wavs/LJ1.wav")
    put(tmp_path / "metadata_train.csv", "LJ1|a\n")
    broken = put(tmp_path / "metadata_val.csv", "LJ1|a|b\nLJ1|a|b|c\n")

    assert [one.text for one in read(f"{tmp_path}#train").utterances] == ["a"]
    assert "train, val" in error_of(tmp_path)
    assert f"{broken}, line 2: 4 cells" in error_of(f"{tmp_path}#dev")


def test_an_ljspeech_id_that_is_no_file_name_is_only_an_error_of_its_row(tmp_path):
    make(tmp_path / "wavs/LJ1.wav")
    path = put(tmp_path / "metadata.csv", "http://x/y|a\nLJ1|b\n")

    measured = read(tmp_path)

    assert [one.text for one in measured.utterances] == ["b"]
    assert f"{path}, line 1: 'http://x/y.wav' is not on this machine" in str(measured.broken[0])


def test_mls_has_speakers_splits_and_opus(tmp_path):
    make(tmp_path / "train/audio/10/20/10_20_000000.flac")
    make(tmp_path / "dev/audio/1/2/1_2_000007.ogg")
    put(tmp_path / "train/transcripts.txt", "10_20_000000\tein wort\n")
    dev = put(tmp_path / "dev/transcripts.txt", "1_2_000007\tja\n1_2_000008\tnein\n")

    (train,) = read(f"{tmp_path}#train").utterances
    measured = read(f"{tmp_path}#validation")

    assert (train.id, train.text, train.speaker) == ("10_20_000000", "ein wort", "10")
    assert [one.text for one in measured.utterances] == ["ja"]
    assert f"{dev}, line 2: " in measured.broken[0].reason
    assert "dev, train" in error_of(tmp_path)
    put(dev, "1_2_000007 ja\n")
    assert "line 1: '1_2_000007 ja' is not SPEAKER_BOOK_NUMBER" in error_of(f"{tmp_path}#dev")


def test_spontaneous_speech_has_splits_and_answers_without_a_transcription(tmp_path):
    for name in "abc":
        make(tmp_path / f"audios/{name}.wav")
    header = "audio_id\taudio_file\tduration_ms\ttranscription\tsplit"
    rows = "1\ta.wav\t2000\tja\ttrain\n2\tb.wav\t2000\tnein\ttest\n3\tc.wav\t2000\t\t\n"
    put(tmp_path / "ss-corpus-de.tsv", f"{header}\n{rows}")

    assert [one.text for one in read(tmp_path).utterances] == ["ja", "nein", None]
    assert [one.text for one in read(f"{tmp_path}#test").utterances] == ["nein"]
    assert "no split 'dev'" in error_of(f"{tmp_path}#dev")


@pytest.mark.parametrize("kind", ["struct", "list", "int16", "python", "int32", "stereo"])
def test_samples_in_a_parquet_file_are_read_as_they_are(tmp_path, kind):
    samples = np.sin(np.arange(8_000) / 9).astype(np.float32) / 2
    values = {
        "struct": pa.array([{"array": samples.tolist(), "sampling_rate": 16_000}]),
        "list": pa.array([samples], pa.list_(pa.float32())),
        # Python's own integers are 64 bits wide in Arrow, whatever the samples were.
        "python": pa.array([np.round(samples * 32_768).astype(int).tolist()]),
        "int32": pa.array([np.round(samples * 2.0**31).astype(np.int32)], pa.list_(pa.int32())),
        "int16": pa.array([np.round(samples * 32_768).astype(np.int16)], pa.list_(pa.int16())),
        "stereo": pa.array([[samples.tolist()] * 2], pa.list_(pa.list_(pa.float32()))),
    }[kind]
    columns = {"audio": values, "text": pa.array(["hi"])}
    beside = {} if kind == "struct" else {"sampling_rate": pa.array([16_000])}
    pq.write_table(pa.table({**columns, **beside}), tmp_path / "t.parquet")

    (utterance,) = read(tmp_path / "t.parquet").utterances

    assert utterance.audio.duration_s == 0.5
    np.testing.assert_allclose(load_audio(utterance.audio).samples, samples, atol=2e-5)


def test_samples_without_a_rate_are_errors_of_their_row(tmp_path):
    columns = {"audio": [[0.1, 0.2]], "text": ["hi"]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")

    (broken,) = read(tmp_path / "t.parquet").broken

    assert "no column sampling_rate gives their rate" in broken.reason


# --- other files of a folder ---------------------------------------------------------------------


def test_a_folder_with_two_layouts_notes_which_one_was_read(tmp_path):
    make(tmp_path / "a.wav")
    put(tmp_path / "metadata.csv", "file_name,text\na.wav,x\n")
    put(tmp_path / "wav.scp", "r1 a.wav\n")
    put(tmp_path / "text", "r1 y\n")

    measured = read(tmp_path)

    assert [one.text for one in measured.utterances] == ["y"]
    assert "was read as kaldi; it also holds audiofolder, which was not read" in measured.notes[0]


def test_audio_that_no_row_names_is_counted(tmp_path):
    for name in ("a", "b", "c"):
        make(tmp_path / f"{name}.wav")
    put(tmp_path / "metadata.csv", "file_name,text\na.wav,x\n")
    put(tmp_path / "metadata.jsonl", '{"file_name": "a.wav", "text": "x"}\n')

    rival, left = read(tmp_path).notes

    assert "metadata.csv also names audio and was not read" in rival
    assert f"{tmp_path}: no row names 2 of its audio files, {tmp_path / 'b.wav'} first" in left


def test_an_unread_table_among_audio_files_is_noted(tmp_path):
    make(tmp_path / "a.wav")
    put(tmp_path / "train.csv", "path,text\na.wav,x\n")

    (note,) = read(tmp_path).notes

    assert "was read as folder; train.csv also names audio and was not read" in note


def test_a_table_beside_the_manifests_of_several_splits_is_pointed_out(tmp_path):
    make(tmp_path / "a.wav")
    for split in ("train", "dev"):
        put(tmp_path / f"{split}.jsonl", '{"audio_filepath": "a.wav", "text": "x"}\n')
    put(tmp_path / "more.csv", "path,text\na.wav,y\n")

    (note,) = read(f"{tmp_path}#train").notes

    assert "was read as manifest; more.csv also names audio and was not read" in note


# --- overlaps -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "pairs"),
    [
        (["0,1,x", "1,2,y"], []),
        (["0,1,x", "0.97,2,y"], []),
        (["0,1,x", "0.5,2,y"], [("a", "a-2", 0.5)]),
        (["0,1,x", "0.5,2,x"], []),
        (["0,2,x", "0.5,0.6,x", "1,1.5,y"], [("a", "a-3", 0.5)]),
        (["0,2,x", "0,2,y"], [("a", "a-2", 2.0)]),
        (["0,0.5,y", "0,2,x", "1,1.5,y"], [("a", "a-2", 0.5), ("a-2", "a-3", 0.5)]),
    ],
)
def test_overlapping_segments_of_different_texts_are_found(tmp_path, rows, pairs):
    make(tmp_path / "a.wav")
    lines = "".join(f"a.wav,{row}\n" for row in rows)
    path = put(tmp_path / "t.csv", f"path,start,end,text\n{lines}")

    overlaps = find_overlaps(read(path).utterances)

    found = [(one.first.id, one.second.id, round(one.shared_s, 3)) for one in overlaps]
    assert found == pairs


# --- audio and its clock ------------------------------------------------------------------------


@shared
@needs_cases
@pytest.mark.parametrize(
    ("name", "expected_s"),
    [
        ("streamed_flac/fl/u0.flac", 39_425 / 16_000),
        ("streamed_flac/fl/u1.flac", 35_467 / 16_000),
        ("streamed_flac/streamed.flac", 39_425 / 16_000),
        ("declared_size/s_wav0.wav", 39_425 / 16_000),
        ("declared_size/s_au0.au", 39_425 / 16_000),
        ("declared_size/two_data.wav", 39_425 / 16_000),
        ("container_clock/late.mkv", 4.496),
        ("container_clock/gap.mkv", 5.466),
    ],
)
def test_a_file_is_as_long_as_its_audio_reaches(name, expected_s):
    span = AudioSpan(CASES / name)

    loaded = load_audio(span)
    (measured,) = measure([Utterance("a", span)]).utterances

    assert len(loaded.samples) / 16_000 == pytest.approx(expected_s, abs=0.001)
    assert measured.audio.duration_s == pytest.approx(expected_s, abs=0.001)
    assert (loaded.lost_s, loaded.notes) == (0.0, ())


@shared
@needs_cases
def test_audio_that_starts_late_and_has_a_hole_stays_on_the_clock_of_its_container():
    late = load_audio(AudioSpan(CASES / "container_clock/late.mkv")).samples
    gap = load_audio(AudioSpan(CASES / "container_clock/gap.mkv")).samples

    assert not late[: 2 * 16_000].any()
    assert late[2 * 16_000 : 2 * 16_000 + 800].any()
    assert not gap[round(1.28 * 16_000) : round(4.25 * 16_000)].any()
    assert gap[round(4.25 * 16_000) :][:800].any()


@shared
@needs_cases
def test_words_of_audio_that_starts_late_begin_where_it_does():
    transcript = load_model("demo").transcribe(CASES / "container_clock/late.mkv")

    assert transcript.text == "zero two four two six eight one"
    # The README says 2.04: the border of a word lies somewhere in the pause before it.
    assert transcript.words[0].start_s == pytest.approx(2.04, abs=0.05)
