"""Errors of word times: median and 95th percentile of start and end.

    python benchmarks/word_times.py MODEL CORPUS [SPLIT]

CORPUS is a folder with `SPLIT_manifest.jsonl` and `alignments.jsonl`, whose lines hold `utt`,
`split` and `words: [{word, start, end}]`. Only utterances with correct text count.
"""

import json
import sys
from pathlib import Path

import numpy as np
from machine import describe_machine

from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model


def measure(model_name: str, corpus: Path, split: str) -> None:
    """Print a table of the errors."""
    lines = (corpus / "alignments.jsonl").read_text(encoding="utf-8").splitlines()
    truth = {line["utt"]: line["words"] for line in map(json.loads, lines)}
    model = open_ctc_model(model_name, device=open_device("cpu"), dtype="fp32")
    utterances = list(read_utterances(str(corpus / f"{split}_manifest.jsonl")))
    errors_ms, correct = [], 0
    for done in transcribe(model, utterances, GreedyDecoder(model.vocabulary)):
        words, exact = done.transcript.words, truth[done.utterance_id]
        if [word.word for word in words] != [word["word"] for word in exact]:
            continue
        correct += 1
        errors_ms += [
            (1000 * (word.start_s - true["start"]), 1000 * (word.end_s - true["end"]))
            for word, true in zip(words, exact, strict=True)
        ]
    errors = np.array(errors_ms)
    print(f"{model_name} on {corpus} {split}: {correct} of {len(utterances)} utterances, ", end="")
    print(f"{len(errors)} words in utterances with correct text\n")
    print("| ms | median, signed | median, absolute | 95th percentile, absolute |")
    print("|---|---|---|---|")
    for name, column in (("start", errors[:, 0]), ("end", errors[:, 1])):
        absolute = np.abs(column)
        print(
            f"| {name} | {np.median(column):+.0f} | {np.median(absolute):.0f} "
            f"| {np.percentile(absolute, 95):.0f} |"
        )


if __name__ == "__main__":
    print(describe_machine() + "\n")
    measure(sys.argv[1], Path(sys.argv[2]), *(sys.argv[3:] or ["test"]))
