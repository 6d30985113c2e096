"""Whole commands on one device in a process of its own, in one interpreter to save time.

python drive_commands.py OUT DEVICE     prints JSON: exit code, output and errors by command
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from drive import FAMILIES, TINY, events, reset_events
from helpers.run import run_here
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import save_tiny_model

CLIPS = 24
BUCKETS, LIMIT = 5, 40


def benchmarks(out: Path, graphs: bool) -> dict[str, list[Any]]:
    """Return bench commands for small networks, on more audio than `--limit`."""
    corpus = write_corpus(out / "audio", utterances=LIMIT + 2)
    words = ["--data", corpus, "--buckets", BUCKETS, "--limit", LIMIT, "--repeat", 1,
             "--batch-seconds", 6, "--dtype", "fp32", "--json"]  # fmt: skip
    words += ["--graphs"] if graphs else []
    models = {one: save_tiny_model(out / "models" / one, one) for one in FAMILIES}
    return {f"bench {one}": ["bench", "--model", folder, *words] for one, folder in models.items()}


def main(out: Path, device: str) -> dict[str, Any]:
    graphs = device == "hpu" and os.environ["PT_HPU_LAZY_MODE"] == "1"
    corpus = write_corpus(out / "corpus", utterances=CLIPS)
    clips = sorted(corpus.parent.glob("*.wav"))
    settings = [word for one in TINY for word in ("--set", one)]
    commands = {
        "infer": ["infer", *clips, "--model", "demo", "--dtype", "fp32"],
        "eval-ctc": ["eval-ctc", "--model", "demo", "--data", corpus, "--dtype", "fp32",
                     "--run", out / "score", "--json"],
        "finetune-ctc": ["finetune-ctc", "--recipe", "digits", "--set", f"train.data={corpus}",
                         "--set", f"eval.data={corpus}", "--set", "eval.limit=2", *settings,
                         "--set", "max_steps=3", "--run", out / "run", "--json"],
        **benchmarks(out, graphs),
    }  # fmt: skip
    found: dict[str, Any] = {}
    for name, words in commands.items():
        reset_events()
        done = run_here(*words, "--device", device)
        found[name] = {
            "exit_code": done.exit_code,
            "stdout": done.stdout.replace(str(out), ""),
            "stderr": done.stderr[-2000:],
            "events": events(),
        }
    return found


if __name__ == "__main__":
    print("\n" + json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
