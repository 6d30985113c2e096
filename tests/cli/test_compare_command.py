import json
import random
from pathlib import Path

import pytest
from helpers.run import run, run_here

WORDS = [f"word{number}" for number in range(300)]


def write_predictions(path, wer, *, utterances=400, speakers=40, seed=1, **changes):
    """Write predictions of a synthetic system with a known word error rate."""
    texts, errors = random.Random(0), random.Random(seed)
    lines = []
    for number in range(utterances):
        reference = [texts.choice(WORDS) for _ in range(10)]
        hypothesis = [one if errors.random() >= wer else "wrong" for one in reference]
        line = {
            "id": f"u{number}",
            "reference": " ".join(reference),
            "hypothesis": " ".join(hypothesis),
            "raw_reference": " ".join(reference).upper(),
            "raw_hypothesis": " ".join(hypothesis),
            "duration_s": 1.5 + number % 7,
            "speaker": f"s{number % speakers}" if speakers else None,
            "snr": number / 10,
        }
        lines.append(json.dumps({**line, **changes}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_run(folder, wer, normalizer="basic/2", unit="word", **changes):
    """Write the folder of an evaluation."""
    write_predictions(folder / "predictions.jsonl", wer, **changes)
    report = {
        "schema": "eval-ctc/1",
        "unit": unit,
        "normalizer": normalizer,
        "model": "m",
        "device": "cpu",
        "dtype": "fp32",
        "rtfx": 50.0,
    }
    (folder / "report.json").write_text(json.dumps(report))
    return folder


@pytest.fixture
def old(tmp_path):
    return write_run(tmp_path / "old", 0.046)


def compared(*words):
    done = run_here("compare", *words, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_a_rise_from_4_6_to_11_1_percent_ends_with_7(tmp_path, old):
    new = write_run(tmp_path / "new", 0.111, seed=2)

    code, answer = compared(old, new)

    assert (code, answer["schema"], answer["verdict"], answer["worse"]) == (
        7, "compare/1", "worse", True,
    )  # fmt: skip
    assert 0 < answer["low"] < answer["difference"] < answer["high"] < 0.1
    assert answer["p"] < 0.001
    assert (answer["groups"], answer["resampled"], answer["words"]["fixed"] > 0) == (
        40, "speakers", True,
    )  # fmt: skip
    assert answer["sentence"].startswith("new is worse than old: WER 1")
    assert compared(new, old)[0] == 0
    assert compared(new, old)[1]["verdict"] == "better"


def test_the_tables_end_with_the_verdict(tmp_path, old):
    new = write_run(tmp_path / "new", 0.111, seed=2)

    done = run("compare", old, new)

    assert done.exit_code == 7
    assert done.stdout.rstrip().splitlines()[-1].startswith("new is worse than old")
    assert "reference words broken by new" in done.stdout
    assert "by duration" in done.stdout
    assert "RTFx" in done.stdout


def test_a_difference_within_the_tolerance_ends_with_0(tmp_path, old):
    new = write_run(tmp_path / "new", 0.111, seed=2)

    code, answer = compared(old, new, "--tolerance", 20)

    assert (code, answer["verdict"], answer["tolerance"]) == (0, "within tolerance", 0.2)


def test_equal_runs_show_no_difference(tmp_path, old):
    code, answer = compared(old, old)

    assert (code, answer["verdict"], answer["p"]) == (0, "no difference shown", 1.0)
    assert "All hypotheses of both sides are equal." in answer["notes"]


def test_the_counts_of_both_sides_are_recounted(tmp_path):
    a = write_predictions(tmp_path / "a.jsonl", 0, utterances=2, speakers=0, hits=0, deletions=20)

    _, answer = compared(a, a)

    assert (answer["a"]["hits"], answer["a"]["deletions"], answer["rate_a"]) == (20, 0, 0.0)
    assert answer["resampled"] == "utterances"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"normalizer": "none"}, "Other normalisers"),
        ({"unit": "phoneme"}, "Other units"),
        ({"reference": "another text"}, "Other references: those of 400 of 400"),
        ({"utterances": 300}, "Other utterances: 100 only in"),
        ({"id": "x"}, "share none"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(tmp_path, old, changes, named):
    done = run_here("compare", old, write_run(tmp_path / "new", 0.05, **changes))

    assert (done.exit_code, done.stdout) == (4, "")
    assert named in done.stderr


def test_shared_utterances_are_compared_on_request(tmp_path, old):
    new = write_run(tmp_path / "new", 0.046, utterances=300)

    code, answer = compared(old, new, "--shared")

    assert (code, answer["utterances"]) == (0, 300)
    assert any("Left out: 100 only in" in note for note in answer["notes"])


def test_raw_texts_are_normalised_anew_on_request(tmp_path, old):
    new = write_run(tmp_path / "new", 0.046, normalizer="none", reference="as scored")

    _, answer = compared(old, new, "--normalizer", "basic")
    _, raw = compared(old, new, "--normalizer", "none")

    assert (answer["normalizer"], answer["difference"]) == ("basic/2", 0.0)
    assert (raw["rate_a"], raw["rate_b"]) == (1.0, 1.0)  # references are upper-case there


def test_slices_by_columns_of_predictions_and_manifest(tmp_path, old):
    new = write_run(tmp_path / "new", 0.111, seed=2)
    rows = [{"audio_filepath": f"x/u{n}.wav", "room": "ab"[n % 2], "take": n} for n in range(400)]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))

    _, answer = compared(
        old, new, "--slice", "snr", "--slice", "room", "--slice", "take", "--manifest", manifest
    )

    slices = answer["slices"]
    assert list(slices["snr"]) == [
        "0 to 9.975", "9.975 to 19.95", "19.95 to 29.92", "29.92 to 39.9",
    ]  # fmt: skip
    assert {part: one["utterances"] for part, one in slices["room"].items()} == {"a": 200, "b": 200}
    assert sum(one["utterances"] for one in slices["take"].values()) == 400
    assert len(slices["speaker"]) == 40
    assert all(one["p_adjusted"] >= one["p"] for one in slices["speaker"].values())


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["--slice", "nothing"], 2, "--slice nothing"),
        (["--tolerance", "-1"], 2, "--tolerance"),
        (["--level", "1"], 2, "--level"),
        (["--replicates", "3"], 2, "--replicates"),
        (["--manifest", "gone.jsonl"], 4, "gone.jsonl"),
    ],
)
def test_wrong_options_are_named(old, words, code, named):
    done = run_here("compare", old, old, *words)

    assert done.exit_code == code
    assert named in done.stderr


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, "There is no"),
        ("", "has no predictions"),
        ("{", "line 1: broken JSON"),
        ("[1]", "line 1: a list"),
        ('\n{"id": "u", "reference": "a"}', "line 2: 'hypothesis' is missing"),
    ],
)
def test_broken_predictions_are_named(tmp_path, old, content, named):
    path = tmp_path / "p.jsonl"
    if content is not None:
        path.write_text(content)

    done = run_here("compare", old, path)

    assert done.exit_code == 4
    assert named in done.stderr


