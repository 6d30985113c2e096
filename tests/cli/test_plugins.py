"""A registry is the only list: a plugin is one file and one line, and the command line has it."""

import json
import subprocess
import sys

import pytest
from helpers.run import Result, clean_environment, run_here


def run_with_plugins(*words):
    command = [sys.executable, "-m", "helpers.fake_plugins", *map(str, words)]
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def captions(corpus, tmp_path_factory):
    """A folder of the fake layout, which the plain folder would recognise as well."""
    folder = tmp_path_factory.mktemp("captions")
    for name in ("u00", "u01"):
        (folder / f"{name}.wav").write_bytes(corpus.with_name(f"{name}.wav").read_bytes())
    (folder / "captions").write_text("u00=one two\nu01=seven\n")
    return folder


@pytest.mark.parametrize(
    ("words", "listed"),
    [
        ("infer", "|pairs"),
        ("infer", "cpu|toy"),
        ("infer", "|shout"),
        ("bench", "cpu|toy"),
        ("finetune-ctc", "cpu|toy"),
        ("recipes forecast", "cpu|toy"),
        ("eval-ctc", "|shout"),
        ("eval-ctc", "captions"),
        ("vocab", "captions"),
    ],
)
def test_help_lists_plugins(words, listed):
    assert listed in run_with_plugins(*words.split(), "--help").stdout


def test_a_format_a_decoder_and_a_device_of_plugins_work_together(corpus, tiny_model):
    file = corpus.with_name("u00.wav")
    greedy = run_here("infer", file, "--model", tiny_model, "--json")
    words = json.loads(greedy.stdout)["words"]

    machine = ["--model", tiny_model, "--device", "toy", "--decoder", "shout"]
    text = run_with_plugins("infer", file, *machine)
    pairs = run_with_plugins("infer", file, *machine, "--format", "pairs")

    assert text.stdout == json.loads(greedy.stdout)["text"].upper() + "\n"
    expected = [f"{word['start_s']:.2f}={word['word']}" for word in words]
    assert expected
    assert pairs.stdout.splitlines() == expected


def test_a_format_that_says_no_more_keeps_word_times_and_joins_no_documents(
    corpus, tiny_model, tmp_path
):
    files = [corpus.with_name(f"u0{number}.wav") for number in (0, 1)]
    plain = ["infer", *files, "--model", tiny_model, "--format", "pairs"]

    joined = run_with_plugins(*plain)
    timeless = run_with_plugins(*plain, "--timestamps", "none", "--out-dir", tmp_path / "a")
    separate = run_with_plugins(*plain, "--out-dir", tmp_path / "b")

    assert (joined.exit_code, joined.stdout) == (2, "")
    assert "pairs is one document for each file" in joined.stderr
    assert timeless.exit_code == 2
    assert "pairs cannot be written without" in timeless.stderr
    assert separate.exit_code == 0
    assert sorted(file.name for file in (tmp_path / "b").glob("u*")) == ["u00.pairs", "u01.pairs"]
    assert "=" in (tmp_path / "b" / "u00.pairs").read_text()


def test_an_option_that_a_decoder_does_not_take_is_an_error(corpus, tiny_model):
    result = run_with_plugins(
        "infer", corpus.with_name("u00.wav"), "--model", tiny_model, "--decoder", "shout",
        "--format", "json", "--timestamps", "char",
    )  # fmt: skip

    assert result.exit_code == 2
    assert "shout does not take the option 'characters'" in result.stderr


def test_a_bare_path_is_recognised_as_the_layout_of_a_plugin(captions, tmp_path):
    result = run_with_plugins("vocab", captions, "--out", tmp_path / "vocab", "--json")

    assert result.exit_code == 0
    letters = json.loads((tmp_path / "vocab" / "vocab.json").read_text())
    assert set("onetwsv") <= set(letters)


def test_a_decoder_and_a_layout_of_plugins_are_scored(captions, tiny_model, tmp_path):
    result = run_with_plugins(
        "eval-ctc", tiny_model, "--data", captions, "--decoder", "shout", "--device", "toy",
        "--run", tmp_path / "run", "--json",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["u00", "u01"]


def test_doctor_examines_the_device_of_a_plugin():
    report = json.loads(run_with_plugins("doctor", "--json").stdout)

    assert report["devices"]["toy"]["detail"] == "a toy processor, --dtype auto is fp32"
    assert report["devices"]["toy features"]["detail"] == "two gears"


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        ("infer a.wav --format pair", "pairs"),
        ("infer a.wav --device tay", "toy"),
        ("infer a.wav --decoder shuot", "shout"),
        ("vocab caption:/nowhere --out x", "captions:/nowhere"),
    ],
)
def test_a_misspelt_name_is_an_error_that_suggests_a_plugin(words, suggestion):
    result = run_with_plugins(*words.split())

    assert result.exit_code in (2, 4)
    assert f"Did you mean {suggestion}?" in result.stderr
