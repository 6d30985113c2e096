import json

import numpy as np
import pytest
import soundfile
from helpers.run import run, run_here

from gaudi_asr_cli.core.formats import FORMATS


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.wav"
    path.write_text("this is no sound")
    return path


def test_one_file_gives_only_its_text(corpus, tiny_model):
    result = run_here("infer", corpus.with_name("u00.wav"), "--model", tiny_model)

    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert "\t" not in result.stdout
    assert result.stdout.strip()


def test_several_files_give_path_tab_text_in_order(corpus, tiny_model):
    files = [corpus.with_name(f"u0{number}.wav") for number in (2, 0, 1)]

    result = run_here("infer", *files, "--model", tiny_model)

    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == list(map(str, files))


def test_a_bad_file_costs_only_itself(corpus, tiny_model, broken):
    good = corpus.with_name("u00.wav")

    result = run_here("infer", broken, good, "--model", tiny_model)

    assert result.exit_code == 4
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [str(good)]
    assert f"error: {broken}" in result.stderr


def test_a_missing_file_is_named_once(corpus, tiny_model):
    missing = corpus.with_name("missing.wav")

    result = run_here("infer", missing, "--model", tiny_model)

    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.splitlines()[0].count(str(missing)) == 1


def test_a_bad_file_has_its_json_line(corpus, tiny_model, broken):
    good = corpus.with_name("u00.wav")

    result = run_here("infer", broken, good, "--model", tiny_model, "--json")

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 4
    assert [line["path"] for line in lines] == [str(broken), str(good)]
    assert {line["schema"] for line in lines} == {"infer/1"}
    assert (lines[0]["text"], bool(lines[0]["error"])) == (None, True)
    assert (lines[1]["error"], lines[1]["duration_s"]) == (None, pytest.approx(0.5))
    assert [word["word"] for word in lines[1]["words"]] == lines[1]["text"].split()


def test_standard_output_holds_nothing_but_results(corpus, tiny_model):
    result = run_here("infer", corpus.parent, "--model", tiny_model, "--json")

    assert len([json.loads(line) for line in result.stdout.splitlines()]) == 12
    assert "\x1b" not in result.stderr


def test_audio_can_come_from_standard_input(corpus, tiny_model):
    sound = corpus.with_name("u00.wav").read_bytes()

    result = run("infer", "-", "--model", tiny_model, "--format", "jsonl", stdin=sound)

    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["path"] == "-"


def test_each_input_and_format_has_its_file(corpus, tiny_model, tmp_path):
    files = [corpus.with_name(name) for name in ("u00.wav", "u01.wav")]

    result = run_here(
        "infer", *files, "--model", tiny_model, "--out-dir", tmp_path / "new", "-f", "txt",
        "-f", "jsonl",
    )  # fmt: skip

    written = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert (result.exit_code, result.stdout) == (0, "")
    assert written == [
        ".infer-journal.jsonl", "u00.jsonl", "u00.txt", "u01.jsonl", "u01.txt"
    ]  # fmt: skip


