"""Texts of our CPU engine in each precision compared with plain transformers in fp32.

    python benchmarks/text_parity.py MODEL DATA      # any data with text, and a model for it

Rates are of raw text. `same text` counts utterances; `frames` is the share of frames whose best
token is transformers' own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from machine import describe_machine
from numpy.typing import NDArray

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.evaluation.counts import count_errors
from gaudi_asr_cli.core.inference.ctc import EmissionModel, open_full_precision
from gaudi_asr_cli.core.inference.recognizer import batch_one
from gaudi_asr_cli.core.models.cpu.ctc import pack
from gaudi_asr_cli.core.records import Utterance

PRECISIONS = ("fp32", "bf16", "int16", "int8")


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """The texts and best tokens of all utterances, computed in one way."""

    texts: tuple[str, ...]
    best: NDArray[np.int64]
    """The best token of every frame of all utterances (F,)."""

    def error_rate(self, references: Sequence[str]) -> float:
        counts = [
            count_errors(reference.split(), text.split())
            for reference, text in zip(references, self.texts, strict=True)
        ]
        return sum(counts[1:], counts[0]).rate


def transcribe_clips(
    model: EmissionModel, decoder: GreedyDecoder, utterances: Sequence[Utterance]
) -> Hypotheses:
    texts, best = [], []
    for utterance in utterances:
        emissions = model.emissions(batch_one(load_audio(utterance.audio).samples, utterance))
        texts.append(decoder.decode(emissions, 0, utterance).text)
        best.append(emissions.log_probs[0].argmax(-1))
    return Hypotheses(tuple(texts), np.concatenate(best))


def transcribe_with_transformers(folder: str, utterances: Sequence[Utterance]) -> Hypotheses:
    """Transcribe with the model class and the processor of transformers and their defaults."""
    from transformers import AutoModelForCTC, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    network = AutoModelForCTC.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    ).eval()
    texts, best = [], []
    for utterance in utterances:
        samples = load_audio(utterance.audio).samples
        inputs = processor(samples, sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            tokens = network(**inputs).logits.argmax(-1)
        texts.append(processor.batch_decode(tokens)[0])
        best.append(tokens[0].numpy())
    return Hypotheses(tuple(texts), np.concatenate(best))


def tabulate(name: str, utterances: Sequence[Utterance]) -> Iterator[str]:
    references = [utterance.text or "" for utterance in utterances]
    expected = transcribe_with_transformers(name, utterances)
    yield "| way | WER | same text | frames |"
    yield "|---|---|---|---|"
    yield f"| transformers fp32 | {expected.error_rate(references):.2%} | | |"
    for precision in PRECISIONS:
        model = open_full_precision(name, device=open_cpu(), dtype="fp32")
        packed = pack(model, precision)
        assert packed is not None, "the CPU engine does not support this model"
        found = transcribe_clips(packed, GreedyDecoder(packed.vocabulary), utterances)
        same = sum(a == b for a, b in zip(found.texts, expected.texts, strict=True))
        frames = float((found.best == expected.best).mean())
        yield (
            f"| ours {precision} | {found.error_rate(references):.2%} "
            f"| {same} of {len(references)} | {frames:.4f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("data")
    arguments = parser.parse_args()
    print(describe_machine() + "\n")
    for line in tabulate(arguments.model, list(read_utterances(arguments.data))):
        print(line, flush=True)


if __name__ == "__main__":
    main()
