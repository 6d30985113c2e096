import pytest
from helpers.run import run, run_here

ONE_SCREEN_LINES = 20


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["infer", "a.wav", "--modle", "demo"], "--model"),
        (["eval-ctc", "demo", "--dta", "x"], "--data"),
        (["vocab", "x", "--out", "y", "--strip-char", ","], "--strip-chars"),
        (["doctor", "--jsno"], "--json"),
        (["--versoin"], "--version"),
    ],
)
def test_a_misspelt_option_gets_a_suggestion(words, suggestion):
    result = run_here(*words)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"Did you mean {suggestion}" in result.stderr
    assert len(result.stderr.splitlines()) < ONE_SCREEN_LINES


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["infer"], "nothing to transcribe"),
        (["vocab", "x"], "--out"),
        (["eval-ctc", "demo"], "--data"),
        (["infre"], "infre"),
        (["infer", "a.wav", "--device", "tpu"], "tpu"),
        (["infer", "a.wav", "--channel", "left"], "--channel"),
        (["finetune-ctc", "data"], "data"),
        (["recipes", "show"], "NAME"),
    ],
)
def test_wrong_usage_names_what_is_wrong_and_what_to_do(words, named):
    result = run_here(*words)

    assert result.exit_code == 2
    first, second = result.stderr.splitlines()
    assert first.startswith("error: ")
    assert named in first
    assert second.startswith("  try: ")


def test_an_option_that_nobody_knows_is_refused_by_training():
    result = run_here("finetune-ctc", "--max-step", "5")

    assert result.exit_code == 2
    assert "no option --max-step." in result.stderr
    assert "--max-steps" in result.stderr


def test_no_traceback_reaches_a_user_who_mistypes(tmp_path):
    result = run("vocab", "nothing-here", "--out", "new", cwd=tmp_path)

    assert result.exit_code == 4
    assert "nothing-here" in result.stderr
    assert "Traceback" not in result.stderr


def test_both_ways_to_name_a_model_at_once_are_refused():
    result = run_here("eval-ctc", "one", "--model", "two", "--data", "x")

    assert result.exit_code == 2
    assert "Two models" in result.stderr