def test_inputs_of_one_name_do_not_overwrite_each_other(corpus, tiny_model, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.wav").write_bytes(corpus.with_name("u00.wav").read_bytes())

    out = tmp_path / "out"
    run_here("infer", tmp_path, "--model", tiny_model, "--out-dir", out)

    written = sorted(str(path.relative_to(out)) for path in out.rglob("*.txt"))
    assert written == ["a/x.txt", "b/x.txt"]


def test_a_folder_that_is_not_empty_is_not_written_to(corpus, tiny_model):
    result = run_here("infer", corpus, "--model", tiny_model, "--out-dir", corpus.parent, "--quiet")

    assert result.exit_code == 2
    assert "not an empty folder" in result.stderr


def test_two_formats_cannot_share_standard_output(corpus):
    result = run_here("infer", corpus, "-f", "txt", "-f", "jsonl")

    assert result.exit_code == 2
    assert "--out-dir" in result.stderr


def test_an_unreachable_model_ends_with_6_and_a_remedy(corpus):
    result = run("infer", corpus.with_name("u00.wav"), env={"HF_HOME": str(corpus.parent / "hf")})

    assert result.exit_code == 6
    assert result.stdout == ""
    assert "facebook/wav2vec2-base-960h" in result.stderr
    assert "demo" in result.stderr
    assert "Traceback" not in result.stderr


def stereo(path, corpus):
    left, rate = soundfile.read(corpus.with_name("u00.wav"))
    right, _ = soundfile.read(corpus.with_name("u01.wav"))
    size = max(len(left), len(right))
    both = np.zeros((size, 2))
    both[: len(left), 0], both[: len(right), 1] = left, right
    soundfile.write(path, both, rate)
    return path


def test_each_channel_has_the_text_of_its_own_audio(corpus, tiny_model, tmp_path):
    path = stereo(tmp_path / "call.wav", corpus)
    options = ["--model", tiny_model, "--dtype", "fp32"]

    each = json.loads(run_here("infer", path, *options, "--channel", "each", "--json").stdout)
    alone = [
        json.loads(run_here("infer", path, *options, "--channel", number, "--json").stdout)
        for number in (0, 1)
    ]
    shown = run_here("infer", path, *options, "--channel", "each").stdout

    assert [one["text"] for one in each["channels"]] == [one["text"] for one in alone]
    for number, one in enumerate(alone):
        own = [word for word in each["words"] if word["channel"] == number]
        assert own == [{**word, "channel": number} for word in one["words"]]
    assert {line.partition("] ")[0] for line in shown.splitlines()} <= {"[channel 0", "[channel 1"}


def test_a_channel_is_a_number_or_each(corpus):
    result = run_here("infer", corpus.with_name("u00.wav"), "--channel", "left")

    assert result.exit_code == 2
    assert "'each'" in result.stderr


def test_files_of_a_list_are_transcribed_and_a_missing_one_costs_only_itself(
    corpus, tiny_model, tmp_path
):
    good, missing = corpus.with_name("u00.wav"), tmp_path / "missing.wav"
    (tmp_path / "list").write_text(f"{missing}\n{good}\n")

    result = run_here("infer", "--files-from", tmp_path / "list", "--model", tiny_model)

    assert result.exit_code == 4
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [str(good)]
    assert f"error: {missing}" in result.stderr


def test_a_list_can_come_from_standard_input(corpus, tiny_model):
    names = f"{corpus.with_name('u00.wav')}\0{corpus.with_name('u01.wav')}\0".encode()

    result = run("infer", "--files-from", "-", "--null", "--model", tiny_model, stdin=names)

    assert (result.exit_code, result.stdout.count("\t")) == (0, 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "There is nothing to transcribe."),
        (["a.wav", "--resume"], "--resume is about the files of an earlier run."),
        (["a.wav", "--null"], "--null is for --files-from LIST."),
        (["-", "--files-from", "-"], "Standard input is either audio or a list of files."),
        (["a.wav", "--out-dir", "o", "--overwrite", "--resume"], "--overwrite transcribes"),
        (["a.wav", "--highlight-words"], "--highlight-words are of subtitles, and txt has none"),
        (["a.wav", "--format", "all"], "Several formats cannot share standard output."),
    ],
)
def test_options_that_do_not_stand_together_are_refused(words, message):
    result = run_here("infer", *words, "--model", "demo")

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_all_formats_are_written_and_a_repeated_run_does_nothing(corpus, tiny_model, tmp_path):
    command = [
        "infer", corpus.with_name("u00.wav"), "--model", tiny_model, "--out-dir", tmp_path / "out",
        "--format", "all", "--max-line-width", "20", "--highlight-words",
    ]  # fmt: skip

    first, second = run_here(*command), run_here(*command, "--resume")
    other = run_here(*command, "--resume", "--max-line-width", "30")

    files = {path.suffix.removeprefix(".") for path in (tmp_path / "out").glob("u00.*")}
    assert files == {*FORMATS}
    assert (first.exit_code, second.exit_code, other.exit_code) == (0, 0, 2)
    assert "1 of 1 inputs are done and unchanged" in second.stderr
    assert "--max-line-width 20, not 30" in other.stderr


@pytest.mark.slow
def test_two_processes_give_the_results_and_the_exit_code_of_one(
    corpus, tiny_model, tmp_path, broken
):
    command = ["infer", corpus.parent, broken, "--model", tiny_model, "--device", "cpu"]

    alone = run_here(*command)
    shared = run_here(*command, "--cards", "2")
    scores = [
        json.loads(
            run_here(
                "eval-ctc", tiny_model, "--data", corpus, "--device", "cpu", "--json", *more,
                "--run", tmp_path / name,
            ).stdout
        )
        for name, more in (("one", ()), ("two", ("--cards", "2")))
    ]  # fmt: skip

    assert (alone.exit_code, shared.exit_code) == (4, 4)
    assert shared.stdout == alone.stdout
    same = ("wer", "cer", "wer_low", "wer_high", "utterances")
    assert [scores[0][name] for name in same] == [scores[1][name] for name in same]
