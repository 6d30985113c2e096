import json

import pytest
from helpers.run import run, run_here

from gaudi_asr_cli.cli.bench import count_buckets, format_compared
from gaudi_asr_cli.core.decoding.lm.arpa import write_arpa
from gaudi_asr_cli.core.decoding.lm.kneser_ney import estimate_kneser_ney
from gaudi_asr_cli.core.errors import UsageError


@pytest.fixture
def arguments(tiny_model):
    """Return arguments for a quick benchmark of a tiny model."""
    return ("--model", tiny_model, "--limit", 3, "--repeat", 1, "--dtype", "fp32", "--quiet")


def test_json_is_one_object_on_standard_output(arguments):
    result = run_here("bench", *arguments, "--json", "--buckets", "auto")

    output = json.loads(result.stdout)
    assert (result.exit_code, output["schema"], output["utterances"]) == (0, "bench/1", 3)
    assert output["rtfx"] > 0


def test_table_shows_rtfx_and_latency(arguments):
    result = run("bench", *arguments)

    assert result.exit_code == 0
    assert result.stdout == ""
    assert "RTFx" in result.stderr
    assert "latency in milliseconds" in result.stderr


def test_saved_results_are_compared(arguments, tmp_path):
    for name in ("a.json", "b.json"):
        run_here("bench", *arguments, "--save", tmp_path / name)

    shown = run("bench", "--compare", tmp_path / "a.json", tmp_path / "b.json")
    as_json = run_here("bench", "--json", "--compare", tmp_path / "a.json", tmp_path / "b.json")

    assert shown.exit_code == 0
    assert "a.json" in shown.stderr
    assert "b.json" in shown.stderr
    assert [json.loads(line)["schema"] for line in as_json.stdout.splitlines()] == ["bench/1"] * 2


def test_habana_command_line_is_accepted(tiny_model, corpus):
    result = run_here(
        *("bench", "-dt", "fp32", "--use_graphs", "--perf", "-a", "--graph_async", "1"),
        *("-b", 2, "-r", 1, "-l", 3, "-m", "1", "--multi_thread", "4", "--debug", "--json"),
        *("--in-place", f"facebook/wav2vec2-base-960h={tiny_model}"),
        *("--in-place", f"openslr/librispeech_asr={corpus}"),
    )

    output = json.loads(result.stdout)
    assert result.exit_code == 0, result.stderr
    assert (output["graphs"], output["repeat"], output["utterances"]) == (False, 1, 3)
    assert (output["dtype"], output["bucket_rule"]) == ("fp32", "quantile")


@pytest.mark.parametrize(
    ("words", "formatted"),
    [
        (["--graph-async"], ["--graph-async"]),
        (["--compare", "a", "b", "--json"], ["--compare", "a", "--compare", "b", "--json"]),
        (["--save", "a", "--compare", "b"], ["--save", "a", "--compare", "b"]),
        (["--limit", "0"], ["--limit", "0"]),
    ],
)
def test_compare_values_become_options(words, formatted):
    assert format_compared(words) == formatted


def test_buckets_are_a_number_or_auto():
    assert [count_buckets(word) for word in ("auto", "0", "7")] == [0, 0, 7]
    with pytest.raises(UsageError, match="many"):
        count_buckets("many")


def test_infer_checks_batching_on_request(tiny_model, corpus):
    result = run_here(
        *("infer", corpus.parent / "u00.wav", "--model", tiny_model, "--dtype", "fp32"),
        *("--check-batching", 1),
    )

    assert result.exit_code == 0
    assert "Batching checked on 1 file: the same text" in result.stderr


def test_the_same_decoding_options_as_of_infer_are_measured(arguments, corpus, tmp_path):
    lm = tmp_path / "words.arpa"
    write_arpa(estimate_kneser_ney([["one", "two"], ["two", "see"]], 2).model, lm)
    search = ["--beam-size", 20, "--lm", lm, "--lm-weight", 1.0, "--hotwords", "one"]
    words = ["bench", *arguments, "--data", corpus, "--json"]

    greedy, beam = (json.loads(run_here(*words, *more).stdout) for more in ([], search))

    assert beam["failed"] == 0
    assert beam["phases_s"]["text"] > greedy["phases_s"]["text"] > 0
    assert beam["score"] is not None


def test_a_weight_without_a_language_model_is_rejected_before_the_model_is_opened(arguments):
    result = run_here("bench", *arguments, "--lm-weight", 1.0)

    assert result.exit_code == 2
    assert "--lm FILE" in result.stderr
