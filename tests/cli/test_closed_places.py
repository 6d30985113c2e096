"""Commands that write, on a full disk and in closed folders: the message, and nothing cut."""

import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.run import run_here
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper
from helpers.tiny_text_models import save_tiny_text_model

TRAINING = (
    "--device", "cpu", "--max-steps", 2, "--set", "batching.batch=2", "--set", "eval.limit=2",
    "--quiet",
)  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    save_tiny_model(root / "ctc", "wav2vec2-layer-norm", letters="efhnorstuw")
    save_tiny_text_model(root / "bart")
    save_tiny_whisper(root / "whisper")
    write_corpus(root / "corpus", utterances=4)
    corpus = root / "corpus" / "manifest.jsonl"
    scored = run_here(
        "eval-ctc", root / "ctc", "--data", corpus, "--run", root / "scored", "--vad", "off"
    )
    assert scored.exit_code == 0, scored.stderr
    return root


def commands(models, place):
    corpus, wav = models / "corpus" / "manifest.jsonl", models / "corpus" / "u00.wav"
    return {
        "vocab": ("vocab", corpus, "--out", place / "vocab"),
        "infer": ("infer", wav, "--model", models / "ctc", "--out-dir", place / "texts"),
        "eval-ctc": ("eval-ctc", models / "ctc", "--data", corpus, "--run", place / "run"),
        "eval-seq2seq": (
            "eval-seq2seq", models / "whisper", "--data", corpus, "--run", place / "run",
            "--language", "en",
        ),
        "bench --save": (
            "bench", "--model", models / "ctc", "--data", corpus, "--save", place / "b.json",
        ),
        "bench --perf-csv": (
            "bench", "--model", models / "ctc", "--data", corpus, "--perf-csv", place / "b.csv",
        ),
        "finetune-ctc": (
            "finetune-ctc", "--model", models / "ctc", "--train", corpus, "--eval", corpus,
            "--run", place / "run", *TRAINING,
        ),
        "finetune-seq2seq": (
            "finetune-seq2seq", "--model", models / "whisper", "--train", corpus, "--eval", corpus,
            "--language", "en", "--run", place / "run", *TRAINING,
        ),
        "create-seq2seq": (
            "create-seq2seq", "--encoder", models / "ctc", "--decoder", models / "bart",
            "--out", place / "model",
        ),
        "lm": ("lm", corpus, "--order", 2, "--out", place / "words.arpa"),
        "lm .gz": ("lm", corpus, "--order", 2, "--out", place / "words.arpa.gz"),
        "align --out-dir": (
            "align", corpus, "--model", models / "ctc", "--format", "ctm",
            "--out-dir", place / "times",
        ),
        "align --segments": (
            "align", corpus, "--model", models / "ctc", "--segments", place / "s.jsonl",
        ),
        "compare --save": (
            "compare", models / "scored", models / "scored", "--save", place / "c.json",
        ),
        "report": ("report", models / "scored", "--out", place / "r.html"),
        "recipes copy": ("recipes", "copy", "digits", place / "r.yaml"),
    }  # fmt: skip


NAMES = list(commands(Path("models"), Path("place")))


def mount(place, options):
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def place(tmp_path):
    """A small disk with 64 kB in use."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or not mount(folder, "size=64k"):
        pytest.skip("may not mount a tmpfs here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def require_message(result, place):
    assert result.exit_code in {1, 2}, result.stderr
    assert "Traceback" not in result.stderr
    assert str(place) in result.stderr.replace("\n", "")
    assert "try:" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_named_and_nothing_is_cut(name, models, place):
    (place / "filler").write_bytes(bytes(64 << 10))

    result = run_here(*commands(models, place)[name])

    require_message(result, place)
    assert [path for path in place.rglob("*") if path.is_file()] == [place / "filler"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_closed_folder_is_named(name, models, place):
    assert mount(place, "remount,ro")

    result = run_here(*commands(models, place)[name])

    require_message(result, place)
    assert list(place.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_file_in_place_of_a_folder_is_named(name, models, tmp_path):
    place = tmp_path / "file"
    place.write_text("kept")

    result = run_here(*commands(models, place)[name])

    require_message(result, place)
    assert place.read_text() == "kept"
