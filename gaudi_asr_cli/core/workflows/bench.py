"""`bench`: the inference speed of a model on a device, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.benchmarking.baseline import (
    Baseline,
    PipelineBaseline,
    PipelineRun,
    check_baseline,
    open_pipeline,
    summarize_baseline,
)
from gaudi_asr_cli.core.benchmarking.figures import (
    BucketFigures,
    GenerationFigures,
    all_latencies_s,
    bucket_figures,
    generation_figures,
    run_padding,
)
from gaudi_asr_cli.core.benchmarking.habana import HabanaFigures, habana_figures, write_perf_csv
from gaudi_asr_cli.core.benchmarking.model_under_test import ModelSource, open_model_under_test
from gaudi_asr_cli.core.benchmarking.percentiles import (
    Latency,
    Spread,
    measure_spread,
    summarize_latency,
)
from gaudi_asr_cli.core.benchmarking.profiling import OperatorShare, profile_repeat
from gaudi_asr_cli.core.benchmarking.repeats import BENCHMARK_PHASES, Repeat, Repeats, pick_warm_up
from gaudi_asr_cli.core.benchmarking.saved import SCHEMA, require_new_files, save_result
from gaudi_asr_cli.core.benchmarking.workload import Workload, make_workload, read_workload
from gaudi_asr_cli.core.data.buckets import RULES, choose_edges_auto
from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.evaluation.comparison import plan_comparison
from gaudi_asr_cli.core.evaluation.score import score_json, summarize
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.events import Noticed, Observer, ignore, sum_speech_s
from gaudi_asr_cli.core.inference.options import DEFAULT_OPTIONS, InferenceOptions
from gaudi_asr_cli.core.records import Score

DEFAULT_UTTERANCES = 40
DUMMY_UTTERANCES = 73
"""The size of the sample that wav2vec.py called dev-clean."""
DEFAULT_REPEATS = 3
DEFAULT_TIME_S = 20.0
"""Without `--repeat` no further repeat starts after this; with a baseline all are run."""
NORMALIZER = "basic"
SHAPE_COST_S = 300.0
"""Cost of compiling a shape in seconds of audio, for `--buckets auto`: 1 s at an RTFx of 300."""
FREE_SHAPE_COST_S = 1.0
"""The same on a device that compiles nothing; buckets then only group the figures."""
BASE, LARGE = "wav2vec2-base", "wav2vec2-large-lv60"
TRAINED_MODELS = {
    BASE: "facebook/wav2vec2-base-960h",
    LARGE: "facebook/wav2vec2-large-960h-lv60-self",
}
"""Shape -> the default model for real data, as in wav2vec.py."""


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What to measure. Without `data`, synthetic speech; without `model` too, random weights.

    `buckets` of 0 chooses the number by cost; `limit` None is 40 synthetic utterances or all of
    the data, 0 is all; `repeat` None is up to 3, as many as start within `DEFAULT_TIME_S`;
    `graphs` None is what `infer` does on the device. `decoding` holds the options of decoding, as
    for `infer`; the fields below replace the others of it.
    """

    model: str | None = None
    data: tuple[str, ...] = ()
    read: ReadOptions = field(default_factory=ReadOptions)
    large: bool = False
    dev_clean: bool = False
    accuracy: bool = False
    decoding: InferenceOptions = DEFAULT_OPTIONS
    dtype: str = "auto"
    int8: bool = False
    language: str | None = None
    vad: str = "off"
    buckets: int = 5
    bucket_rule: str = "optimal"
    graphs: bool | None = None
    graph_async: bool | None = None
    batch_s: float | None = None
    repeat: int | None = None
    limit: int | None = None
    baseline: str | None = None
    profile: bool = False
    perf_csv: Path | None = None
    save: Path | None = None
    seed: int = 42

    @property
    def shape(self) -> str:
        return LARGE if self.large else BASE


