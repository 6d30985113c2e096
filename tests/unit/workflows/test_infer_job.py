"""The folder of transcripts: names, the journal, and what an interrupted or repeated run does."""

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.events import Noticed, UtteranceDone
from gaudi_asr_cli.core.formats.cues import CueStyle
from gaudi_asr_cli.core.inference.inputs import opened_inputs
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.records import Transcript
from gaudi_asr_cli.core.workflows.infer_job import committing
from gaudi_asr_cli.core.workflows.infer_job.folder import (
    JOURNAL_NAME,
    OutputRequest,
    opened_output_folder,
)
from gaudi_asr_cli.core.workflows.infer_job.journal import (
    FileStamp,
    JournalEntry,
    JournalWriter,
    read_journal,
)
from gaudi_asr_cli.core.workflows.infer_job.names import fold_name, plan_names
from gaudi_asr_cli.core.workflows.infer_job.settings import check_options, describe_options

OPTIONS = {"model": "demo", "language": None}


def names_of(*below, root="/in", formats=("txt",), kept=()):
    paths = [f"{root}/{one}" for one in below]
    named = plan_names(paths, root, formats, {f"{root}/{path}": name for path, name in kept})
    return [named[path] for path in paths]


def test_the_tree_of_the_inputs_is_mirrored():
    assert names_of("a/x.wav", "b/x.wav", "x.wav") == ["a/x", "b/x", "x"]


def test_inputs_of_one_name_keep_their_suffixes_then_get_numbers():
    assert names_of("a.wav", "a.mp3", "b.wav") == ["a.wav", "a.mp3", "b"]
    assert names_of("A.wav", "a.wav") == ["A.wav", "a.wav-2"]
    assert names_of("a.wav", "a.mp3", "a.wav.flac") == ["a.wav", "a.mp3", "a.wav.flac"]


def test_the_names_of_an_earlier_run_stay_and_are_not_given_again():
    assert names_of("a.wav", "a.mp3", kept=[("a.wav", "a")]) == ["a", "a.mp3"]
    assert names_of("b/x.wav", kept=[("gone.wav", "b/x")]) == ["b/x.wav"]


def test_a_file_never_takes_the_name_of_a_folder_that_is_needed():
    assert names_of("a.wav", "a.txt/x.wav") == ["a.wav", "a.txt/x"]


NAMES = st.text("aAé/.é-2", min_size=1, max_size=8)


@given(st.lists(NAMES, max_size=12, unique=True), st.sampled_from([("txt",), ("txt", "wav")]))
def test_no_two_inputs_share_a_file_on_any_file_system(below, formats):
    paths = list(dict.fromkeys(os.path.normpath(f"/in/{one}") for one in below))
    named = plan_names(paths, "/in", formats, {})

    files = [f"{named[path]}.{suffix}" for path in paths for suffix in formats]
    folders = {fold_name(str(parent)) for file in files for parent in Path(file).parents}
    folded = [unicodedata.normalize("NFC", file).casefold() for file in files]
    assert len({*folded}) == len(files)
    assert not folders & {*map(fold_name, files)}


def entry(name, error=None, size=1):
    return JournalEntry(f"/in/{name}.wav", FileStamp(size, 2), name, 1.5, error)


def write_journal(path, *entries, options=OPTIONS):
    with JournalWriter(path, options, "/in", new=False) as journal:
        journal.append(entries)


def test_a_journal_says_what_was_written_and_the_last_line_of_an_input_counts(tmp_path):
    path = tmp_path / "journal"
    strange = os.fsdecode(b"caf\xff")
    write_journal(path, entry("a"), entry("b", "broken"), entry(strange))
    write_journal(path, entry("b", size=7))

    journal = read_journal(path)
    assert journal.options == OPTIONS
    assert [*journal.entries.values()] == [entry("a"), entry("b", size=7), entry(strange)]


def test_a_cut_line_counts_as_not_written_and_does_not_damage_the_next(tmp_path):
    path = tmp_path / "journal"
    write_journal(path, entry("a"), entry("b"))
    whole = path.read_bytes()

    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        found = read_journal(path)
        write_journal(path, entry("c"))
        after = read_journal(path)

        assert found.damaged == after.damaged == 0
        assert [*after.entries] == [*found.entries, "/in/c.wav"]


