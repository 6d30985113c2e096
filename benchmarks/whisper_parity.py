"""Tokens of Whisper against transformers' `generate`, clip by clip, without fallback and VAD.

    python benchmarks/whisper_parity.py MODEL MANIFEST [BEAMS ...] [--dtype int16]

MODEL is a Whisper in transformers' format, MANIFEST a data set of short clips. BEAMS are beam
sizes, 1 (greedy) without any. transformers computes in fp32, ours too unless another dtype is
given. The exit code is 1 if a clip differs.
"""

import argparse
import sys

import torch
from machine import describe_machine
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import open_recognizer
from gaudi_asr_cli.core.models.seq2seq.generation import is_multilingual
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ


def compare(model_name: str, manifest: str, beams: int, dtype: str) -> int:
    """Print the clips that differ, and return how many."""
    options = InferenceOptions(dtype=dtype, beams=beams, timestamps="none")
    recognizer = open_recognizer(model_name, open_device("cpu"), options)
    processor = AutoProcessor.from_pretrained(model_name)
    network = AutoModelForSpeechSeq2Seq.from_pretrained(model_name, dtype=torch.float32).eval()
    # Without a task, transformers would leave it out of the prompt where it detects the language.
    task = {"task": "transcribe"} if is_multilingual(network.generation_config) else {}
    utterances = list(read_utterances(manifest))
    different = count = 0
    for utterance in utterances:
        samples = load_audio(utterance.audio).samples
        if len(samples) > recognizer.max_chunk_s * SAMPLE_RATE_HZ:
            continue
        features = processor(samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            ids = network.generate(
                features.input_features, num_beams=beams, force_unique_generate_call=True, **task
            )
        expected = recognizer.model.reader.read(ids.tolist(), times=False).rows[0].tokens
        found = recognizer.infer(samples, utterance).rows[0].tokens
        count += 1
        if found != expected:
            different += 1
            print(f"{utterance.id}: {found} instead of {expected}")
    print(f"{model_name}, {dtype}, beam size {beams}: {count - different} of {count} clips equal")
    return different


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("manifest")
    parser.add_argument("beams", nargs="*", type=int, default=[1])
    parser.add_argument("--dtype", default="fp32", help="of ours")
    asked = parser.parse_args()
    print(describe_machine() + "\n")
    differing = [compare(asked.model, asked.manifest, one, asked.dtype) for one in asked.beams]
    sys.exit(1 if any(differing) else 0)
