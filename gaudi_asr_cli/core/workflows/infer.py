"""`infer`: transcribe audio files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import dropwhile, takewhile
from typing import Any, BinaryIO

from gaudi_asr_cli.core.data.paths import shorten_path
from gaudi_asr_cli.core.data.timeline import forget_timelines
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import (
    Noticed,
    Observer,
    SegmentDone,
    StageAdvanced,
    StageFinished,
    StageStarted,
    UtteranceDone,
    add_speech_s,
    ignore,
)
from gaudi_asr_cli.core.inference.batching_check import BatchingCheck, check_batching
from gaudi_asr_cli.core.inference.channels import TranscribeInOrder, transcribe_channels
from gaudi_asr_cli.core.inference.device_pool import DevicePool, PoolRequest
from gaudi_asr_cli.core.inference.inputs import STDIN, AudioInputs, estimate_audio_s, opened_inputs
from gaudi_asr_cli.core.inference.options import DEFAULT_OPTIONS, InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import (
    Recognizer,
    open_recognizer,
    report_notes,
)
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.records import RawFormat, Segment, Utterance
from gaudi_asr_cli.core.workflows.infer_job.folder import (
    OutputFolder,
    OutputRequest,
    opened_output_folder,
)
from gaudi_asr_cli.core.workflows.infer_job.settings import describe_options

DEFAULT_MODEL = "facebook/wav2vec2-base-960h"
TRANSCRIBING = "transcribing"
FORGET_EVERY = 4096
"""Files after which their headers are forgotten, so that memory does not grow with them."""
_JSON_KEYS = {"skipped": "passed_over"}
"""Fields whose promised JSON key has another name."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """The audio to transcribe, the model and its options.

    `sources` are files, folders, globs, or `-` for the bytes of an audio file on `stdin`; `raw` is
    the format of files without a header; `channel` and `track` count from 0. The first
    `check_batching` files are transcribed unbatched and batched, and the texts compared. With
    `follows`, the audio is measured first and the parts of long files are reported as they come,
    for a progress display. `listed` are files and folders of a list. `outputs` is the folder that
    gets files of the transcripts. With `each_channel` every channel is transcribed on its own.
    `cards` devices share the work, a process each, which `device_name` and `hpu_mode` open.
    """

    sources: tuple[str, ...]
    model: str = DEFAULT_MODEL
    options: InferenceOptions = DEFAULT_OPTIONS
    channel: int | None = None
    track: int | None = None
    check_batching: int = 0
    stdin: BinaryIO | None = None
    raw: RawFormat | None = None
    follows: bool = False
    listed: tuple[str, ...] = ()
    outputs: OutputRequest | None = None
    each_channel: bool = False
    cards: int = 1
    device_name: str = AUTO
    hpu_mode: str = "auto"


@dataclass(frozen=True, slots=True)
class InferReport:
    """The summary of a run; `wall_s` excludes opening the model.

    `speech_s` is the seconds of speech, if that was detected; `failed_before` counts inputs that
    an earlier run failed on, and that were left out.
    """

    model: str
    device: str
    dtype: str
    files: int
    failed: int
    skipped: int
    audio_s: float
    wall_s: float
    phases_s: dict[str, float]
    batching: BatchingCheck | None = None
    speech_s: float | None = None
    failed_before: int = 0

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of wall time."""
        return self.audio_s / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def exit_code(self) -> int:
        """0, or that of `DataError` if some files failed; the others are transcribed."""
        return DataError.exit_code if self.failed or self.failed_before else 0

    def to_json(self) -> dict[str, Any]:
        values = {_JSON_KEYS.get(key, key): value for key, value in asdict(self).items()}
        return {"schema": "infer/1", **values, "rtfx": self.rtfx}


