"""Two devices of the stand-in share the work of `infer`, a process each."""

import json
import re
import subprocess
import sys

import pytest
from helpers.run import clean_environment, run_here
from helpers.standin_device import TIMEOUT_S, standin_environment
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import save_tiny_model


@pytest.mark.slow
def test_two_devices_share_the_audio_and_give_the_texts_of_one_on_a_cpu(tmp_path):
    model = save_tiny_model(tmp_path / "model")
    corpus = write_corpus(tmp_path / "corpus", utterances=40).parent
    words = ["infer", corpus, "--model", model, "--dtype", "fp32", "--format", "jsonl"]
    gaudi = {**standin_environment(), "HPU_STANDIN_COUNT": "2", "PT_HPU_LAZY_MODE": "1"}

    alone = run_here(*words, "--device", "cpu")
    shared = subprocess.run(
        [sys.executable, "-m", "gaudi_asr_cli", *words, "--device", "hpu", "--cards", "2"],
        env=clean_environment(gaudi), capture_output=True, text=True, timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip

    assert (alone.exit_code, shared.returncode) == (0, 0), shared.stderr
    texts = [
        [json.loads(line)["text"] for line in one.stdout.splitlines()] for one in (alone, shared)
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 40
    shares = [int(one) for one in re.findall(r"(\d+)%", shared.stderr)]
    assert abs(shares[0] - shares[1]) <= 10