@dataclass(frozen=True, slots=True)
class BenchReport:
    """The result of a benchmark. Times and RTFx are of one pass: the median of the repeats.

    `padding` is padded over real audio as it ran; that of a bucket is for padding to its edge.
    `phases_s` overlap. With `side_by_side` over 1, that many utterances are transcribed in
    parallel, each on one thread, and latencies are measured so.
    """

    model: str
    random_weights: bool
    sound: str
    synthetic: bool
    device: str
    device_name: str
    dtype: str
    engine: str
    side_by_side: int
    graphs: bool
    bucket_rule: str
    buckets: tuple[BucketFigures, ...]
    padding: float
    graphs_captured: int
    compile_s: float
    load_s: float
    utterances: int
    failed: int
    audio_s: float
    speech_s: float | None
    repeat: int
    wall_s: Spread
    rtfx: Spread
    latency_ms: Latency
    phases_s: dict[str, float]
    peak_memory_mb: float
    habana: HabanaFigures
    generation: GenerationFigures | None
    score: Score | None
    baseline: Baseline | None
    profile: tuple[OperatorShare, ...] = ()

    @property
    def exit_code(self) -> int:
        """Return 0, or the exit code of `DataError` if some utterances failed."""
        return DataError.exit_code if self.failed else 0

    def to_json(self) -> dict[str, Any]:
        plain = asdict(self)
        spread = {"wall_s": plain["wall_s"], "rtfx": plain["rtfx"]}
        habana = plain["habana"]
        return {
            "schema": SCHEMA,
            **plain,
            "wall_s": self.wall_s.median,
            "rtfx": self.rtfx.median,
            "spread": spread,
            "samples_per_ms": habana["tokens_per_ms"],
            "ms_per_10k_samples": habana["ms_per_10k_tokens"],
            "score": None if self.score is None else score_json(self.score),
        }


def bench(request: BenchRequest, device: Device, observe: Observer = ignore) -> BenchReport:
    """Transcribe the same workload several times and report the speed.

    Raises:
        UsageError: An option is invalid, or a file to be written exists.
        DataError: The data cannot be read, or the model is not a speech recogniser.
        UnreachableError: The hub id is neither cached nor reachable.
    """
    _check(request)
    workload = _open_workload(request, observe)
    edges_s = _choose_edges(request, workload, device)
    options = _choose_options(request, edges_s, device, observe)
    model_under_test = open_model_under_test(_source(request), device, options)
    recognizer, graphs = model_under_test.recognizer, model_under_test.recognizer.graphs
    for note in recognizer.notes:
        observe(Noticed(note))
    repeats = Repeats(recognizer, workload, device)
    compile_s = repeats.warm_up(pick_warm_up(workload.durations_s, edges_s))
    run = _run(request, repeats, device, observe)
    report = BenchReport(
        model=model_under_test.source.title,
        random_weights=model_under_test.source.name is None,
        sound=workload.name,
        synthetic=workload.synthetic,
        device=device.name,
        device_name=device.description,
        dtype=recognizer.dtype,
        engine=recognizer.backend,
        side_by_side=recognizer.parallel,
        graphs=graphs is not None,
        bucket_rule=request.bucket_rule,
        buckets=bucket_figures(edges_s, workload.durations_s, run.repeats),
        padding=run_padding(run.repeats[0].results),
        graphs_captured=0 if graphs is None else graphs.captured,
        compile_s=compile_s,
        load_s=model_under_test.load_s,
        utterances=len(workload.utterances),
        failed=sum(one.done.error is not None for one in run.repeats[0].results),
        audio_s=workload.audio_s,
        speech_s=sum_speech_s(one.done for one in run.repeats[0].results),
        repeat=len(run.repeats),
        wall_s=measure_spread([one.wall_s for one in run.repeats]),
        rtfx=measure_spread([workload.audio_s / one.wall_s for one in run.repeats]),
        latency_ms=summarize_latency(all_latencies_s(run.repeats)),
        phases_s=_mean_phases(run.repeats, workload),
        peak_memory_mb=run.peak_memory_mb,
        habana=_habana_figures(run.repeats, workload),
        generation=generation_figures(run.repeats),
        score=_score(request, workload, run.repeats[0]),
        baseline=summarize_baseline(run.repeats, run.baseline_runs, workload)
        if run.baseline_runs
        else None,
        profile=profile_repeat(repeats) if request.profile else (),
    )
    _write(request, report, run.repeats[0])
    return report


@dataclass(frozen=True, slots=True)
class _BenchmarkRun:
    """Interleaved repeats of the model and its baseline; the peak memory is of the model alone."""

    repeats: list[Repeat]
    baseline_runs: list[PipelineRun]
    peak_memory_mb: float


def _run(
    request: BenchRequest, passes: Repeats, device: Device, observe: Observer
) -> _BenchmarkRun:
    """Run the model and its baseline in turns, so that other load on the machine affects both."""
    started_s = time.perf_counter()
    repeats = [passes.transcribe_clips("repeat 1", observe)]
    # Before the model of the baseline is opened: on a CPU this is the memory of the process.
    peak_memory_mb = device.peak_memory_mb()
    pipeline = _open_baseline(request, passes.workload, device)
    baseline_runs = [pipeline.transcribe_clips()] if pipeline else []
    while _needs_repeat(request, len(repeats), started_s):
        repeats.append(passes.transcribe_clips(f"repeat {len(repeats) + 1}", observe))
        if pipeline:
            baseline_runs.append(pipeline.transcribe_clips())
    return _BenchmarkRun(repeats, baseline_runs, peak_memory_mb)