def test_lines_that_are_none_of_a_journal_are_counted(tmp_path):
    path = tmp_path / "journal"
    write_journal(path, entry("a"))
    with path.open("ab") as file:
        file.write(b"[1]\n\xff\n{}\n")

    assert (read_journal(path).damaged, len(read_journal(path).entries)) == (3, 1)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "other"}, "--model demo, not other"),
        ({"options": InferenceOptions(language="de")}, "--language (not given), not de"),
        ({"options": InferenceOptions(beams=4)}, "--beam-size (not given), not 4"),
        ({"options": InferenceOptions(hotwords=("a", "b"))}, "--hotwords (not given), not a,b"),
        ({"formats": ("txt", "srt")}, "--format txt, not srt,txt"),
        ({"style": CueStyle(line_characters=20)}, "--max-line-width 42, not 20"),
        ({"channel": "each"}, "--channel (not given), not each"),
    ],
)
def test_a_journal_of_other_options_is_refused_by_their_name(change, named):
    usual = {"model": "demo", "options": InferenceOptions(), "formats": ("txt",)}
    journal, own = describe_options(**usual), describe_options(**{**usual, **change})

    with pytest.raises(UsageError) as error:
        check_options(journal, own, "out")

    assert named in error.value.message
    assert "--overwrite" in error.value.remedy


def test_other_weights_of_the_same_name_are_refused_and_a_copy_is_not(tmp_path):
    def described(data):
        (tmp_path / "m").mkdir(exist_ok=True)
        (tmp_path / "m/model.safetensors").write_bytes(data)
        return describe_options(str(tmp_path / "m"), InferenceOptions(), ("txt",))

    journal = described(b"a" * 100_000 + b"b")

    check_options(journal, described(b"a" * 100_000 + b"b"), "out")
    check_options(journal, {**journal, "weights": None}, "out")
    for other in (b"a" * 100_000 + b"c", b"a" * 100_000, b"c" + b"a" * 99_999 + b"b"):
        with pytest.raises(UsageError, match="have changed since"):
            check_options(journal, described(other), "out")


def test_options_that_change_no_text_and_later_ones_are_not_compared():
    usual = describe_options("demo", InferenceOptions(), ("txt",))
    faster = describe_options("demo", InferenceOptions(batch_size=8, graphs=False), ("txt",))

    assert faster == usual
    check_options({"model": "demo"}, usual, "out")


@pytest.fixture
def tree(tmp_path):
    for name in ("a/x.wav", "b/x.wav", "b/y.mp3", "b/y.wav"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def run_job(tree, *sources, fail=(), limit=None, formats=("txt",), out="out", **request):
    """Write a result for each input that is left; return those, and the notices."""
    notices = []
    asked = OutputRequest(tree / out, formats, **request)
    with (
        opened_inputs([str(tree / one) for one in sources or ("in",)], None) as inputs,
        opened_output_folder(asked, inputs, OPTIONS, notices.append) as folder,
    ):
        left = folder.left.utterances[:limit]
        for one in left:
            error = "broken" if Path(one.id).name in fail else None
            text = None if error else Transcript(one.id, f"text of {one.id}")
            folder.write(UtteranceDone(one.id, one.id, 1.0, text, error))
        done = [str(Path(one.id).relative_to(tree)) for one in left]
    return done, [one.message for one in notices if isinstance(one, Noticed)], folder


def files_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file())


def test_each_input_has_its_file_in_the_mirrored_tree(tree):
    run_job(tree)

    assert files_of(tree / "out") == [
        JOURNAL_NAME, "a/x.txt", "b/x.txt", "b/y.mp3.txt", "b/y.wav.txt"
    ]  # fmt: skip
    assert (tree / "out/b/y.mp3.txt").read_text() == f"text of {tree / 'in/b/y.mp3'}\n"


def test_a_resumed_run_does_only_what_is_left_changed_or_lost(tree):
    run_job(tree, limit=3)
    (tree / "in/a/x.wav").write_bytes(b"other audio")
    (tree / "out/b/x.txt").unlink()

    done, notices, _ = run_job(tree, resume=True)

    assert done == ["in/a/x.wav", "in/b/x.wav", "in/b/y.wav"]
    assert notices == [
        "1 of 4 inputs are done and unchanged; they are skipped.",
        "1 inputs have changed since and are transcribed again.",
    ]
    assert run_job(tree, resume=True)[0] == []


def test_failures_are_skipped_until_they_are_to_be_tried_again(tree):
    run_job(tree, fail={"x.wav"})

    skipped, _, folder = run_job(tree, resume=True)
    again, _, _ = run_job(tree, retry_failed=True)

    assert (skipped, folder.failed_before) == ([], 2)
    assert again == ["in/a/x.wav", "in/b/x.wav"]
    assert run_job(tree, resume=True)[2].failed_before == 0


