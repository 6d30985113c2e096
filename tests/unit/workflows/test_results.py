"""Runs compared with published rows: which runs are found, and which are comparable."""

import json

import pytest

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.recipes.loading import dump_recipe, load_recipe
from gaudi_asr_cli.core.workflows.results.run import collect_results

SCORE = {
    "wer": 0.05, "wer_low": 0.04, "wer_high": 0.06, "utterances": 2703, "utterances_total": 2703,
    "normalizer": "basic/1", "rtfx": 9.0,
}  # fmt: skip
GAUDI = "ctc-wav2vec2-large-librispeech100"


def write_training(
    root, recipe, *settings, score=SCORE, part="eval", device="Intel Gaudi 2", kind="finetune-ctc"
):
    """Write a run folder like that of a training run, without weights."""
    resolved = load_recipe(recipe, settings)
    report = {
        "schema": f"{kind}/1", "base": resolved.model, "device": "hpu", "dtype": "bf16",
        "wall_s": 3600.0, part: score,
    }  # fmt: skip
    root.mkdir(parents=True)
    (root / "recipe.yaml").write_text(dump_recipe(resolved), encoding="utf-8")
    environment = {"device": {"description": device}, "ranks": 2}
    (root / "environment.json").write_text(json.dumps(environment))
    (root / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return root


def write_evaluation(root, **values):
    report = {
        "schema": "eval-ctc/1", **SCORE, "device": "cpu", "dtype": "fp32",
        "model": "facebook/wav2vec2-base-960h",
        "data": {"data": ["openslr/librispeech_asr"], "config": "clean", "split": "test"},
    }  # fmt: skip
    root.mkdir(parents=True)
    (root / "report.json").write_text(json.dumps({**report, **values}), encoding="utf-8")


def only(report):
    (entry,) = report.entries
    (comparison,) = entry.comparisons
    return entry.result, comparison, {one.name: one for one in comparison.aspects}


def test_a_run_of_a_recipe_is_compared_with_its_published_result(tmp_path):
    write_training(tmp_path / "mine", GAUDI)

    result, comparison, aspects = only(collect_results(tmp_path))

    assert (result.part, result.split, result.rate, result.minutes) == (
        "eval", "validation", 0.05, 60,
    )  # fmt: skip
    assert comparison.recipe.name == GAUDI
    assert comparison.difference == pytest.approx(0.05 - 0.0423)
    assert all(aspects[name].same for name in ("unit", "model", "training data", "split"))
    assert aspects["settings"].same is True
    # Their normaliser was another one.
    assert (aspects["normaliser"].same, comparison.verdict) == (False, "with care")
    assert (aspects["hardware"].here, aspects["hardware"].there) == (
        "2 x Intel Gaudi 2", "1 x Gaudi",
    )  # fmt: skip


def test_changed_settings_are_named(tmp_path):
    write_training(tmp_path / "mine", GAUDI, "epochs=1", "max_steps=7", "train.limit=100")

    _, _, aspects = only(collect_results(tmp_path))

    assert aspects["settings"].here == "changed: epochs, max_steps, train.limit"


@pytest.mark.parametrize(
    ("setting", "score", "aspect"),
    [
        ("model=facebook/wav2vec2-base", SCORE, "model"),
        ("train.split=train.360", SCORE, "training data"),
        ("eval.split=test", SCORE, "split"),
        ("seed=1", {**SCORE, "utterances": 100}, "coverage"),
    ],
)
def test_rates_on_different_data_or_models_are_not_comparable(tmp_path, setting, score, aspect):
    write_training(tmp_path / "mine", GAUDI, setting, score=score)

    _, comparison, aspects = only(collect_results(tmp_path))

    assert aspects[aspect].same is False
    assert comparison.verdict == "not comparable"


def test_word_and_phoneme_error_rates_are_not_compared(tmp_path):
    phonemes = {"unit": "phoneme", "per": 0.1, "utterances": 9, "utterances_total": 9, "rtfx": 1.0}
    write_training(tmp_path / "mine", GAUDI, score=phonemes)

    result, comparison, aspects = only(collect_results(tmp_path))

    assert (result.unit, result.rate) == ("phoneme", 0.1)
    assert aspects["unit"].same is False
    assert comparison.verdict == "not comparable"


def test_data_from_a_local_path_may_or_may_not_be_the_same(tmp_path):
    data = "train.data=commonvoice:/data/cv/tr"
    write_training(tmp_path / "mine", "ctc-xls-r-300m-cv-tr", data, part="test")

    result, comparison, aspects = only(collect_results(tmp_path))

    assert result.part == "test"
    assert aspects["training data"].same is None
    assert "not published: " in aspects["settings"].there
    assert comparison.verdict == "with care"


def test_a_run_without_a_recipe_is_compared_with_rows_of_its_model_and_data(tmp_path):
    data = (
        "model=facebook/hubert-large-ll60k",
        "published=null",
    )
    write_training(tmp_path / "mine", GAUDI, *data)

    _, comparison, _ = only(collect_results(tmp_path))

    assert comparison.recipe.name == "ctc-hubert-large-librispeech100"


def test_an_evaluation_of_a_run_has_the_training_data_of_the_run(tmp_path):
    run = write_training(tmp_path / "trained", GAUDI)
    write_evaluation(tmp_path / "scored", model=str(run))

    entry = collect_results(tmp_path).entries[0]

    assert entry.result.run == tmp_path / "scored"
    assert entry.result.base == "facebook/wav2vec2-large-lv60"
    assert [one.recipe.name for one in entry.comparisons] == [GAUDI]
    assert entry.result.data == "openslr/librispeech_asr clean test"


def test_a_split_in_the_name_of_the_data_is_found(tmp_path):
    write_evaluation(tmp_path / "scored", data={"data": ["demo#test"], "config": None})

    (entry,) = collect_results(tmp_path).entries

    assert (entry.result.data, entry.result.split) == ("demo#test", "test")


def test_a_seq2seq_run_is_compared_with_seq2seq_rows(tmp_path):
    name = "seq2seq-wav2vec2-bart-librispeech100-8gpu"
    write_training(tmp_path / "mine", name, kind="finetune-seq2seq")

    result, comparison, aspects = only(collect_results(tmp_path))

    assert result.kind == "finetune-seq2seq"
    assert (comparison.recipe.name, comparison.published.wer) == (name, 0.0728)
    assert aspects["model"].same is True


def test_a_run_without_published_row_has_no_comparison(tmp_path):
    write_evaluation(tmp_path / "scored")

    (entry,) = collect_results(tmp_path).entries

    assert entry.comparisons == ()


def test_unfinished_and_unreadable_runs_are_named_and_do_not_stop_the_rest(tmp_path):
    write_evaluation(tmp_path / "deep" / "er" / "scored")
    write_training(tmp_path / "stopped", GAUDI)
    (tmp_path / "stopped" / "report.json").unlink()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "report.json").write_text('{"schema": "eval-ctc/1"}')
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "report.json").write_text('{"schema')

    report = collect_results(tmp_path)

    assert [one.result.run.name for one in report.entries] == ["scored"]
    assert [path.name for path in report.found.unfinished] == ["stopped"]
    assert [path.parent.name for path in report.found.unreadable] == ["broken", "cut"]


