"""`infer`: what a model hears in files, one line each."""

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
TRANSCRIBING = "listening"


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What to listen to and how.

    `sources` are files, folders, globs, or `-` for the bytes of an audio file on `stdin`;
    `raw` is what those without a header hold; `channel` counts from 0; `timestamps` is one of
    `TIMESTAMPS`; `check_batching` files are first heard alone and in batches, and the texts
    compared.
    `how`, `long` and `rows` are for encoder-decoders: see `open_seq2seq_recognizer`; `language`
    is the spoken one.
    """

    sources: tuple[str, ...]
    model: str = DEFAULT_MODEL
    dtype: str = "auto"
    int8: bool = False
    language: str | None = None
    channel: int | None = None
    timestamps: str = "word"
    decoder: str = DEFAULT_DECODER
    check_batching: int = 0
    how: Generation = DEFAULT_GENERATION
    long: str = "auto"
    rows: int | None = None
    stdin: BinaryIO | None = None
    raw: RawFormat | None = None


@dataclass(frozen=True, slots=True)
class InferReport:
    """The account of a run. `wall_s` counts from the first file on, without opening the model."""

    model: str
    device: str
    dtype: str
    files: int
    failed: int
    passed_over: int
    audio_s: float
    wall_s: float
    phases_s: dict[str, float]
    batching: BatchingCheck | None = None

    @property
    def rtfx(self) -> float:
        """Seconds of audio heard in a second."""
        return self.audio_s / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def exit_code(self) -> int:
        """0, or that of `DataError` where some files failed; the rest was still done."""
        return DataError.exit_code if self.failed else 0

    def to_json(self) -> dict[str, Any]:
        return {"schema": "infer/1", **asdict(self), "rtfx": self.rtfx}


def infer(request: InferRequest, device: Device, observe: Observer = ignore) -> InferReport:
    """Transcribe every file; each is reported to `observe` as an `UtteranceDone`, in order.

    What cannot be read is known before the model is opened, and where nothing else is left it is
    not opened at all.

    Raises:
        DataError: There is nothing to transcribe, or the model is not one that transcribes.
        UnreachableError: The model is neither cached nor reachable.
        UsageError: There is no such decoder or kind of timestamps.
    """
    _check(request)
    with opened_inputs(request.sources, request.stdin, request.raw) as inputs:
        _notice_passed_over(inputs, observe)
        clock, tally = PhaseClock(), _Tally(observe)
        observe(StageStarted(TRANSCRIBING, len(inputs.utterances), "files"))
        # Before the model, which may take minutes to come, or may not be there at all.
        first = tuple(takewhile(lambda one: one.id in inputs.rejected, inputs.utterances))
        for utterance in first:
            tally.add(_reject(utterance, inputs))
        _notice_rejected(inputs, len(first), observe)
        dtype, proof = request.dtype, None
        started = time.perf_counter()
        if inputs.readable:
            model, decoder, proof = _open(request, inputs, device)
            dtype = model.dtype
            if proof is not None:
                observe(_report_check(proof))
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
        passed_over=inputs.passed_over,
        audio_s=tally.audio_s,
        wall_s=wall_s,
        phases_s=clock.phases_s,
        batching=proof,
    )


class _Tally:
    """Counts what is done, and reports it."""

    def __init__(self, observe: Observer) -> None:
        self.files, self.failed, self.audio_s = 0, 0, 0.0
        self._observe = observe

    def add(self, done: UtteranceDone) -> None:
        self._observe(done)
        self.files, self.failed = self.files + 1, self.failed + (done.error is not None)
        self.audio_s += done.duration_s


def _reject(utterance: Utterance, inputs: AudioInputs) -> UtteranceDone:
    """An utterance of which it is known beforehand that there is nothing to read."""
    name = utterance.id or "''"
    return UtteranceDone(
        utterance_id=utterance.id,
        path=utterance.id,
        duration_s=0.0,
        transcript=None,
        error=f"{shorten_path(name)}: {inputs.rejected[utterance.id]}",
    )


def _notice_rejected(inputs: AudioInputs, reported: int, observe: Observer) -> None:
    """Say at once what will come in its turn, after files that take their time."""
    later = list(inputs.rejected)[reported:]
    if later:
        first = f"{shorten_path(later[0])}: {inputs.rejected[later[0]]}"
        observe(
            Noticed(
                f"{len(later)} of {len(inputs.utterances)} inputs cannot be read, first {first}",
                remedy="Correct the path if that one matters; the others are transcribed.",
            )
        )


OpenedForInference = tuple[OpenRecognizer, Decoder, "BatchingCheck | None"]
"""A model, what makes text of what it says, and the proof that batches change nothing."""


def _open(request: InferRequest, inputs: AudioInputs, device: Device) -> OpenedForInference:
    """The model of the request, whichever kind it is, in the fastest way that changes nothing."""
    folder = find_model(request.model, language=request.language, kind=None)
    if kind_of(folder.read_config()) == "seq2seq":
        return _open_seq2seq(request, inputs, device)
    return _open_ctc(request, inputs, device)


def _open_ctc(request: InferRequest, inputs: AudioInputs, device: Device) -> OpenedForInference:
    if request.how != DEFAULT_GENERATION or request.long != "auto" or request.rows is not None:
        raise UsageError(
            f"{request.model} is a CTC model: it has no task, tokens or beams to choose.",
            remedy="Leave --task, --max-tokens, --beams, --long and --batch out, or take a model "
            "that writes with a decoder, such as openai/whisper-small.",
        )
    opened = open_full_precision(
        request.model, device=device, dtype=request.dtype, language=request.language
    )
    listener = accelerate(opened, InferenceOptions(int8=request.int8))
    decoder = make_decoder(
        request.decoder, listener.vocabulary, characters=request.timestamps == "char"
    )
    if not request.check_batching:
        return listener, decoder, None
    cast_weights(opened)
    few = inputs.readable[: request.check_batching]
    proof = check_batching(opened, listener, few, decoder, channel=request.channel)
    return listener, decoder, proof


def _open_seq2seq(request: InferRequest, inputs: AudioInputs, device: Device) -> OpenedForInference:
    if request.int8:
        raise UsageError(
            f"{request.model} writes with a decoder, which is not computed in 8 bits here.",
            remedy="Leave --int8 out; --dtype bf16 is the fastest.",
        )
    if request.decoder != DEFAULT_DECODER:
        raise UsageError(
            f"{request.model} is an encoder-decoder model, and {request.decoder} decodes CTC.",
            remedy="Leave --decoder out, or choose a CTC model.",
        )
    if request.timestamps == "char":
        raise UsageError(
            f"{request.model} writes with a decoder, which tells no times of characters.",
            remedy="Take --timestamps word, or a CTC model.",
        )
    recognizer = open_seq2seq_recognizer(
        request.model,
        device=device,
        dtype=request.dtype,
        generation_config=replace(
            request.how, language=request.language, timestamps=request.timestamps == "word"
        ),
        long=request.long,
        batch_size=request.rows,
    )
    decoder = HypothesisDecoder()
    if not request.check_batching:
        return recognizer, decoder, None
    alone = replace(recognizer, batching=plan_batching(recognizer.model, 1))
    few = inputs.readable[: request.check_batching]
    hear = partial(transcribe, decoder=decoder, channel=request.channel)
    return recognizer, decoder, compare_ways(alone, {"as usual": recognizer}, few, hear)


def _report_check(proof: BatchingCheck) -> Noticed:
    files = f"{proof.files} file{'' if proof.files == 1 else 's'}"
    ways = " and ".join(proof.ways) or "in no other way: this model is only ever heard so"
    if not proof.differences:
        return Noticed(f"Batching checked on {files}: the same text alone, {ways}.")
    first = proof.differences[0]
    return Noticed(
        f"Batching checked on {files}: {len(proof.differences)} differences between the text of a "
        f"file alone and {ways}. The first, {first.path}: alone '{first.alone}', {first.way} "
        f"'{first.other}'.",
        remedy="Pass --dtype fp32: in fewer bits near ties may fall either way.",
    )


def _transcribe_inputs(
    request: InferRequest,
    hearing: tuple[Any, Decoder],
    inputs: AudioInputs,
    observe: Observer,
    clock: PhaseClock,
) -> Iterator[UtteranceDone]:
    """What became of each input, in order, from the first one on that can be read."""
    model, decoder = hearing
    results = transcribe(
        model, inputs.readable, decoder, observe=observe, channel=request.channel, clock=clock
    )
    with closing(results):
        for utterance in dropwhile(lambda one: one.id in inputs.rejected, inputs.utterances):
            if utterance.id in inputs.rejected:
                yield _reject(utterance, inputs)
                continue
            done = next(results)
            # What came on standard input is called so, not by the file it lay in meanwhile.
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


def _notice_passed_over(inputs: AudioInputs, observe: Observer) -> None:
    if inputs.passed_over:
        observe(
            Noticed(
                f"{inputs.passed_over} files of the folders do not look like audio and were "
                "passed over.",
                remedy="Name a file itself to have it tried whatever it is called.",
            )
        )
