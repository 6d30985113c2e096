"""An NVIDIA GPU: texts compared with a CPU, speed compared with the pipeline of transformers.

    python benchmarks/cuda_card.py --data ../shared/data/clips --model demo
    python benchmarks/cuda_card.py --shapes base large --utterances 200
    python benchmarks/cuda_card.py --device cpu --shapes base --utterances 2 --matmul 512

The first part transcribes a data set on the CPU in fp32 and on the GPU in fp32 and bf16, with and
without graphs, and counts equal texts. The second transcribes synthetic audio with random weights,
interleaved: ours, and the pipeline at each batch size, in the same precision; its fastest batch is
the baseline. The utilisation is the FLOP/s of the model over those of a large matrix product in
the same precision. No result of this benchmark is known yet: it has not been run on a GPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from machine import describe_machine

from gaudi_asr_cli.core.benchmarking.baseline import open_pipeline
from gaudi_asr_cli.core.benchmarking.repeats import Repeats
from gaudi_asr_cli.core.benchmarking.shapes import SHAPES, open_random_model
from gaudi_asr_cli.core.benchmarking.workload import Workload, make_workload
from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.devices.base import Device, torch_dtype
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import Recognizer, open_recognizer
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Utterance

GFLOP_PER_AUDIO_S = {"base": 14.6, "large": 37.8}
"""GFLOP per second of audio: convolutions, linear layers and attention."""

NAMES = {"base": "wav2vec2-base", "large": "wav2vec2-large-lv60"}
BUCKETS = 8
SEED = 42


def texts_of(
    name: str, device: Device, dtype: str, graphs: bool, utterances: Sequence[Utterance]
) -> list[str]:
    """Return the text of each utterance, or its error."""
    options = InferenceOptions(dtype=dtype, graphs=graphs, buckets=BUCKETS)
    results = transcribe(open_recognizer(name, device, options), utterances)
    return [str(one.error) if one.transcript is None else one.transcript.text for one in results]


def compare_texts(name: str, source: str, device: Device) -> Iterator[str]:
    """Yield a line per precision with the number of texts that equal those of the CPU."""
    utterances = list(read_utterances(source))
    expected = texts_of(name, open_device("cpu"), "fp32", False, utterances)
    yield "| dtype | graphs | text as on the CPU |"
    yield "|---|---|---|"
    for dtype in ("fp32", device.choose_dtype()):
        for graphs in (False, True) if device.prefers_batching else (False,):
            texts = texts_of(name, device, dtype, graphs, utterances)
            same = sum(a == b for a, b in zip(texts, expected, strict=True))
            yield f"| {dtype} | {'on' if graphs else 'off'} | {same} of {len(utterances)} |"


@dataclass(frozen=True, slots=True)
class Timed:
    """The seconds of a system for the workload, of each repeat."""

    name: str
    seconds: list[float]

    def rate(self, audio_s: float) -> float:
        return audio_s / median(self.seconds)


def compare_speed(shape: str, device: Device, workload: Workload, options: Any) -> Iterator[str]:
    """Yield lines of ours with and without graphs, and of the pipeline at each batch size."""
    dtype = device.choose_dtype()
    ours = [_open_ours(shape, device, graphs, workload) for graphs in _graphs(device)]
    plain = InferenceOptions(mode="transformers", dtype=dtype)
    pipeline = open_pipeline(_open_random(shape, device, plain), workload).pipeline
    pipeline.model.to(torch_dtype(dtype))
    clips = [load(workload, one) for one in workload.utterances]
    timed = [Timed(name, []) for name, _ in ours] + [
        Timed(f"pipeline, batch {batch}", []) for batch in options.batches
    ]
    # The first repeat warms up and does not count.
    for number in range(options.repeats + 1):
        seconds = [repeats.transcribe_clips("repeat").wall_s for _, repeats in ours]
        seconds += [_transcribe_with(pipeline, clips, batch) for batch in options.batches]
        for one, took in zip(timed, seconds, strict=True):
            if number:
                one.seconds.append(took)
    peak_tflops = measure_matmul(device, dtype, options.matmul)
    best = max(one.rate(workload.audio_s) for one in timed[len(ours) :])
    yield f"| {shape} {dtype} | RTFx | x fastest pipeline | of a matrix product |"
    yield "|---|---|---|---|"
    for one in timed:
        rate = one.rate(workload.audio_s)
        share = rate * GFLOP_PER_AUDIO_S[shape] / 1000 / peak_tflops
        yield f"| {one.name} | {rate:.0f} | {rate / best:.2f} | {share:.1%} |"
    yield f"(a product of square matrices of size {options.matmul}: {peak_tflops:.1f} TFLOP/s)"


def measure_matmul(device: Device, dtype: str, size: int) -> float:
    """TFLOP/s of the product of two square matrices, the best of several."""
    draw = torch.Generator().manual_seed(SEED)
    left, right = (
        torch.randn(size, size, generator=draw).to(device.torch_device, torch_dtype(dtype))
        for _ in range(2)
    )
    best_s = float("inf")
    for _ in range(10):
        device.synchronize()
        started = time.perf_counter()
        left @ right
        device.synchronize()
        best_s = min(best_s, time.perf_counter() - started)
    return 2 * size**3 / best_s / 1e12


def load(workload: Workload, utterance: Utterance) -> dict[str, Any]:
    """An utterance as the pipeline takes it."""
    samples = workload.load(utterance.audio).samples
    return {"raw": np.asarray(samples), "sampling_rate": SAMPLE_RATE_HZ}


def _graphs(device: Device) -> tuple[bool, ...]:
    return (False, True) if device.prefers_batching else (False,)


def _open_random(shape: str, device: Device, options: InferenceOptions) -> Recognizer:
    return open_random_model(SHAPES[NAMES[shape]], device, options, seed=SEED)


def _open_ours(shape: str, device: Device, graphs: bool, workload: Workload) -> tuple[str, Repeats]:
    options = InferenceOptions(graphs=graphs, buckets=BUCKETS)
    repeats = Repeats(_open_random(shape, device, options), workload, device)
    return f"ours, graphs {'on' if graphs else 'off'}", repeats


def _transcribe_with(pipeline: Any, clips: Sequence[dict[str, Any]], batch: int) -> float:
    # The pipeline modifies its inputs.
    copies = [dict(one) for one in clips]
    started = time.perf_counter()
    for _ in pipeline(copies, batch_size=batch):
        pass
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", help="data in any layout, to compare texts")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--shapes", nargs="*", default=[], choices=sorted(GFLOP_PER_AUDIO_S))
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--repeats", "--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16, 32, 64])
    parser.add_argument("--matmul", type=int, default=8192)
    options = parser.parse_args()
    device = open_device(options.device)
    print(f"{device.description}; {describe_machine()}\n")
    if options.data:
        for line in compare_texts(options.model, options.data, device):
            print(line, flush=True)
    workload = make_workload(options.utterances, SEED)
    for shape in options.shapes:
        print()
        for line in compare_speed(shape, device, workload, options):
            print(line, flush=True)


if __name__ == "__main__":
    main()
