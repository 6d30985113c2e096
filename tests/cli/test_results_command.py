import csv
import io
import json

import pytest
from helpers.run import run_here

RECIPE = "ctc-wav2vec2-base-timit"


@pytest.fixture(autouse=True)
def _no_width_is_set(monkeypatch):
    # pytest-xdist sets 80 columns for its workers, and a width that is set is respected.
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="module")
def runs(corpus, tiny_model, tmp_path_factory):
    """A training of a published recipe with a small model in its place, and an evaluation of it."""
    folder = tmp_path_factory.mktemp("results") / "runs"
    words = ["--train", corpus, "--eval", corpus, "--model", tiny_model, "--run", folder / "timit"]
    small = ["--max-steps", 2, "--dtype", "fp32", "--device", "cpu", "--quiet"]
    trained = run_here("finetune-ctc", "--recipe", RECIPE, *words, *small)
    scored = run_here(
        "eval-ctc", folder / "timit", "--data", corpus, "--run", folder / "scored", "--quiet"
    )
    assert (trained.exit_code, scored.exit_code) == (0, 0)
    return folder


def test_runs_are_compared_with_the_published_row(runs):
    result = run_here("results", runs)

    assert result.exit_code == 0
    assert RECIPE in result.stdout
    assert "not comparable" in result.stdout
    assert "training data" in result.stdout
    assert result.stdout.lstrip().startswith("runs in")


OTHER_RECIPE = "ctc-xls-r-1b-cv-tr"
LONG_RECIPE = "seq2seq-wav2vec2-large-bart-large-librispeech100"


def test_published_rows_without_a_run_are_shown_on_request_after_the_runs(runs):
    bare, asked = run_here("results", runs), run_here("results", runs, "--published")

    assert OTHER_RECIPE not in bare.stdout
    assert "gaudi-asr results --published" in bare.stderr
    assert asked.stdout.index("runs in") < asked.stdout.index(OTHER_RECIPE)


def test_the_table_on_80_columns_wraps_no_name(runs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    lines = run_here("results", runs, "--published").stdout.splitlines()

    assert max(map(len, lines)) <= 80
    assert f"differences: timit, eval and {RECIPE}" in lines
    assert any(line.startswith(f" {LONG_RECIPE} ") for line in lines)
    assert any(line.strip() == "verdict not comparable" for line in lines)


def test_results_as_json(runs):
    answer = json.loads(run_here("results", runs, "--json").stdout)

    assert answer["schema"] == "results/1"
    kinds = {run["kind"]: run for run in answer["runs"]}
    assert set(kinds) == {"finetune-ctc", "eval-ctc"}
    (beside,) = kinds["finetune-ctc"]["beside"]
    assert (beside["recipe"], beside["published"]["wer"]) == (RECIPE, 0.21)
    same = {one["name"]: one["same"] for one in beside["aspects"]}
    assert (same["unit"], same["model"], same["training data"]) == (True, False, None)
    row = next(one for one in answer["published"] if one["name"] == RECIPE)
    assert sorted(row["runs"]) == [str(runs / "scored"), str(runs / "timit")]


def test_results_as_markdown(runs):
    lines = run_here("results", runs, "--markdown").stdout.splitlines()

    tables = [line for line in lines if line.startswith("|")]
    assert f"### runs in {runs}" in lines
    assert any(line.startswith(f"| {RECIPE} | timit_asr") for line in tables)
    assert all(line.endswith("|") for line in tables)


def test_without_runs_the_published_rows_are_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    bare, named = run_here("results"), run_here("results", "nowhere")

    assert bare.exit_code == 0
    assert RECIPE in bare.stdout.replace("\n", "")
    assert (named.exit_code, "no folder" in named.stderr) == (4, True)


def test_the_model_of_a_run_tells_a_trained_one_from_its_base(runs, tiny_model):
    lines = run_here("results", runs, "--markdown").stdout.splitlines()

    table = lines[: lines.index("")] + lines[lines.index("") + 1 : lines.index("", 3)]
    models = {
        line.split("|")[1].strip(): line.split("|")[2].strip() for line in table if "|" in line
    }
    assert models["timit, eval"] == f"from {tiny_model}"
    assert models["scored"] == f"{runs / 'timit'}, from {tiny_model}"


def test_runs_as_csv_and_latex(runs):
    rows = list(csv.DictReader(io.StringIO(run_here("results", runs, "--csv").stdout)))
    latex = run_here("results", runs, "--latex").stdout

    trained = next(row for row in rows if row["kind"] == "finetune-ctc")
    assert {row["published_as"] for row in rows} == {RECIPE}
    assert float(trained["loss"]) > 0
    assert float(trained["cer"]) > 0
    assert latex.startswith("\\begin{tabular}")
    assert latex.rstrip().endswith("\\end{tabular}")
    assert r"95 \% interval" in latex
    assert not any("_" in line.replace(r"\_", "") for line in latex.splitlines())


def test_one_format_at_a_time(runs):
    result = run_here("results", runs, "--csv", "--latex")

    assert (result.exit_code, result.stdout) == (2, "")


def test_without_runs_a_csv_has_its_head_alone(tmp_path):
    assert run_here("results", tmp_path, "--csv").stdout == "run\n"
