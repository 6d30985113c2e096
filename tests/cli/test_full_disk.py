"""A disk that is full while a checkpoint is written: a real one, where tests may mount."""

import shutil
import subprocess

import pytest
from helpers.run import run
from helpers.tiny_corpus import write_corpus


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 5 MB; return it and a function to enlarge it."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if shutil.which("mount") is None or not mount("size=5m"):
        pytest.skip("may not mount a tmpfs here")
    yield place, lambda: mount("remount,size=60m")
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_loses_nothing_that_was_written(small_disk, tmp_path):
    place, enlarge = small_disk
    corpus = write_corpus(tmp_path / "corpus", utterances=4)
    options = (
        "--recipe", "digits", "--train", corpus, "--run", place / "run", "--device", "cpu",
        "--max-steps", 4, "--set", "evaluation.save_every=2", "--quiet",
    )  # fmt: skip

    full = run("finetune-ctc", *options)
    enlarge()
    resumed = run("finetune-ctc", *options, "--resume")

    assert full.exit_code == 1
    assert "is full" in full.stderr
    assert "--resume" in full.stderr
    assert "Traceback" not in full.stderr
    assert resumed.exit_code == 0, resumed.stderr
    assert (place / "run" / "report.json").exists()
