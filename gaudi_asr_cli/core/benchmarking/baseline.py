"""The baseline: transformers' pipeline as its users call it, on the same audio."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.benchmarking.percentiles import Spread, measure_spread
from gaudi_asr_cli.core.benchmarking.repeats import Repeat
from gaudi_asr_cli.core.benchmarking.workload import Workload
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.inference.recognizer import PipelineArguments, Recognizer
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BASELINES = ("transformers",)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Figures of the baseline; `ratio` is our speed-up over it, repeat by repeat.

    `same_text` counts the utterances with the same text from both.
    """

    name: str
    dtype: str
    batch: int
    wall_s: float
    rtfx: float
    ratio: Spread
    same_text: int
    utterances: int


def check_baseline(name: str | None) -> None:
    """Check that a baseline, if any, is known.

    Raises:
        UsageError: It is not one of `BASELINES`.
    """
    if name is not None and name not in BASELINES:
        raise UsageError(
            f"There is no baseline '{name}'.", remedy=f"Choose one of {', '.join(BASELINES)}."
        )


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """One pass of the pipeline over the workload."""

    wall_s: float
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PipelineBaseline:
    """transformers' pipeline with the same weights in fp32, at batch size 1.

    It outputs the unknown token of a CTC model as text; that is removed before texts are compared.
    """

    pipeline: Any
    workload: Workload
    arguments: PipelineArguments
    max_chunk_s: float

    def transcribe_clips(self) -> PipelineRun:
        """Load and transcribe the whole workload once, timed."""
        started = time.perf_counter()
        texts = []
        for utterance in self.workload.utterances:
            samples = self.workload.load(utterance.audio).samples
            text = self._transcribe(samples)
            texts.append(text.replace(self.arguments.unknown or "\0", ""))
        return PipelineRun(time.perf_counter() - started, tuple(texts))

    def _transcribe(self, samples: NDArray[np.float32]) -> str:
        is_long = len(samples) > self.max_chunk_s * SAMPLE_RATE_HZ
        more = self.arguments.long_call if is_long else {}
        clip = {"raw": samples, "sampling_rate": SAMPLE_RATE_HZ}
        with quiet_transformers():
            return str(self.pipeline(clip, **self.arguments.call, **more)["text"])


def open_pipeline(recognizer: Recognizer, workload: Workload) -> PipelineBaseline:
    """Open the pipeline around the weights of a recogniser with the mode `transformers`."""
    import transformers

    with quiet_transformers(), TemporaryDirectory(prefix="gaudi-asr-") as scratch:
        arguments = recognizer.pipeline_arguments(Path(scratch))
        pipeline = transformers.pipeline(
            "automatic-speech-recognition",
            **arguments.pipeline,
            device=recognizer.device.torch_device,
            trust_remote_code=False,
        )
    return PipelineBaseline(pipeline, workload, arguments, recognizer.max_chunk_s)


def summarize_baseline(
    repeats: list[Repeat], baseline_runs: list[PipelineRun], workload: Workload
) -> Baseline:
    """Summarize the runs of the baseline, each compared with the repeat of the same number."""
    walls_s = measure_spread([one.wall_s for one in baseline_runs])
    transcripts = [one.done.transcript for one in repeats[0].results]
    same = sum(
        transcript is not None and transcript.text.split() == text.split()
        for transcript, text in zip(transcripts, baseline_runs[0].texts, strict=True)
    )
    pairs = zip(repeats, baseline_runs, strict=True)
    return Baseline(
        name="transformers pipeline",
        dtype="fp32",
        batch=1,
        wall_s=walls_s.median,
        rtfx=workload.audio_s / walls_s.median,
        ratio=measure_spread([run.wall_s / repeat.wall_s for repeat, run in pairs]),
        same_text=same,
        utterances=len(transcripts),
    )
