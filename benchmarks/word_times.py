"""Errors of word times: median and 95th percentile of start and end.

    python benchmarks/word_times.py MODEL CORPUS [SPLIT] [PROMPT]

CORPUS is a folder with `SPLIT_manifest.jsonl` and `alignments.jsonl`, whose lines hold `utt`,
`split` and `words: [{word, start, end}]`. Only utterances with correct text count. PROMPT is text
before each utterance, for a Whisper: it decides whether numbers are written in letters.
"""

import json
import sys
from pathlib import Path

import numpy as np
from machine import describe_machine

from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import open_recognizer
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.records import WordTiming


def letters_of(word: str) -> str:
    """Return a word in lower case without punctuation."""
    return "".join(letter for letter in word.lower() if letter.isalnum())


def measure(model_name: str, corpus: Path, split: str, prompt: str | None) -> None:
    """Print a table of the errors."""
    lines = (corpus / "alignments.jsonl").read_text(encoding="utf-8").splitlines()
    truth = {line["utt"]: line["words"] for line in map(json.loads, lines)}
    options = InferenceOptions(dtype="fp32", initial_prompt=prompt)
    recognizer = open_recognizer(model_name, open_device("cpu"), options)
    utterances = list(read_utterances(str(corpus / f"{split}_manifest.jsonl")))
    errors_ms, correct = [], 0
    for done in transcribe(recognizer, utterances):
        words, exact = done.transcript.words, truth[done.utterance_id]
        check_order(words, done.duration_s)
        if [letters_of(word.word) for word in words] != [word["word"] for word in exact]:
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


def check_order(words: tuple[WordTiming, ...], duration_s: float) -> None:
    """Stop if a word starts before the one before it ends, or ends after the file."""
    times = [time_s for word in words for time_s in (word.start_s, word.end_s)]
    inside = all(0 <= time_s <= duration_s + 1e-3 for time_s in times)
    if not inside or times != sorted(times):
        sys.exit(f"Not monotone or not inside the file of {duration_s} s: {words}")


if __name__ == "__main__":
    print(describe_machine() + "\n")
    given = [*sys.argv[3:5], None, None]
    measure(sys.argv[1], Path(sys.argv[2]), given[0] or "test", given[1])
