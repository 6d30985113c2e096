"""The Python API: a model that stays open, and transcribes from any thread."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from numbers import Integral, Real
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypedDict, get_type_hints, overload

import numpy as np
from typing_extensions import Unpack

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.data.paths import expand_home
from gaudi_asr_cli.core.decoding.scorer_setup import read_hotwords
from gaudi_asr_cli.core.decoding.segments import segments_of
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.option_types import check_given
from gaudi_asr_cli.core.inference.options import DEFAULT_OPTIONS, InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import Recognizer, open_recognizer
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Transcript, Utterance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    OneClip = str | os.PathLike[str] | Samples


LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 1_000_000
"""Sample rates of arrays; a smaller or larger one is a mistake, such as kHz."""
LOUDEST = 100.0
"""Floats beyond this are integers that were not scaled to the range from -1 to 1."""
_END = object()


class DecodingOptions(TypedDict, total=False):
    """Options of `LoadedModel.transcribe`; see `InferenceOptions`.

    `beam_size` is another name of `beams`. `hotwords` may also be one string, as on the command
    line: words between commas, or the path of a file.
    """

    language: str | None
    timestamps: str
    decoder: str
    task: str | None
    max_tokens: int | None
    beams: int | None
    beam_size: int | None
    lm: str | os.PathLike[str] | None
    lm_weight: float | None
    word_bonus: float | None
    hotwords: str | Sequence[str]
    hotword_weight: float | None
    n_best: int
    long: str
    temperatures: tuple[float, ...] | None
    compression_ratio_threshold: float | None
    logprob_threshold: float | None
    no_speech_threshold: float | None
    best_of: int
    seed: int
    initial_prompt: str | None
    condition_on_previous_text: bool
    vad: str


class LoadOptions(DecodingOptions, total=False):
    """Options of `load_model`; see `InferenceOptions`."""

    int8: bool
    graphs: bool | None
    batch_s: float | None
    batch_size: int | None


class LoadedModel:
    """A model that is open; made by `load_model`.

    Any thread may call `transcribe`. Calls wait for each other: each uses the whole device.
    """

    def __init__(self, recognizer: Recognizer, options: InferenceOptions) -> None:
        self._recognizer = recognizer
        self._options = options
        self._lock = Lock()

    @property
    def name(self) -> str:
        """The name that the model was loaded by."""
        return self._recognizer.name

    @property
    def device(self) -> str:
        """The device that it computes on: `cpu`, `cuda` or `hpu`."""
        return self._recognizer.device.name

    @property
    def dtype(self) -> str:
        """The dtype that it computes in: `fp32`, `bf16`, `fp16`, `int16` or `int8`."""
        return self._recognizer.dtype

    def __repr__(self) -> str:
        return f"LoadedModel({self.name!r}, device={self.device!r}, dtype={self.dtype!r})"

    @overload
    def transcribe(  # type: ignore[overload-overlap]  # a str is an iterable of str too
        self,
        audio: OneClip,
        *,
        rate_hz: int | None = None,
        channel: int | None = None,
        **options: Unpack[DecodingOptions],
    ) -> Transcript: ...

    @overload
    def transcribe(
        self,
        audio: Iterable[OneClip],
        *,
        rate_hz: int | None = None,
        channel: int | None = None,
        **options: Unpack[DecodingOptions],
    ) -> list[Transcript]: ...

    def transcribe(
        self,
        audio: OneClip | Iterable[OneClip],
        *,
        rate_hz: int | None = None,
        channel: int | None = None,
        **options: Unpack[DecodingOptions],
    ) -> Transcript | list[Transcript]:
        """Transcribe one clip, or each of an iterable in batches where the device prefers them.

        Args:
            audio: The path of a file, samples (T,) between -1 and 1, or an iterable of either,
                which is read as it is needed.
            rate_hz: Sample rate of samples; any rate.
            channel: Channel of the files, from 0; None downmixes to mono.
            **options: Replace those of `load_model` for this call.

        Returns:
            The transcript, with words and segments on the clock of the clip; a list for an
            iterable, in its order.

        Raises:
            DataError: A clip could not be transcribed; the message names it.
            UsageError: The model does not support an option, or the samples have no rate.
        """
        given = _convert(options)
        check_given(given, tuple(get_type_hints(DecodingOptions)), elsewhere="load_model")
        if channel is not None and (not _is_whole(channel) or channel < 0):
            raise UsageError(
                f"channel is {channel!r}, not the number of a channel.",
                remedy="Pass a number from 0, or leave it out to downmix all channels.",
            )
        chosen = _with_options(self._options, given)
        if isinstance(audio, str | os.PathLike | np.ndarray):
            return self._transcribe(iter([audio]), rate_hz, channel, chosen)[0]
        if isinstance(audio, bytes | bytearray | memoryview) or not isinstance(audio, Iterable):
            raise _mixed_error(audio)
        return self._transcribe(iter(audio), rate_hz, channel, chosen)

    def _transcribe(
        self,
        clips: Iterator[Any],
        rate_hz: int | None,
        channel: int | None,
        options: InferenceOptions,
    ) -> list[Transcript]:
        first = next(clips, _END)
        if first is _END:
            return []
        clips = chain([first], clips)
        source = _Samples(clips, rate_hz) if isinstance(first, np.ndarray) else _Files(clips)
        with self._lock:
            results = transcribe(
                self._recognizer.with_options(options),
                source.utterances(),
                channel=channel,
                load=source.load if isinstance(source, _Samples) else None,
            )
            with closing(results):
                return [_transcript_of(done, options) for done in results]


@dataclass(frozen=True, slots=True)
class _Files:
    """Clips that are files."""

    paths: Iterator[Any]

    def utterances(self) -> Iterator[Utterance]:
        for path in self.paths:
            if not isinstance(path, str | os.PathLike):
                raise _mixed_error(path)
            yield Utterance(os.fspath(path), AudioSpan(expand_home(os.fspath(path))))


@dataclass(frozen=True, slots=True)
class _Samples:
    """Clips that are arrays; one is held from when it is planned until it is loaded."""

    clips: Iterator[Any]
    rate_hz: int | None
    held: dict[Path, Samples] = field(default_factory=dict)

    def utterances(self) -> Iterator[Utterance]:
        for number, clip in enumerate(self.clips):
            if not isinstance(clip, np.ndarray):
                raise _mixed_error(clip)
            path = Path(f"clip {number}")
            self.held[path] = _at_model_rate(clip, self.rate_hz, str(path))
            yield Utterance(str(path), AudioSpan(path))

    def load(self, span: AudioSpan) -> LoadedAudio:
        return LoadedAudio(self.held.pop(span.path))


def _mixed_error(clip: object) -> UsageError:
    return UsageError(
        f"A clip of type {type(clip).__name__} among others of another kind, or of no known one.",
        remedy="Pass paths (str or Path) or one-dimensional NumPy arrays of floats, not both in "
        "one call; of an open file its name, of a tensor its .numpy().",
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _check_rate(rate_hz: object, name: str) -> None:
    number = isinstance(rate_hz, Real | np.integer) and not isinstance(rate_hz, bool)
    if not number or not LOWEST_RATE_HZ <= float(rate_hz) <= HIGHEST_RATE_HZ:  # type: ignore[arg-type]
        raise UsageError(
            f"{name}: rate_hz is {str(rate_hz)[:40]}, not a sample rate of audio "
            f"({LOWEST_RATE_HZ:,} to {HIGHEST_RATE_HZ:,} Hz).",
            remedy="Pass the number of samples a second, such as rate_hz=16_000.",
        )


def _at_model_rate(samples: NDArray[Any], rate_hz: int | None, name: str) -> Samples:
    """Check an array and resample it to the rate of the models."""
    if rate_hz is None:
        raise UsageError(
            f"{name}: the sample rate of the array is not known.",
            remedy="Pass it: transcribe(samples, rate_hz=16_000).",
        )
    _check_rate(rate_hz, name)
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise UsageError(
            f"{name}: an array {samples.shape} of {samples.dtype} is not mono audio.",
            remedy="Pass floats between -1 and 1, one-dimensional: samples.mean(axis=1) downmixes "
            "(T, channels), samples / 32768 converts int16.",
        )
    if len(samples) and np.abs(samples).max() > LOUDEST:
        raise DataError(
            f"{name}: samples reach {np.abs(samples).max():,.0f}, far beyond 1.",
            remedy="Divide them by the full scale: samples / 32768 for those of int16.",
        )
    if not len(samples) or not np.isfinite(samples).all():
        raise DataError(
            f"{name}: the array is empty, or some samples are not finite numbers.",
            remedy="Leave it out, or record it again.",
        )
    mono = np.ascontiguousarray(samples, dtype=np.float32)
    if rate_hz == SAMPLE_RATE_HZ:
        return mono
    import soxr

    resampled: Samples = soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    return resampled


def _transcript_of(done: UtteranceDone, options: InferenceOptions) -> Transcript:
    """Return the transcript with its segments, without times where none are wanted.

    Raises:
        DataError: There is none.
    """
    transcript = done.transcript
    if transcript is None:
        named = done.error or "it could not be transcribed."
        known = done.path in named or done.utterance_id in named
        raise DataError(
            named if known else f"{done.utterance_id}: {named}",
            remedy="Check the file; to go on with the others, transcribe one by one.",
        )
    if options.timestamps == "none":
        return replace(transcript, words=(), segments=())
    return replace(transcript, segments=segments_of(transcript))


def _with_options(options: InferenceOptions, given: Mapping[str, Any]) -> InferenceOptions:
    # A list serves as a tuple.
    values: dict[str, Any] = {
        name: tuple(one) if isinstance(one, list) else one for name, one in given.items()
    }
    changed = replace(options, **values)
    changed.check()
    return changed


def _convert(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by the names and types of `InferenceOptions`."""
    values = {"beams" if name == "beam_size" else name: one for name, one in options.items()}
    if isinstance(lm := values.get("lm"), os.PathLike):
        values["lm"] = os.fspath(lm)
    if isinstance(hotwords := values.get("hotwords"), str):
        values["hotwords"] = read_hotwords(hotwords)
    return values