def infer(request: InferRequest, device: Device | None, observe: Observer = ignore) -> InferReport:
    """Transcribe every file and report each to `observe` as an `UtteranceDone`, in order.

    With several devices and a folder of outputs, each is reported as soon as it is known.
    `device` is None where several are used: each process opens its own. Inputs that cannot be read
    are found before the model is opened; if no other is left it is not opened at all.

    Raises:
        DataError: There is nothing to transcribe, or the model is not a speech recogniser.
        UnreachableError: The model is neither cached nor reachable.
        UsageError: There is no such decoder or kind of timestamps, or the folder of outputs cannot
            be used: see `opened_output_folder`.
        OSError: A file of a transcript cannot be written.
    """
    request.options.check()
    if request.cards > 1 and request.check_batching:
        raise UsageError(
            "--check-batching compares texts on one device.", remedy="Leave --cards out."
        )
    track = request.options.language if request.track is None else request.track
    with ExitStack() as stack:
        inputs = stack.enter_context(
            opened_inputs(request.sources, request.stdin, request.raw, track, request.listed)
        )
        _notice_skipped(inputs, observe)
        outputs = _open_outputs(request, inputs, stack, observe)
        inputs = inputs if outputs is None else outputs.left
        clock, tally = PhaseClock(), _Tally(observe, outputs)
        pool = _start_pool(request, device, len(inputs.readable), stack, observe)
        audio_s = estimate_audio_s(inputs.readable) if request.follows else None
        observe(StageStarted(TRANSCRIBING, len(inputs.utterances), "files", audio_s))
        # Before the model is opened, which may take minutes or fail.
        first = tuple(takewhile(lambda one: one.id in inputs.rejected, inputs.utterances))
        for utterance in first:
            tally.add(_reject(utterance, inputs))
        _notice_rejected(inputs, len(first), observe)
        dtype, batching = request.options.dtype, None
        device_name = request.device_name if device is None else device.name
        started = time.perf_counter()
        if inputs.readable:
            report_notes(request.model, observe, options=request.options)
            engine = _open_engine(request, device, pool, stack)
            dtype = engine.dtype
            device_name = engine.device.name if device is None else device.name
            for note in engine.notes:
                observe(Noticed(note))
            batching = _check_batching(request, engine, inputs, observe)
            if request.follows:
                observe(StageAdvanced(TRANSCRIBING, 0.0))
            started = time.perf_counter()
            run = _bind(request, engine, clock, observe)
            ordered = _find_order(request, engine)
            for done in _transcribe_inputs(request, inputs, run, ordered=ordered):
                tally.add(done)
        wall_s = time.perf_counter() - started
        observe(StageFinished(TRANSCRIBING, wall_s))
    return InferReport(
        model=request.model,
        device=device_name,
        dtype=dtype,
        files=tally.files,
        failed=tally.failed,
        skipped=inputs.skipped,
        audio_s=tally.audio_s,
        wall_s=wall_s,
        phases_s=clock.phases_s,
        batching=batching,
        speech_s=tally.speech_s,
        failed_before=0 if outputs is None else outputs.failed_before,
    )


def _start_pool(
    request: InferRequest, device: Device | None, files: int, stack: ExitStack, observe: Observer
) -> DevicePool | None:
    """Start the processes of several devices, one for each file, until the stack is closed.

    They open their models while this process measures the audio.
    """
    if device is not None or not files:
        return None
    asked = PoolRequest(
        min(request.cards, files),
        request.device_name,
        request.hpu_mode,
        request.model,
        request.options,
        request.channel,
        request.follows,
    )
    pool = DevicePool(asked, observe)
    stack.callback(pool.close)
    pool.start()
    return pool


def _open_engine(
    request: InferRequest, device: Device | None, pool: DevicePool | None, stack: ExitStack
) -> Recognizer | DevicePool:
    """Open the model on one device, or wait for the processes of several to have opened it."""
    if pool is not None:
        return stack.enter_context(pool)
    assert device is not None  # noqa: S101 - otherwise there is a pool
    return open_recognizer(request.model, device, request.options)


def _find_order(request: InferRequest, engine: Recognizer | DevicePool) -> bool:
    """Return whether results come in the order of the inputs.

    Several devices write files as they come: a long one does not keep back the others.
    """
    writes = request.outputs is not None and not request.each_channel
    return not (writes and isinstance(engine, DevicePool))


def _bind(
    request: InferRequest,
    engine: Recognizer | DevicePool,
    clock: PhaseClock,
    observe: Observer,
) -> TranscribeInOrder:
    """Return the function that transcribes utterances."""

    def report_segment(utterance: Utterance, segment: Segment) -> None:
        observe(SegmentDone(utterance.id, segment))

    if isinstance(engine, DevicePool):
        ordered = _find_order(request, engine)
        return partial(engine.transcribe, observe=observe, clock=clock, ordered=ordered)
    return partial(
        transcribe,
        engine,
        observe=observe,
        channel=request.channel,
        clock=clock,
        report_segment=report_segment if request.follows else None,
    )


def _check_batching(
    request: InferRequest,
    engine: Recognizer | DevicePool,
    inputs: AudioInputs,
    observe: Observer,
) -> BatchingCheck | None:
    """Compare the text of the first files alone and in batches, if that was asked for."""
    if not request.check_batching or isinstance(engine, DevicePool):
        return None
    unbatched = replace(request.options, mode="unbatched")
    batching = check_batching(
        open_recognizer(request.model, engine.device, unbatched),
        engine,
        inputs.readable[: request.check_batching],
        channel=request.channel,
    )
    observe(_report_check(batching))
    return batching


