import json

import pytest
from helpers.run import run, run_here


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
    assert written == ["u00.jsonl", "u00.txt", "u01.jsonl", "u01.txt"]


def test_inputs_of_one_name_do_not_overwrite_each_other(corpus, tiny_model, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.wav").write_bytes(corpus.with_name("u00.wav").read_bytes())

    run_here("infer", tmp_path, "--model", tiny_model, "--out-dir", tmp_path / "out")

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x-2.txt", "x.txt"]


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