def test_an_input_that_fails_now_leaves_no_transcript_of_before(tree):
    run_job(tree)
    (tree / "in/a/x.wav").write_bytes(b"damaged since")

    run_job(tree, resume=True, fail={"x.wav"})

    assert not (tree / "out/a/x.txt").exists()


def test_overwriting_does_everything_again(tree):
    run_job(tree)

    done, _, _ = run_job(tree, overwrite=True, limit=1)

    assert done == ["in/a/x.wav"]
    assert len(run_job(tree, resume=True)[0]) == 3


def test_an_input_that_comes_later_takes_no_name_of_another(tree):
    run_job(tree, "in/b/y.wav")
    assert files_of(tree / "out") == [JOURNAL_NAME, "y.txt"]

    run_job(tree, "in/b", resume=True)

    assert files_of(tree / "out") == [JOURNAL_NAME, "x.txt", "y.mp3.txt", "y.txt"]
    assert (tree / "out/y.txt").read_text().endswith("y.wav\n")


def test_a_file_that_is_named_twice_is_transcribed_once(tree, monkeypatch):
    monkeypatch.chdir(tree)
    notices = []
    with (
        opened_inputs(["in/a/x.wav", str(tree / "in/a/x.wav")], None) as inputs,
        opened_output_folder(
            OutputRequest(tree / "out"), inputs, OPTIONS, notices.append
        ) as folder,
    ):
        left = folder.left

    assert [one.id for one in left.utterances] == ["in/a/x.wav"]
    assert "named twice" in notices[0].message


def test_a_folder_in_use_is_refused_until_something_is_said_about_it(tree):
    run_job(tree)

    with pytest.raises(UsageError, match="not an empty folder") as error:
        run_job(tree)

    assert "--resume" in error.value.remedy


def test_the_second_of_two_processes_is_refused(tree):
    request = OutputRequest(tree / "out", resume=True)
    with (
        opened_inputs([str(tree / "in")], None) as inputs,
        opened_output_folder(request, inputs, OPTIONS, print),
        pytest.raises(UsageError, match="in use by process") as error,
    ):
        run_job(tree, resume=True)

    assert "checkpoint" not in error.value.remedy


def test_a_file_that_no_run_has_written_is_not_replaced(tree):
    (tree / "in/a/x.txt").write_text("the reference")

    with pytest.raises(UsageError, match="no earlier run of infer has written it"):
        run_job(tree, out="in", resume=True)

    assert (tree / "in/a/x.txt").read_text() == "the reference"
    run_job(tree, out="in/b", resume=True)
    assert (tree / "in/b/a/x.txt").exists()


def test_an_input_is_never_replaced_by_its_transcript(tree):
    (tree / "in/x.txt").write_bytes(b"audio under an odd name")

    with pytest.raises(UsageError, match="is itself an input"):
        run_job(tree, "in/x.txt", out="in", overwrite=True)


def test_a_folder_inside_that_of_the_inputs_is_resumed(tree):
    run_job(tree, out="in/text", limit=2, formats=("txt", "json"))

    done, _, _ = run_job(tree, out="in/text", formats=("txt", "json"), resume=True)

    assert done == ["in/b/y.mp3", "in/b/y.wav"]
    assert run_job(tree, out="in/text", formats=("txt", "json"), resume=True)[0] == []


def test_what_a_killed_process_left_is_removed_and_other_files_are_not(tree):
    run_job(tree, limit=1)
    for name in (".x.txt.123-4.part", ".mine.part", "notes.md"):
        (tree / "out/a" / name).write_text("")

    run_job(tree, resume=True)

    assert {".mine.part", "notes.md", "x.txt"} == {p.name for p in (tree / "out/a").iterdir()}


def test_a_run_that_wrote_nothing_leaves_no_folder(tree):
    run_job(tree, limit=0)

    assert not (tree / "out").exists()


def test_a_disk_that_fails_stops_the_run_and_the_journal_has_only_what_is_whole(tree, monkeypatch):
    def fail(texts, **more):
        raise OSError(28, "No space left on device", "out")

    run_job(tree, limit=1)
    monkeypatch.setattr(committing, "write_whole_files", fail)
    with pytest.raises(OSError, match="No space"):
        run_job(tree, resume=True)

    assert [one.name for one in read_journal(tree / "out" / JOURNAL_NAME).entries.values()] == [
        "a/x"
    ]


def test_an_entry_is_the_same_after_a_round_trip():
    for one in (entry("a"), entry("b", "broken"), replace(entry("c"), stamp=None)):
        assert JournalEntry.from_json(one.to_json()) == one
