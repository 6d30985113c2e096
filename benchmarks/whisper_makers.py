"""A real Whisper on real clips against faster-whisper: seconds, words wrong, tokens.

    OMP_NUM_THREADS=1 python benchmarks/whisper_makers.py MODEL MANIFEST [--long] [--rounds 3]

MODEL is a Whisper in transformers' format (converted for faster-whisper on the spot), MANIFEST a
data set of short clips with text. With --long the clips are joined to one file of `--minutes`
with pauses. Needs faster-whisper and whisper-normalizer. Systems run one after the other in each
round, each in a process of its own (beside CTranslate2 in one process ours took up to a fifth
longer); a ratio is that of one round. All decode greedily, or with --beams, at temperature 0
without conditioning on previous text; ours with its default dtype. faster-whisper's sequential
transcription runs without and with voice activity detection, which its batched pipeline always has;
ours with it, and without it both with `--long auto` and `sequential` (docs/seq2seq.md).
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from machine import describe_machine

from gaudi_asr_cli import load_model, score
from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

Clips = list[np.ndarray]
Run = Callable[[Clips], list[tuple[str, int]]]
"""Returns the text of each clip, and its number of tokens."""
OpenRun = Callable[[], Run]


class System:
    """A recogniser in a process of its own, opened on the first run."""

    _run: Run

    def __init__(self, open_run: OpenRun) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, spawn, System._open, (open_run,))

    def run(self, clips: Clips) -> tuple[list[tuple[str, int]], float, float]:
        """Return what `Run` does, and the seconds of wall time and of CPU that it took."""
        return self._process.submit(System._measure, clips).result()

    @staticmethod
    def _open(open_run: OpenRun) -> None:
        System._run = staticmethod(open_run())

    @staticmethod
    def _measure(clips: Clips) -> tuple[list[tuple[str, int]], float, float]:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        found = System._run(clips)
        return found, time.perf_counter() - wall_s, time.process_time() - cpu_s


def open_ours(
    model: str, dtype: str, *, beams: int, long: str, vad: str = "off", batch: int | None = None
) -> Run:
    """Open our engine."""
    opened = load_model(
        model, dtype=dtype, temperatures=(0.0,), vad=vad, long=long,
        timestamps="none", language="en", batch_size=batch, beams=beams,
    )  # fmt: skip

    def run(clips: Clips) -> list[tuple[str, int]]:
        found = opened.transcribe(clips, rate_hz=SAMPLE_RATE_HZ)
        return [(one.text, one.tokens) for one in found]

    return run


def open_faster_whisper(
    folder: str, compute: str, *, beams: int, timestamps: bool, batch: int = 0, vad: bool = False
) -> Run:
    """Open faster-whisper, with its batched pipeline if `batch` is given."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(
        folder, device="cpu", compute_type=compute, cpu_threads=torch.get_num_threads()
    )
    options = {"language": "en", "beam_size": beams, "temperature": 0.0}
    if batch:
        pipeline = BatchedInferencePipeline(model)
        transcribe, options = pipeline.transcribe, {**options, "batch_size": batch}
    else:
        transcribe = model.transcribe
        options |= {
            "condition_on_previous_text": False,
            "without_timestamps": not timestamps,
            "vad_filter": vad,
        }

    def run(clips: Clips) -> list[tuple[str, int]]:
        found = []
        for clip in clips:
            segments = list(transcribe(clip, **options)[0])
            tokens = sum(len(one.tokens) for one in segments)
            found.append(("".join(one.text for one in segments).strip(), tokens))
        return found

    return run


def convert(model: str, scratch: str) -> str:
    """Convert the checkpoint to CTranslate2's format, once."""
    from ctranslate2.converters import TransformersConverter

    target = Path(scratch) / "ctranslate2"
    if not target.exists():
        copied = ["tokenizer.json", "preprocessor_config.json"]
        TransformersConverter(model, copy_files=copied).convert(str(target))
    return str(target)


