"""`infer`: transcribe audio files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import dropwhile, takewhile
from typing import Any, BinaryIO

from gaudi_asr_cli.core.data.paths import shorten_path
from gaudi_asr_cli.core.decoding import DECODERS, DEFAULT_DECODER, make_decoder
from gaudi_asr_cli.core.decoding.base import Decoder
from gaudi_asr_cli.core.decoding.hypotheses import HypothesisDecoder
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import (
    Noticed,
    Observer,
    StageFinished,
    StageStarted,
    UtteranceDone,
    ignore,
)
from gaudi_asr_cli.core.inference.batching_check import BatchingCheck, check_batching, compare_ways
from gaudi_asr_cli.core.inference.ctc import (
    InferenceOptions,
    accelerate,
    cast_weights,
    open_full_precision,
)
from gaudi_asr_cli.core.inference.inputs import STDIN, AudioInputs, opened_inputs
from gaudi_asr_cli.core.inference.scoring import OpenRecognizer
from gaudi_asr_cli.core.inference.seq2seq import open_seq2seq_recognizer, plan_batching
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.models.folder import find_model, kind_of
from gaudi_asr_cli.core.models.seq2seq.generation import DEFAULT_GENERATION, Generation
from gaudi_asr_cli.core.records import RawFormat, Utterance

DEFAULT_MODEL = "facebook/wav2vec2-base-960h"
TIMESTAMPS = ("word", "char", "none")
TRANSCRIBING = "transcribing"
_JSON_KEYS = {"skipped": "passed_over"}
"""Fields whose promised JSON key has another name."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """The audio to transcribe, the model and its options.

    `sources` are files, folders, globs, or `-` for the bytes of an audio file on `stdin`; `raw` is
    the format of files without a header; `channel` and `track` count from 0; `timestamps` is one of
    `TIMESTAMPS`. The first `check_batching` files are transcribed unbatched and batched, and the
    texts compared. `generation`, `long` and `batch_size` are for encoder-decoders, see
    `open_seq2seq_recognizer`; `language` is the spoken language.
    """

    sources: tuple[str, ...]
    model: str = DEFAULT_MODEL
    dtype: str = "auto"
    int8: bool = False
    language: str | None = None
    channel: int | None = None
    track: int | None = None
    timestamps: str = "word"
    decoder: str = DEFAULT_DECODER
    check_batching: int = 0
    generation: Generation = DEFAULT_GENERATION
    long: str = "auto"
    batch_size: int | None = None
    stdin: BinaryIO | None = None
    raw: RawFormat | None = None


@dataclass(frozen=True, slots=True)
class InferReport:
    """The summary of a run; `wall_s` excludes opening the model."""

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

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of wall time."""
        return self.audio_s / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def exit_code(self) -> int:
        """0, or that of `DataError` if some files failed; the others are transcribed."""
        return DataError.exit_code if self.failed else 0

    def to_json(self) -> dict[str, Any]:
        values = {_JSON_KEYS.get(key, key): value for key, value in asdict(self).items()}
        return {"schema": "infer/1", **values, "rtfx": self.rtfx}


def infer(request: InferRequest, device: Device, observe: Observer = ignore) -> InferReport:
    """Transcribe every file and report each to `observe` as an `UtteranceDone`, in order.

    Inputs that cannot be read are found before the model is opened; if no other is left it is not
    opened at all.

    Raises:
        DataError: There is nothing to transcribe, or the model is not a speech recogniser.
        UnreachableError: The model is neither cached nor reachable.
        UsageError: There is no such decoder or kind of timestamps.
    """
    _check(request)
    track = request.language if request.track is None else request.track
    with opened_inputs(request.sources, request.stdin, request.raw, track) as inputs:
        _notice_skipped(inputs, observe)
        clock, tally = PhaseClock(), _Tally(observe)
        observe(StageStarted(TRANSCRIBING, len(inputs.utterances), "files"))
        # Before the model is opened, which may take minutes or fail.
        first = tuple(takewhile(lambda one: one.id in inputs.rejected, inputs.utterances))
        for utterance in first:
            tally.add(_reject(utterance, inputs))
        _notice_rejected(inputs, len(first), observe)
        dtype, batching = request.dtype, None
        started = time.perf_counter()
        if inputs.readable:
            model, decoder, batching = _open(request, inputs, device)
            dtype = model.dtype
            if batching is not None:
                observe(_report_check(batching))
            started = time.perf_counter()
            for done in _transcribe_inputs(request, (model, decoder), inputs, observe, clock):
                tally.add(done)
        wall_s = time.perf_counter() - started
        observe(StageFinished(TRANSCRIBING, wall_s))
    return InferReport(
        model=request.model,
        device=device.name,
        dtype=dtype,
        files=tally.files,
        failed=tally.failed,
        skipped=inputs.skipped,
        audio_s=tally.audio_s,
        wall_s=wall_s,
        phases_s=clock.phases_s,
        batching=batching,
    )


