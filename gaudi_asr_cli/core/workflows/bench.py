"""`bench`: how fast a model hears on a device, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
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
    bucket_figures,
    run_padding,
    whole_latencies_s,
)
from gaudi_asr_cli.core.benchmarking.habana import HabanaFigures, habana_figures, write_perf_csv
from gaudi_asr_cli.core.benchmarking.model_under_test import WorkloadSource, open_model_under_test
from gaudi_asr_cli.core.benchmarking.percentiles import (
    Latency,
    Spread,
    measure_spread,
    summarize_latency,
)
from gaudi_asr_cli.core.benchmarking.profiling import OperatorShare, profile_round
from gaudi_asr_cli.core.benchmarking.repeats import BENCHMARK_PHASES, Repeat, Repeats, pick_warm_up
from gaudi_asr_cli.core.benchmarking.saved import SCHEMA, require_new_files, save_result
from gaudi_asr_cli.core.benchmarking.workload import Workload, make_workload, read_workload
from gaudi_asr_cli.core.data.buckets import RULES, choose_edges_auto
from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.decoding import DECODERS
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.evaluation.notes import find_notes
from gaudi_asr_cli.core.evaluation.score import score_json, summarize
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.events import Noticed, Observer, ignore
from gaudi_asr_cli.core.inference.batched import BATCH_S
from gaudi_asr_cli.core.inference.ctc import InferenceOptions
from gaudi_asr_cli.core.inference.parallel import count_parallel
from gaudi_asr_cli.core.records import Score
from gaudi_asr_cli.core.text.normalizers import label_normalizer, open_normalizer
from gaudi_asr_cli.core.text.rules import TextRules

DEFAULT_UTTERANCES = 40
DUMMY_UTTERANCES = 73
"""What wav2vec.py called dev-clean: a sample of 73 utterances."""
USUAL_REPEATS = 3
USUAL_S = 20.0
"""Without `--repeat` no further round begins after this; with a baseline all are run."""
NORMALIZER = "basic"
SHAPE_COST_S = 300.0
"""What compiling a shape is worth in audio, for `--buckets auto`: a second at 300 x real time."""
FREE_SHAPE_COST_S = 1.0
"""Where nothing is compiled; buckets then only group the figures."""
BASE, LARGE = "wav2vec2-base", "wav2vec2-large-lv60"
TRAINED = {BASE: "facebook/wav2vec2-base-960h", LARGE: "facebook/wav2vec2-large-960h-lv60-self"}
"""Shape -> the model that real data is heard with, as wav2vec.py did."""


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What is measured. Without `data` synthetic sound; without both a random model.

    `buckets` of 0 are as many as pay for themselves; `limit` None is 40 synthetic utterances or
    all of the data, 0 is all; `repeat` None is up to 3, as many as fit into a short while;
    `graphs` None is what `infer` does on the device.
    """

    model: str | None = None
    data: tuple[str, ...] = ()
    read: ReadOptions = field(default_factory=ReadOptions)
    large: bool = False
    dev_clean: bool = False
    accuracy: bool = False
    dtype: str = "auto"
    int8: bool = False
    language: str | None = None
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
    """The account of a benchmark. Times and rates are of one pass: the median of the repeats.

    `padding` is padded over real audio as it ran; that of a bucket is what padding to its edge
    costs. `phases_s` overlap. Where utterances are heard `side_by_side`, each has one thread, and
    latencies are of that.
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
    repeat: int
    wall_s: Spread
    rtfx: Spread
    latency_ms: Latency
    phases_s: dict[str, float]
    peak_memory_mb: float
    habana: HabanaFigures
    score: Score | None
    baseline: Baseline | None
    profile: tuple[OperatorShare, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or that of `DataError` where some utterances could not be heard."""
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
    """Listen to the same sound several times and account for the time.

    Raises:
        UsageError: A wrong choice, or a file to be written exists.
        DataError: The data cannot be heard, or the model is none that hears.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    _check(request)
    workload = _open_workload(request, observe)
    edges_s = _choose_edges(request, workload, device)
    choices = _choose(request, edges_s, device, observe)
    model_under_test = open_model_under_test(_source(request), device, request.dtype, choices)
    listener, counts = model_under_test.listener, model_under_test.graphs
    rounds = Repeats(listener, DECODERS["greedy"](listener.vocabulary), workload, device)
    compile_s = rounds.warm_up(pick_warm_up(workload.durations_s, edges_s))
    race = _run(request, rounds, device, observe)
    report = BenchReport(
        model=model_under_test.source.title,
        random_weights=model_under_test.source.name is None,
        sound=workload.name,
        synthetic=workload.synthetic,
        device=device.name,
        device_name=device.description,
        dtype="int8" if request.int8 else listener.dtype,
        engine=model_under_test.engine,
        side_by_side=count_parallel(listener),
        graphs=counts is not None,
        bucket_rule=request.bucket_rule,
        buckets=bucket_figures(edges_s, workload.durations_s, race.ours),
        padding=run_padding(race.ours[0].heard),
        graphs_captured=0 if counts is None else counts.captured,
        compile_s=compile_s,
        load_s=model_under_test.load_s,
        utterances=len(workload.utterances),
        failed=sum(one.done.error is not None for one in race.ours[0].heard),
        audio_s=workload.audio_s,
        repeat=len(race.ours),
        wall_s=measure_spread([one.wall_s for one in race.ours]),
        rtfx=measure_spread([workload.audio_s / one.wall_s for one in race.ours]),
        latency_ms=summarize_latency(whole_latencies_s(race.ours)),
        phases_s=_mean_phases(race.ours, workload),
        peak_memory_mb=race.peak_memory_mb,
        habana=_habana_figures(race.ours, workload),
        score=_score(request, workload, race.ours[0]),
        baseline=summarize_baseline(race.ours, race.theirs, workload) if race.theirs else None,
        profile=profile_round(rounds) if request.profile else (),
    )
    _write(request, report, race.ours[0])
    return report


@dataclass(frozen=True, slots=True)
class _BenchmarkRun:
    """What both sides did in turns; the memory is ours alone, from before the other was opened."""

    ours: list[Repeat]
    theirs: list[PipelineRun]
    peak_memory_mb: float


def _run(
    request: BenchRequest, rounds: Repeats, device: Device, observe: Observer
) -> _BenchmarkRun:
    """Repeat by repeat, ours and theirs in turns: what else the machine does hits both."""
    started_s = time.perf_counter()
    ours = [rounds.transcribe_clips("round 1", observe)]
    # Before anybody else's model is opened: on a CPU it is the process's memory.
    peak_memory_mb = device.peak_memory_mb()
    pipeline = _open_baseline(request, rounds.workload, device)
    theirs = [pipeline.transcribe_clips()] if pipeline else []
    while _go_on(request, len(ours), started_s):
        ours.append(rounds.transcribe_clips(f"round {len(ours) + 1}", observe))
        if pipeline:
            theirs.append(pipeline.transcribe_clips())
    return _BenchmarkRun(ours, theirs, peak_memory_mb)


def _open_baseline(
    request: BenchRequest, workload: Workload, device: Device
) -> PipelineBaseline | None:
    if request.baseline is None:
        return None
    return open_pipeline(_source(request).open(device, "fp32"), workload)


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
    usual = DUMMY_UTTERANCES if request.dev_clean else DEFAULT_UTTERANCES
    return make_workload(usual if request.limit is None else request.limit, request.seed)


def _source(request: BenchRequest) -> WorkloadSource:
    name = request.model
    if name is None and request.data:
        name = TRAINED[request.shape]
    return WorkloadSource(name, request.shape, request.seed, request.language)


def _go_on(request: BenchRequest, rounds_done: int, started_s: float) -> bool:
    """Whether one more round is due: as many as asked for, or what fits into a short while."""
    if request.repeat is not None:
        return rounds_done < request.repeat
    short = time.perf_counter() - started_s < USUAL_S or request.baseline is not None
    return rounds_done < USUAL_REPEATS and short


def _choose_edges(request: BenchRequest, workload: Workload, device: Device) -> list[float]:
    if request.buckets == 0:
        cost_s = SHAPE_COST_S if device.recompiles_on_new_shapes else FREE_SHAPE_COST_S
        return choose_edges_auto(workload.durations_s, cost_s)
    return RULES[request.bucket_rule](workload.durations_s, request.buckets)


def _choose(
    request: BenchRequest, edges_s: Sequence[float], device: Device, observe: Observer
) -> InferenceOptions:
    """How to listen; a wish that the device cannot grant is told, and the rest still measured."""
    if request.accuracy and not request.data:
        observe(
            Noticed(
                "Synthetic sound has no words, so there is no word error rate.",
                remedy="Name a trained model and data: --model facebook/wav2vec2-base-960h --data "
                "openslr/librispeech_asr --config clean --split test",
            )
        )
    if request.graph_async is not None:
        observe(Noticed("Graphs are replayed in order and copied behind their back either way."))
    graphs = request.graphs
    if graphs and not device.prefers_batching:
        observe(Noticed(f"A {device.name} has no graphs; the network runs as it is."))
        graphs = False
    batch_s = BATCH_S if request.batch_s is None else request.batch_s
    return InferenceOptions(graphs=graphs, batch_s=batch_s, edges_s=edges_s, int8=request.int8)


def _score(request: BenchRequest, workload: Workload, heard: Repeat) -> Score | None:
    """Of what has text, always: it costs nothing."""
    if not workload.has_text:
        return None
    normalize = open_normalizer(NORMALIZER)
    scored = [
        score_utterance(
            utterance, one.done.transcript.text, normalize, duration_s=one.done.duration_s
        )
        for utterance, one in zip(workload.utterances, heard.heard, strict=True)
        if one.done.transcript is not None and utterance.text is not None
    ]
    return summarize(
        scored,
        normalizer=label_normalizer(NORMALIZER),
        utterances_total=len(workload.utterances),
        audio_s_total=workload.audio_s,
        rtfx=workload.audio_s / heard.wall_s,
        phases_s=heard.phases_s,
        seed=request.seed,
        notes=find_notes(scored, NORMALIZER, TextRules()),
    )


def _mean_phases(rounds: Sequence[Repeat], workload: Workload) -> dict[str, float]:
    means = {
        phase: sum(one.phases_s.get(phase, 0.0) for one in rounds) / len(rounds)
        for phase in BENCHMARK_PHASES
    }
    return {**means, "read": workload.read_s}


def _habana_figures(rounds: Sequence[Repeat], workload: Workload) -> HabanaFigures:
    wall_s = measure_spread([one.wall_s for one in rounds]).median
    return habana_figures(workload.audio_s, len(workload.utterances), wall_s)


def _write(request: BenchRequest, report: BenchReport, heard: Repeat) -> None:
    if request.perf_csv is not None:
        write_perf_csv(request.perf_csv, heard.heard)
    if request.save is not None:
        save_result(request.save, report.to_json())