def _open_outputs(
    request: InferRequest, inputs: AudioInputs, stack: ExitStack, observe: Observer
) -> OutputFolder | None:
    """Open the folder of outputs until the stack is closed, if there is one."""
    if request.outputs is None:
        return None
    options = describe_options(
        request.model,
        request.options,
        request.outputs.formats,
        request.outputs.style,
        channel="each" if request.each_channel else request.channel,
        track=request.track,
        raw=request.raw,
    )
    return stack.enter_context(opened_output_folder(request.outputs, inputs, options, observe))


class _Tally:
    """Counts transcribed utterances, writes their files and reports them."""

    def __init__(self, observe: Observer, outputs: OutputFolder | None) -> None:
        self.files, self.failed, self.audio_s = 0, 0, 0.0
        self.speech_s: float | None = None
        self._observe = observe
        self._outputs = outputs

    def add(self, done: UtteranceDone) -> None:
        if self._outputs is not None:
            self._outputs.write(done)
        self._observe(done)
        self.files, self.failed = self.files + 1, self.failed + (done.error is not None)
        if self.files % FORGET_EVERY == 0:
            forget_timelines()
        self.audio_s += done.duration_s
        self.speech_s = add_speech_s(self.speech_s, done)


def _reject(utterance: Utterance, inputs: AudioInputs) -> UtteranceDone:
    """Return the result of an input that cannot be read."""
    name = utterance.id or "''"
    return UtteranceDone(
        utterance_id=utterance.id,
        path=utterance.id,
        duration_s=0.0,
        transcript=None,
        error=f"{shorten_path(name)}: {inputs.rejected[utterance.id]}",
    )


def _notice_rejected(inputs: AudioInputs, reported: int, observe: Observer) -> None:
    """Report unreadable inputs early; their results come later, in the order of the inputs."""
    later = list(inputs.rejected)[reported:]
    if later:
        first = f"{shorten_path(later[0])}: {inputs.rejected[later[0]]}"
        observe(
            Noticed(
                f"{len(later)} of {len(inputs.utterances)} inputs cannot be read, first {first}",
                remedy="Correct the path if you need that input; the others are transcribed.",
            )
        )


def _report_check(check: BatchingCheck) -> Noticed:
    files = f"{check.files} file{'' if check.files == 1 else 's'}"
    ways = " and ".join(check.ways) or "(nothing to compare: this model is never batched)"
    if not check.differences:
        return Noticed(f"Batching checked on {files}: the same text unbatched and {ways}.")
    first = check.differences[0]
    return Noticed(
        f"Batching checked on {files}: {len(check.differences)} differences between the text "
        f"unbatched and {ways}. The first, {first.path}: unbatched '{first.alone}', {first.way} "
        f"'{first.other}'.",
        remedy="Pass --dtype fp32: rounding in 16 bits can change the text where scores are close.",
    )


def _transcribe_inputs(
    request: InferRequest, inputs: AudioInputs, run: TranscribeInOrder, *, ordered: bool
) -> Iterator[UtteranceDone]:
    """Yield the result of each input from the first readable one, in order if `run` is."""
    readable = inputs.readable
    results = transcribe_channels(readable, run) if request.each_channel else run(readable)
    with closing(results):
        left = dropwhile(lambda one: one.id in inputs.rejected, inputs.utterances)
        for utterance in left:
            if utterance.id in inputs.rejected:
                yield _reject(utterance, inputs)
            elif ordered:
                yield _finish(next(results), request)
        for done in results:
            yield _finish(done, request)


def _finish(done: UtteranceDone, request: InferRequest) -> UtteranceDone:
    # Standard input was stored in a temporary file: name it "-", not by that file.
    named = _as_stdin(done) if done.utterance_id == STDIN else done
    return _drop_words(named) if request.options.timestamps == "none" else named


def _as_stdin(done: UtteranceDone) -> UtteranceDone:
    error = done.error and done.error.replace(done.path, STDIN)
    return replace(done, path=STDIN, error=error)


def _drop_words(done: UtteranceDone) -> UtteranceDone:
    if done.transcript is None:
        return done
    channels = tuple(replace(one, words=()) for one in done.transcript.channels)
    return replace(done, transcript=replace(done.transcript, words=(), channels=channels))


def _notice_skipped(inputs: AudioInputs, observe: Observer) -> None:
    if inputs.skipped:
        observe(
            Noticed(
                f"{inputs.skipped} files of the folders do not look like audio and were skipped.",
                remedy="Name a file itself to transcribe it whatever its name.",
            )
        )
