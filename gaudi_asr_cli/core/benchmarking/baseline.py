"""The baseline: transformers' pipeline as its users call it, on the same audio."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gaudi_asr_cli.core.benchmarking.percentiles import Spread, measure_spread
from gaudi_asr_cli.core.benchmarking.repeats import Repeat
from gaudi_asr_cli.core.benchmarking.workload import Workload
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.models.ctc.model import CtcModel
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ
from gaudi_asr_cli.core.text.vocabulary import write_tokenizer_files

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

    It outputs the `unknown` token as text; that is removed before texts are compared.
    """

    pipeline: Any
    workload: Workload
    unknown: str

    def transcribe_clips(self) -> PipelineRun:
        """Load and transcribe the whole workload once, timed."""
        started = time.perf_counter()
        texts = []
        for utterance in self.workload.utterances:
            samples = self.workload.load(utterance.audio).samples
            result = self.pipeline({"raw": samples, "sampling_rate": SAMPLE_RATE_HZ})
            texts.append(str(result["text"]).replace(self.unknown, ""))
        return PipelineRun(time.perf_counter() - started, tuple(texts))


def open_pipeline(model: CtcModel, workload: Workload) -> PipelineBaseline:
    """Open the pipeline around a model with fp32 weights."""
    import transformers

    extractor = getattr(
        transformers,
        str(model.frontend.settings.get("feature_extractor_type", "Wav2Vec2FeatureExtractor")),
    )
    with quiet_transformers(), TemporaryDirectory(prefix="gaudi-asr-") as scratch:
        write_tokenizer_files(model.vocabulary, Path(scratch))
        pipeline = transformers.pipeline(
            "automatic-speech-recognition",
            model=model.network,
            tokenizer=transformers.Wav2Vec2CTCTokenizer.from_pretrained(scratch),
            feature_extractor=extractor.from_dict(dict(model.frontend.settings)),
            device=model.device.torch_device,
            trust_remote_code=False,
        )
    return PipelineBaseline(pipeline, workload, str(pipeline.tokenizer.unk_token))


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