def load_model(
    name: str | os.PathLike[str],
    device: str = "auto",
    dtype: str = "auto",
    **options: Unpack[LoadOptions],
) -> LoadedModel:
    """Open a model and keep it open.

    Nothing outside the model is changed: threads, environment and other packages belong to your
    program (docs/python.md says what follows from that).

    Args:
        name: A model folder, a run folder, `demo`, or a hub id.
        device: `auto`, `cpu`, `cuda` or `hpu`.
        dtype: `auto`, `fp32`, `bf16`, `fp16` or `int16` (docs/devices.md).
        **options: Options of inference, as those of `gaudi-asr infer`.

    Raises:
        UsageError: The model does not support an option.
        DataError: It is not a speech recogniser.
        MachineError: The device is missing, or does not support the dtype.
        UnreachableError: The hub id is neither cached nor reachable.
    """
    # The defaults of `gaudi-asr infer`.
    defaults = replace(DEFAULT_OPTIONS, temperatures=None, vad="auto")
    given = {"dtype": dtype, **_convert(options)}
    check_given(given, ("dtype", *get_type_hints(LoadOptions)))
    if not isinstance(name, str | os.PathLike) or not isinstance(device, str):
        raise UsageError(
            f"load_model({name!r}, device={device!r}): the model and the device are named by text.",
            remedy="Pass a folder, a run folder, a hub id or 'demo', and auto, cpu, cuda or hpu.",
        )
    chosen = _with_options(defaults, given)
    return LoadedModel(open_recognizer(os.fspath(name), open_device(device), chosen), chosen)