def test_a_run_without_predictions_is_named(tmp_path, old):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("kind: finetune-ctc\n")

    done = run_here("compare", old, tmp_path / "run")

    assert done.exit_code == 4
    assert "nothing was scored in this run" in done.stderr
    assert "eval-ctc" in done.stderr


def test_characters_are_counted_in_scripts_without_spaces(tmp_path):
    texts = {"reference": "今天很好", "hypothesis": "今天不好"}
    path = write_predictions(tmp_path / "a.jsonl", 0, utterances=6, **texts)

    _, answer = compared(path, path)
    _, words = compared(path, path, "--unit", "word")

    assert (answer["rate"], answer["rate_a"]) == ("cer", 0.25)
    assert (words["rate"], words["rate_a"]) == ("wer", 1.0)


def test_sclite_costs_can_count_more_errors(tmp_path):
    texts = {"reference": "c b a c a a b b c c c b", "hypothesis": "a a c c b a c"}
    path = write_predictions(tmp_path / "a.jsonl", 0, utterances=2, **texts)

    errors = {
        costs: sum(compared(path, path, "--costs", costs)[1]["a"][name] for name in ERRORS)
        for costs in ("minimal", "sclite")
    }

    assert errors == {"minimal": 2 * 8, "sclite": 2 * 9}


ERRORS = ("substitutions", "deletions", "insertions")


def bench(path: Path, speed, wer=None, **changes):
    result = {
        "schema": "bench/1", "sound": "s", "utterances": 10, "audio_s": 60.0, "rtfx": speed,
        "spread": {"rtfx": {"minimum": speed * 0.98, "maximum": speed * 1.02}},
        "peak_memory_mb": 100.0, "model": "m", "device": "cpu", "dtype": "fp32",
    }  # fmt: skip
    if wer is not None:
        result["score"] = {
            "wer": wer, "wer_low": wer - 0.01, "wer_high": wer + 0.01, "normalizer": "basic/2",
            "unit": "word", "hits": 900, "substitutions": 100, "deletions": 0, "insertions": 0,
        }  # fmt: skip
    path.write_text(json.dumps({**result, **changes}))
    return path


def test_a_faster_bench_with_a_worse_error_rate_ends_with_7(tmp_path):
    a, b = bench(tmp_path / "a.json", 100, 0.046), bench(tmp_path / "b.json", 180, 0.111)

    code, answer = compared(a, b)

    assert (code, answer["verdict"]) == (7, "worse")
    assert answer["difference"] == pytest.approx(0.065)
    assert answer["speed"]["ratio"] == pytest.approx(1.8)
    assert compared(a, b, "--tolerance", 10)[0] == 0


def test_a_slower_bench_ends_with_7_if_no_repeat_is_as_fast(tmp_path):
    a = bench(tmp_path / "a.json", 100)
    slow, noisy = bench(tmp_path / "slow.json", 80), bench(tmp_path / "noisy.json", 80)
    varied = {**json.loads(noisy.read_text()), "spread": {"rtfx": {"minimum": 60, "maximum": 99}}}
    noisy.write_text(json.dumps(varied))

    assert compared(a, slow)[0] == 7
    assert compared(a, slow, "--speed-tolerance", 25)[0] == 0
    assert compared(a, noisy)[0] == 0


@pytest.mark.parametrize(
    "changes", [{"utterances": 11}, {"sound": "other"}, {"score": {"wer": 0.1}}, {"rtfx": None}]
)
def test_benches_of_other_work_are_refused(tmp_path, changes):
    a, b = bench(tmp_path / "a.json", 100), bench(tmp_path / "b.json", 100, **changes)

    assert run_here("compare", a, b).exit_code == 4


def test_a_bench_is_not_compared_with_a_run(tmp_path, old):
    done = run_here("compare", old, bench(tmp_path / "a.json", 100, 0.1))

    assert done.exit_code == 4
    assert "is a benchmark and" in done.stderr


def test_a_saved_comparison_is_never_overwritten(tmp_path, old):
    path = tmp_path / "c.json"

    first = run_here("compare", old, old, "--save", path)
    second = run_here("compare", old, old, "--save", path)

    assert (first.exit_code, second.exit_code) == (0, 2)
    assert json.loads(path.read_text())["schema"] == "compare/1"
