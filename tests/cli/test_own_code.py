"""Code of a model is never run, even with `y` on standard input."""

import io
import json
import shutil

import pytest
from helpers.own_code import edit_json, plant_code
from helpers.run import run, run_here
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_seq2seq, save_tiny_whisper
from helpers.tiny_text_models import save_tiny_text_model

LETTERS = "efhnorstuw"
CTC, WHISPER, JOINED, TEXT = "ctc", "whisper", "joined", "text"


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Complete models of each kind, to be copied."""
    root = tmp_path_factory.mktemp("originals")
    save_tiny_model(root / CTC, "wav2vec2-layer-norm", letters=LETTERS)
    save_tiny_whisper(root / WHISPER)
    save_tiny_seq2seq(root / JOINED, "speech-encoder-decoder")
    save_tiny_text_model(root / TEXT)
    return root


@pytest.fixture
def copy(originals, tmp_path):
    def copied(kind):
        return shutil.copytree(originals / kind, tmp_path / kind)

    return copied


@pytest.fixture
def yes(monkeypatch):
    """Answer yes to every prompt."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"y\ny\n" * 20)))


def words_of(command, model, corpus, out):
    wav = corpus.parent / "u00.wav"
    return {
        "infer": ["infer", wav, "--model", model],
        "eval-ctc": ["eval-ctc", "--model", model, "--data", corpus, "--limit", 2, "--run", out],
        "eval-seq2seq": [
            *("eval-seq2seq", "--model", model, "--data", corpus, "--limit", 2),
            *("--language", "en", "--max-tokens", 4, "--run", out),
        ],
        "bench": ["bench", "--model", model, "--data", corpus, "--limit", 2, "--repeat", 1],
        "baseline": [
            *("bench", "--model", model, "--data", corpus, "--limit", 2, "--repeat", 1),
            *("--baseline", "transformers"),
        ],
        "check": ["check", corpus, "--model", model],
        "finetune-ctc": [
            *("finetune-ctc", "--model", model, "--train", corpus, "--max-steps", 1),
            *("--run", out, "--vocab", "data"),
        ],
        "finetune-seq2seq": [
            *("finetune-seq2seq", "--model", model, "--train", corpus, "--max-steps", 1),
            *("--language", "en", "--run", out),
        ],
        "encoder": ["create-seq2seq", "--encoder", model, "--decoder", "NOWHERE", "--out", out],
    }[command]


RUN_WITH = [
    *((command, CTC) for command in ("infer", "eval-ctc", "bench", "baseline", "check")),
    ("finetune-ctc", CTC),
    *((command, WHISPER) for command in ("infer", "eval-seq2seq", "check", "finetune-seq2seq")),
    *((command, JOINED) for command in ("infer", "check")),
]


def without_language(words, kind):
    """Remove the language option, which a model of one language rejects."""
    if kind == WHISPER or "--language" not in words:
        return words
    place = words.index("--language")
    return [*words[:place], *words[place + 2 :]]


@pytest.mark.parametrize(("command", "kind"), [*RUN_WITH, ("eval-seq2seq", JOINED)])
def test_a_known_family_is_opened_with_the_class_of_transformers(
    command, kind, copy, corpus, tmp_path, yes
):
    model = copy(kind)
    marker = plant_code(model)
    words = without_language(words_of(command, model, corpus, tmp_path / "out"), kind)

    done = run_here(*words, *([] if command == "check" else ["--device", "cpu"]))

    assert not marker.exists()
    assert done.exit_code in ((0, 4) if command == "check" else (0,)), done.stderr
    assert "[y/N]" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("command", "kind"), [*RUN_WITH, ("eval-seq2seq", JOINED)])
def test_an_unknown_family_is_an_error_and_its_code_not_run(
    command, kind, copy, corpus, tmp_path, yes
):
    model = copy(kind)
    marker = plant_code(model, family="own")
    if kind != CTC:
        edit_json(model / "config.json", is_encoder_decoder=True)
    words = without_language(words_of(command, model, corpus, tmp_path / "out"), kind)

    done = run_here(*words, *([] if command == "check" else ["--device", "cpu"]))

    assert not marker.exists()
    assert done.exit_code == 4
    assert done.stdout == ""
    assert "needs its own code, which is never run here" in done.stderr


@pytest.mark.parametrize("family", [None, "own"])
@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_neither_half_of_a_new_encoder_decoder_runs_its_code(half, family, copy, tmp_path, yes):
    halves = {"encoder": copy(CTC), "decoder": copy(TEXT)}
    marker = plant_code(halves[half], family=family)

    done = run_here(
        *("create-seq2seq", "--encoder", halves["encoder"], "--decoder", halves["decoder"]),
        *("--out", tmp_path / "out"),
    )

    assert not marker.exists()
    assert done.exit_code == (0 if family is None else 4), done.stderr
    assert "[y/N]" not in done.stdout


@pytest.mark.parametrize("kind", [WHISPER, JOINED])
def test_an_unknown_class_of_tokenizer_does_not_run(kind, copy, corpus, tmp_path, yes):
    model = copy(kind)
    marker = plant_code(model, tokenizer="OwnTokenizer")

    done = run_here(*words_of("infer", model, corpus, tmp_path), "--device", "cpu")

    assert not marker.exists()
    assert done.exit_code in (0, 4)
    assert "[y/N]" not in done.stdout
    assert done.exit_code == 0 or "needs its own code" in done.stderr


def test_a_saved_model_refers_to_no_code(copy, corpus, tmp_path, yes):
    model = copy(JOINED)
    plant_code(model)
    words = words_of("finetune-seq2seq", model, corpus, tmp_path / "run")

    done = run_here(*without_language(words, JOINED), "--device", "cpu", "--strip-chars", "uw")

    assert done.exit_code == 0, done.stderr
    for path in (tmp_path / "run/model").glob("*.json"):
        assert "own.Own" not in path.read_text(), path


@pytest.mark.slow
@pytest.mark.parametrize("family", [None, "own"])
def test_a_process_has_no_prompt_and_prints_only_results(family, copy, corpus):
    model = copy(CTC)
    marker = plant_code(model, family=family)

    done = run(
        *("infer", corpus.parent / "u00.wav", "--model", model, "--json", "--device", "cpu"),
        stdin=b"y\ny\n",
    )

    assert not marker.exists()
    assert done.exit_code == (0 if family is None else 4)
    assert [json.loads(line)["error"] for line in done.stdout.splitlines()] == (
        [None] if family is None else []
    )


def test_remote_code_in_a_recipe_is_ignored(copy, corpus, tmp_path, yes):
    model = copy(CTC)
    marker = plant_code(model)
    words = words_of("finetune-ctc", model, corpus, tmp_path / "run")

    done = run_here(*words, "--device", "cpu", "--set", "trainer.trust_remote_code=true")

    assert not marker.exists()
    assert done.exit_code == 0, done.stderr
    assert "trust_remote_code" in done.stderr