def _open_baseline(
    request: BenchRequest, workload: Workload, device: Device
) -> PipelineBaseline | None:
    if request.baseline is None:
        return None
    options = InferenceOptions(language=request.language)
    return open_pipeline(_source(request).open_baseline(device, options), workload)


def _check(request: BenchRequest) -> None:
    check_baseline(request.baseline)
    require_new_files([request.save, request.perf_csv])
    if request.bucket_rule not in RULES:
        raise UsageError(
            f"There is no bucket rule '{request.bucket_rule}'.",
            remedy=f"Choose one of {', '.join(RULES)}.",
        )


def _open_workload(request: BenchRequest, observe: Observer) -> Workload:
    if request.data:
        return read_workload(request.data, request.read, request.limit or 0, observe)
    default = DUMMY_UTTERANCES if request.dev_clean else DEFAULT_UTTERANCES
    return make_workload(default if request.limit is None else request.limit, request.seed)


def _source(request: BenchRequest) -> ModelSource:
    name = request.model
    if name is None and request.data:
        name = TRAINED_MODELS[request.shape]
    return ModelSource(name, request.shape, request.seed)


def _needs_repeat(request: BenchRequest, done: int, started_s: float) -> bool:
    """Return whether to run one more repeat: up to `--repeat`, or as many as fit the time."""
    if request.repeat is not None:
        return done < request.repeat
    in_time = time.perf_counter() - started_s < DEFAULT_TIME_S or request.baseline is not None
    return done < DEFAULT_REPEATS and in_time


def _choose_edges(request: BenchRequest, workload: Workload, device: Device) -> list[float]:
    if request.buckets == 0:
        cost_s = SHAPE_COST_S if device.recompiles_on_new_shapes else FREE_SHAPE_COST_S
        return choose_edges_auto(workload.durations_s, cost_s)
    return RULES[request.bucket_rule](workload.durations_s, request.buckets)


def _choose_options(
    request: BenchRequest, edges_s: Sequence[float], device: Device, observe: Observer
) -> InferenceOptions:
    """Return the inference options, with a notice for each option that has no effect here."""
    if request.accuracy and not request.data:
        observe(
            Noticed(
                "Synthetic speech has no words, so there is no word error rate.",
                remedy="Name a trained model and data: --model facebook/wav2vec2-base-960h --data "
                "openslr/librispeech_asr --config clean --split test",
            )
        )
    if request.graph_async is not None:
        observe(Noticed("--graph-async has no effect: copies are always asynchronous."))
    graphs = request.graphs
    if graphs and not device.prefers_batching:
        observe(Noticed(f"The device {device.name} has no graphs; the network runs without them."))
        graphs = False
    return replace(
        request.decoding,
        dtype=request.dtype,
        language=request.language,
        timestamps="none",
        int8=request.int8,
        graphs=graphs,
        batch_s=request.batch_s,
        edges_s=tuple(edges_s),
        vad=request.vad,
    )


def _score(request: BenchRequest, workload: Workload, repeat: Repeat) -> Score | None:
    """Score the utterances with text, always: it costs little."""
    if not workload.has_text:
        return None
    comparison = plan_comparison(NORMALIZER)
    scored = [
        score_utterance(
            utterance,
            one.done.transcript.text,
            comparison.normalize,
            duration_s=one.done.duration_s,
        )
        for utterance, one in zip(workload.utterances, repeat.results, strict=True)
        if one.done.transcript is not None and utterance.text is not None
    ]
    return summarize(
        scored,
        comparison,
        utterances_total=len(workload.utterances),
        audio_s_total=workload.audio_s,
        rtfx=workload.audio_s / repeat.wall_s,
        phases_s=repeat.phases_s,
        seed=request.seed,
    )


def _mean_phases(repeats: Sequence[Repeat], workload: Workload) -> dict[str, float]:
    means = {
        phase: sum(one.phases_s.get(phase, 0.0) for one in repeats) / len(repeats)
        for phase in BENCHMARK_PHASES
    }
    return {**means, "read": workload.read_s}


def _habana_figures(repeats: Sequence[Repeat], workload: Workload) -> HabanaFigures:
    wall_s = measure_spread([one.wall_s for one in repeats]).median
    return habana_figures(workload.audio_s, len(workload.utterances), wall_s)


def _write(request: BenchRequest, report: BenchReport, repeat: Repeat) -> None:
    if request.perf_csv is not None:
        write_perf_csv(request.perf_csv, repeat.results)
    if request.save is not None:
        save_result(request.save, report.to_json())
