import json

import numpy as np
import pytest
import soundfile
import yaml
from helpers.run import run_here

from gaudi_asr_cli.core.decoding.lm.arpa import write_arpa
from gaudi_asr_cli.core.decoding.lm.kneser_ney import estimate_kneser_ney
from gaudi_asr_cli.core.models.folder import DEMO_FOLDER

SENTENCES = ["one two three", "four five six", "seven eight nine zero"]


@pytest.fixture
def lm(tmp_path):
    path = tmp_path / "digits.arpa"
    write_arpa(estimate_kneser_ney([one.split() for one in SENTENCES], 3).model, path)
    return path


@pytest.fixture
def clips(tmp_path):
    """Two manifests of noise, with texts: what is recognised does not matter."""
    random = np.random.default_rng(0)
    manifests = []
    for name in ("dev", "test"):
        lines = []
        for index, text in enumerate(SENTENCES[:2]):
            path = tmp_path / f"{name}{index}.wav"
            soundfile.write(path, 0.05 * random.standard_normal(16_000), 16_000)
            lines.append(json.dumps({"audio_filepath": path.name, "text": text}))
        manifest = tmp_path / f"{name}.jsonl"
        manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
        manifests.append(manifest)
    return manifests


def test_tuned_weights_are_reported_and_decode_from_their_recipe(tmp_path, lm, clips, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dev, test = clips
    words = ["eval-ctc", "demo", "--data", test, "--lm", lm, "--beam-size", "4", "--json"]

    done = run_here(*words, "--tune-lm", dev, "--run", "tuned")
    recipe = yaml.safe_load((tmp_path / "tuned" / "decoding.yaml").read_text(encoding="utf-8"))
    again = run_here(
        "eval-ctc", "--recipe", "tuned/decoding.yaml", "--data", test, "--run", "again", "--json"
    )

    report = json.loads(done.stdout)
    assert done.exit_code == again.exit_code == 0
    assert recipe["lm_weight"] == report["tuned"]["lm_weight"]
    assert recipe["beam_size"] == 4
    assert report["tuned"]["wer"] <= report["tuned"]["wer_without"]
    assert json.loads(again.stdout)["wer"] == report["wer"]


def test_weights_are_not_tuned_on_the_data_that_is_scored(tmp_path, lm, clips, monkeypatch):
    monkeypatch.chdir(tmp_path)

    same = run_here("eval-ctc", "demo", "--data", clips[1], "--lm", lm, "--tune-lm", clips[1])
    without = run_here("eval-ctc", "demo", "--data", clips[1], "--tune-lm", clips[0])

    assert (same.exit_code, "names the data that is scored" in same.stderr) == (2, True)
    assert (without.exit_code, "no language model to tune" in without.stderr) == (2, True)


def test_n_best_texts_are_part_of_the_json_line(tmp_path, lm, clips):
    audio = tmp_path / "dev0.wav"

    done = run_here("infer", audio, "--model", "demo", "--lm", lm, "--n-best", 3, "--json")
    plain = run_here("infer", audio, "--model", "demo", "--json")

    line = json.loads(done.stdout.splitlines()[0])
    assert line["n_best"][0]["text"] == line["text"]
    assert len(line["n_best"]) == 3
    assert "n_best" not in json.loads(plain.stdout.splitlines()[0])


def test_a_models_own_language_model_is_announced_where_it_is_not_used(tmp_path, lm, clips):
    model = tmp_path / "model"
    (model / "language_model").mkdir(parents=True)
    for file in DEMO_FOLDER.iterdir():
        (model / file.name).symlink_to(file)
    (model / "language_model" / "3gram.arpa").write_bytes(lm.read_bytes())
    audio = tmp_path / "dev0.wav"

    unused = run_here("infer", audio, "--model", model)
    used = run_here("infer", audio, "--model", model, "--lm", model)

    assert "holds an n-gram language model" in unused.stderr
    assert "language model" not in used.stderr
    assert used.exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--lm", "gone.arpa"), 4, "gone.arpa: there is no such language model"),
        (("--hotwords", ", "), 2, "There is no hotword"),
        (("--lm-weight", "1"), 2, "has nothing to weigh"),
        (("--hotword-weight", "1"), 2, "has nothing to weigh"),
    ],
)
def test_a_mistake_has_its_reason_and_remedy(tmp_path, clips, words, code, message):
    done = run_here("infer", tmp_path / "dev0.wav", "--model", "demo", *words)

    assert (done.exit_code, message in done.stderr) == (code, True)
    assert "try:" in done.stderr


def test_scores_of_training_are_decoded_as_those_of_eval_ctc(tmp_path, lm, corpus, monkeypatch):
    monkeypatch.chdir(tmp_path)
    decoding = ["--lm", lm.name, "--lm-weight", "1.5", "--beam-size", "8", "--hotwords", "seven"]
    run = tmp_path / "run"
    trained = run_here(
        *["finetune-ctc", "--model", "demo", "--train", corpus, "--eval", corpus, *decoding],
        *["--max-steps", "1", "--run", run, "--json"],
    )
    scored = run_here("eval-ctc", run, "--data", corpus, *decoding, "--run", "beam", "--json")
    again = run_here(
        *["finetune-ctc", "--model", run, "--train", corpus, "--eval", corpus, *decoding],
        *["--no-train", "--run", "again", "--json"],
    )
    run_here("eval-ctc", run, "--data", corpus, "--run", "greedy")

    def texts(folder):
        lines = (tmp_path / folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["hypothesis"] for line in lines]

    recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    assert json.loads(trained.stdout)["eval"]["wer"] == json.loads(scored.stdout)["wer"]
    assert json.loads(again.stdout)["wer"] == json.loads(scored.stdout)["wer"]
    assert texts("run") == texts("beam") == texts("again")
    assert texts("beam") != texts("greedy")
    assert recipe["decoding"]["lm"] == str(lm)
    assert (recipe["decoding"]["hotwords"], recipe["decoding"]["beam_size"]) == ("seven", 8)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--lm", "gone.arpa"], 4, "there is no such language model"),
        (["--lm", "broken.arpa"], 4, "broken.arpa, line 2"),
        (["--lm-weight", "1"], 2, "has nothing to weigh"),
        (["--hotwords", " , "], 2, "There is no hotword"),
        (["--beam-size", "0"], 3, "beam_size"),
    ],
)
def test_decoding_that_cannot_work_is_an_error_before_training(
    tmp_path, corpus, monkeypatch, words, code, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.arpa").write_text("\\data\\\nngram 1=x\n", encoding="utf-8")

    done = run_here("finetune-ctc", "--model", "demo", "--train", corpus, *words, "--run", "run")

    assert (done.exit_code, message in done.stderr) == (code, True)
    assert not (tmp_path / "run").exists()
