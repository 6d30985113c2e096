"""transformers' pipeline as its users call it, on the same sound: what we are measured against."""

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
    """The pipeline's figures; `ratio` is how much faster we were, repeat by repeat.

    `same_text` counts utterances of which both made the same text.
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
    """Refuse a baseline that nobody knows.

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
    """transformers' pipeline with the same weights in fp32, one utterance after another.

    It writes `unknown` where the model is sure of no letter; that is no text, and left out.
    """

    pipeline: Any
    workload: Workload
    unknown: str

    def transcribe_clips(self) -> PipelineRun:
        """Load and hear everything once, against the clock."""
        started = time.perf_counter()
        texts = []
        for utterance in self.workload.utterances:
            samples = self.workload.load(utterance.audio).samples
            heard = self.pipeline({"raw": samples, "sampling_rate": SAMPLE_RATE_HZ})
            texts.append(str(heard["text"]).replace(self.unknown, ""))
        return PipelineRun(time.perf_counter() - started, tuple(texts))


def open_pipeline(model: CtcModel, workload: Workload) -> PipelineBaseline:
    """The pipeline around a model whose weights are fp32."""
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
    ours: list[Repeat], theirs: list[PipelineRun], workload: Workload
) -> Baseline:
    """Both sides' repeats, compared pair by pair."""
    walls_s = measure_spread([one.wall_s for one in theirs])
    heard = [one.done.transcript for one in ours[0].heard]
    same = sum(
        transcript is not None and transcript.text.split() == text.split()
        for transcript, text in zip(heard, theirs[0].texts, strict=True)
    )
    pairs = zip(ours, theirs, strict=True)
    return Baseline(
        name="transformers pipeline",
        dtype="fp32",
        batch=1,
        wall_s=walls_s.median,
        rtfx=workload.audio_s / walls_s.median,
        ratio=measure_spread([their.wall_s / our.wall_s for our, their in pairs]),
        same_text=same,
        utterances=len(heard),
    )