class _Tally:
    """Counts transcribed utterances and reports them."""

    def __init__(self, observe: Observer) -> None:
        self.files, self.failed, self.audio_s = 0, 0, 0.0
        self._observe = observe

    def add(self, done: UtteranceDone) -> None:
        self._observe(done)
        self.files, self.failed = self.files + 1, self.failed + (done.error is not None)
        self.audio_s += done.duration_s


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


OpenedForInference = tuple[OpenRecognizer, Decoder, "BatchingCheck | None"]
"""A model, its decoder, and the result of `--check-batching`."""


def _open(request: InferRequest, inputs: AudioInputs, device: Device) -> OpenedForInference:
    """Open the model of the request, CTC or encoder-decoder, in the fastest exact way."""
    folder = find_model(request.model, language=request.language, kind=None)
    if kind_of(folder.read_config()) == "seq2seq":
        return _open_seq2seq(request, inputs, device)
    return _open_ctc(request, inputs, device)


def _open_ctc(request: InferRequest, inputs: AudioInputs, device: Device) -> OpenedForInference:
    defaults = (DEFAULT_GENERATION, "auto", None)
    if (request.generation, request.long, request.batch_size) != defaults:
        raise UsageError(
            f"{request.model} is a CTC model: it has no task, maximum of tokens or beam size.",
            remedy="Leave --task, --max-tokens, --beams, --long and --batch out, or use an "
            "encoder-decoder, such as openai/whisper-small.",
        )
    opened = open_full_precision(
        request.model, device=device, dtype=request.dtype, language=request.language
    )
    recognizer = accelerate(opened, InferenceOptions(int8=request.int8))
    decoder = make_decoder(
        request.decoder, recognizer.vocabulary, characters=request.timestamps == "char"
    )
    if not request.check_batching:
        return recognizer, decoder, None
    cast_weights(opened)
    files = inputs.readable[: request.check_batching]
    batching = check_batching(opened, recognizer, files, decoder, channel=request.channel)
    return recognizer, decoder, batching


def _open_seq2seq(request: InferRequest, inputs: AudioInputs, device: Device) -> OpenedForInference:
    if request.int8:
        raise UsageError(
            f"{request.model} is an encoder-decoder; int8 is for CTC models only.",
            remedy="Leave --int8 out; --dtype bf16 is the fastest.",
        )
    if request.decoder != DEFAULT_DECODER:
        raise UsageError(
            f"{request.model} is an encoder-decoder model, and {request.decoder} decodes CTC.",
            remedy="Leave --decoder out, or choose a CTC model.",
        )
    if request.timestamps == "char":
        raise UsageError(
            f"{request.model} is an encoder-decoder, which has no character times.",
            remedy="Use --timestamps word, or a CTC model.",
        )
    recognizer = open_seq2seq_recognizer(
        request.model,
        device=device,
        dtype=request.dtype,
        generation_config=replace(
            request.generation, language=request.language, timestamps=request.timestamps == "word"
        ),
        long=request.long,
        batch_size=request.batch_size,
    )
    decoder = HypothesisDecoder()
    if not request.check_batching:
        return recognizer, decoder, None
    unbatched = replace(recognizer, batching=plan_batching(recognizer.model, 1))
    files = inputs.readable[: request.check_batching]
    transcribe_with = partial(transcribe, decoder=decoder, channel=request.channel)
    batching = compare_ways(unbatched, {"as usual": recognizer}, files, transcribe_with)
    return recognizer, decoder, batching


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
    request: InferRequest,
    recognizer: tuple[Any, Decoder],
    inputs: AudioInputs,
    observe: Observer,
    clock: PhaseClock,
) -> Iterator[UtteranceDone]:
    """Yield the result of each input, in order, from the first readable one."""
    model, decoder = recognizer
    results = transcribe(
        model, inputs.readable, decoder, observe=observe, channel=request.channel, clock=clock
    )
    with closing(results):
        for utterance in dropwhile(lambda one: one.id in inputs.rejected, inputs.utterances):
            if utterance.id in inputs.rejected:
                yield _reject(utterance, inputs)
                continue
            done = next(results)
            # Standard input was stored in a temporary file: name it "-", not by that file.
            named = _as_stdin(done) if done.utterance_id == STDIN else done
            yield _drop_words(named) if request.timestamps == "none" else named


def _as_stdin(done: UtteranceDone) -> UtteranceDone:
    error = done.error and done.error.replace(done.path, STDIN)
    return replace(done, path=STDIN, error=error)


def _drop_words(done: UtteranceDone) -> UtteranceDone:
    if done.transcript is None:
        return done
    return replace(done, transcript=replace(done.transcript, words=()))


def _check(request: InferRequest) -> None:
    if request.timestamps not in TIMESTAMPS:
        raise UsageError(
            f"There are no timestamps of kind '{request.timestamps}'.",
            remedy=f"Choose one of {', '.join(TIMESTAMPS)}.",
        )
    DECODERS.find(request.decoder)


def _notice_skipped(inputs: AudioInputs, observe: Observer) -> None:
    if inputs.skipped:
        observe(
            Noticed(
                f"{inputs.skipped} files of the folders do not look like audio and were skipped.",
                remedy="Name a file itself to transcribe it whatever its name.",
            )
        )