def test_a_saved_benchmark_is_shown_with_its_speed(tmp_path):
    bench = {
        "schema": "bench/1", "model": "wav2vec2-base", "sound": "synthetic", "rtfx": 24.0,
        "device_name": "AMD", "dtype": "bf16", "utterances": 40, "score": None,
    }  # fmt: skip
    (tmp_path / "bench.json").write_text(json.dumps(bench, indent=2))
    (tmp_path / "other.json").write_text("{}")

    (entry,) = collect_results(tmp_path).entries

    assert (entry.result.kind, entry.result.rtfx, entry.result.rate) == ("bench", 24.0, None)


def test_a_missing_folder_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        collect_results(tmp_path / "nowhere")


def test_a_loss_is_that_of_its_own_split(tmp_path):
    write_training(tmp_path / "mine", GAUDI, score={**SCORE, "loss": 0.25})
    report = json.loads((tmp_path / "mine" / "report.json").read_text(encoding="utf-8"))
    both = {**report, "train": {"loss_last": 9.0}, "test": {**SCORE, "loss": None}}
    (tmp_path / "mine" / "report.json").write_text(json.dumps(both), encoding="utf-8")

    entries = collect_results(tmp_path).entries

    assert [(one.result.part, one.result.loss) for one in entries] == [
        ("eval", 0.25), ("test", None),
    ]  # fmt: skip