def join_clips(
    clips: Clips, texts: list[str], minutes: float, seed: int = 0
) -> tuple[Clips, list[str]]:
    """Return one file of all clips in random order, again and again, and their texts in order.

    Pauses last 0.2 to 1.5 s. No clip follows itself: a Whisper drops the second of two equal
    sentences.
    """
    random = np.random.default_rng(seed)
    parts, said, length = [], [], 0
    order: list[int] = []
    while length < 60 * minutes * SAMPLE_RATE_HZ:
        if not order:
            last = said[-1] if said else None
            order = random.permutation(len(clips)).tolist()
            if texts[order[0]] == last:
                order.reverse()
        chosen = order.pop(0)
        pause = np.zeros(int(random.uniform(0.2, 1.5) * SAMPLE_RATE_HZ), np.float32)
        parts += [clips[chosen], pause]
        said.append(texts[chosen])
        length += len(clips[chosen]) + len(pause)
    return [np.concatenate(parts)], said


def list_long(arguments: argparse.Namespace, folder: str) -> dict[str, OpenRun]:
    """Return the systems for a long file, `folder` being the converted checkpoint."""
    theirs, systems = "faster-whisper int8", dict[str, OpenRun]()
    beams = arguments.beams
    open_theirs = partial(open_faster_whisper, folder, "int8", beams=beams, timestamps=True)
    for name, vad in ((f"{theirs}, sequential", False), (f"{theirs}, sequential, VAD", True)):
        systems[name] = partial(open_theirs, vad=vad)
    for batch in arguments.batches:
        systems[f"{theirs}, batched {batch}"] = partial(open_theirs, batch=batch)
    for dtype in arguments.dtypes:
        open_own = partial(open_ours, arguments.model, dtype, beams=beams)
        systems[f"ours {dtype}, no VAD, one window at a time"] = partial(
            open_own, long="sequential"
        )
        for batch in arguments.batches:
            for name, vad in (("no VAD", "off"), ("VAD", "auto")):
                systems[f"ours {dtype}, {name}, batches of {batch}"] = partial(
                    open_own, long="auto", vad=vad, batch=batch
                )
    return systems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("manifest")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--batches", nargs="+", type=int, default=[8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--dtypes", nargs="+", default=["auto"])
    parser.add_argument("--converted", help="folder that keeps the converted checkpoint")
    arguments = parser.parse_args()
    utterances = [one for one in read_utterances(arguments.manifest) if one.text]
    clips = [load_audio(one.audio).samples for one in utterances]
    texts = [one.text or "" for one in utterances]
    folder = convert(arguments.model, arguments.converted or tempfile.mkdtemp())
    listed: dict[str, OpenRun] = {}
    if arguments.long:
        clips, said = join_clips(clips, texts, arguments.minutes)
        texts = [" ".join(said)]
        listed = list_long(arguments, folder)
    else:
        listed["faster-whisper int8"] = partial(
            open_faster_whisper, folder, "int8", beams=arguments.beams, timestamps=False
        )
        for dtype in arguments.dtypes:
            listed[f"ours {dtype}"] = partial(
                open_ours, arguments.model, dtype, beams=arguments.beams, long="auto"
            )
    systems = {name: System(open_run) for name, open_run in listed.items()}
    audio_s = sum(map(len, clips)) / SAMPLE_RATE_HZ
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
    results = {}
    for _ in range(arguments.rounds):
        for name, system in systems.items():
            results[name], *taken_s = system.run(clips)
            seconds[name].append(tuple(taken_s))
            print(f"{name}: {seconds[name][-1]} seconds of wall and CPU", file=sys.stderr)
    print(f"{describe_machine(threads=torch.get_num_threads())}; {audio_s:.0f} s of audio\n")
    print("| | RTFx (best) | wall, x first | CPU seconds, x first | WER | tokens |")
    print("|---|---|---|---|---|---|")
    first = np.array(next(iter(seconds.values())))
    for name, found in results.items():
        ratios = np.median(first / np.array(seconds[name]), axis=0)
        wer = score(texts, [text for text, _ in found], normalizer="whisper-english").wer
        best_s = min(wall_s for wall_s, _ in seconds[name])
        print(
            f"| {name} | {audio_s / best_s:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {wer:.2%} "
            f"| {sum(tokens for _, tokens in found)} |"
        )


if __name__ == "__main__":
    main()
