"""Requests and their results, between the server and its workers: pickles on a private pipe."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.records import Segment, Transcript
from gaudi_asr_cli.core.serving.worker_loads import LoadPlace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What a request asks for; None leaves it to the options of the server.

    Args:
        language: Spoken language, a code or name.
        prompt: Text before the audio (Whisper).
        temperature: Of sampling; 0 is the default of the model, with its fallback.
        hotwords: Words and phrases to prefer.
        task: `transcribe`, or `translate` into English.
        words: Compute the times of words.
        is_partial: It is live speech that goes on: one greedy attempt is enough.
    """

    language: str | None = None
    prompt: str | None = None
    temperature: float | None = None
    hotwords: tuple[str, ...] = ()
    task: str | None = None
    words: bool = False
    is_partial: bool = False

    def apply_to(self, options: InferenceOptions) -> InferenceOptions:
        """Return the options of the server with those of the request."""
        given: dict[str, Any] = {
            "language": self.language,
            "initial_prompt": self.prompt,
            "hotwords": self.hotwords or None,
            "task": self.task,
            "temperatures": (self.temperature,) if self.temperature else None,
        }
        if self.is_partial:
            given["temperatures"] = (0.0,)
        known = {name: value for name, value in given.items() if value is not None}
        timestamps = "word" if self.words else "none"
        return replace(options, timestamps=timestamps, **known)


@dataclass(frozen=True, slots=True)
class OpenModel:
    """The model that a worker opens; the first message that it gets.

    Args:
        name: What clients call it.
        model: The model.
        options: Of its recogniser.
        max_duration_s: Longest audio of a request.
        load: Where the service notes how many requests the worker has.
        threads: Torch threads that all workers on the CPU share.
        workers: Number of workers of the model; None lets this one choose it.
    """

    name: str
    model: str
    options: InferenceOptions
    max_duration_s: float
    load: LoadPlace
    threads: int
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class ModelOpened:
    """What a worker's recogniser is; its first message, unless opening failed.

    `workers` is the number of workers that the model should have on this machine; `graphs` is the
    number of graphs that were captured so far, None where none are used.
    """

    device: str
    dtype: str
    notes: tuple[str, ...]
    workers: int = 1
    graphs: int | None = None


@dataclass(frozen=True, slots=True)
class AudioRequest:
    """Audio to transcribe: a file, or samples (T,) at 16 kHz.

    Args:
        number: Names the request in other messages.
        audio: The file or samples.
        name: The name of the file that its sender gave, for messages.
        options: What is asked for.
        follows: Report segments as they come.
        is_live: Goes before other requests.
    """

    number: int
    audio: Path | NDArray[np.float32] = field(repr=False)
    name: str
    options: RequestOptions
    follows: bool = False
    is_live: bool = False


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Drops a request whose sender has gone."""

    number: int


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A request is being read."""

    number: int


@dataclass(frozen=True, slots=True)
class SegmentReady:
    """A part of long audio was transcribed."""

    number: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class ServedTranscript:
    """The result of a request; `phases_s` are its seconds by phase.

    Phases: `queue` waits for a reader and the network, `decode` reads audio and finds speech,
    `compute` is the rest.
    """

    transcript: Transcript
    duration_s: float
    phases_s: dict[str, float]
    speech_s: float | None = None


@dataclass(frozen=True, slots=True)
class RequestDone:
    """The result of a request."""

    number: int
    result: ServedTranscript


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """The error of a request, of the class `kind` of `core.errors`; other requests go on."""

    number: int
    kind: type[AsrError]
    message: str
    remedy: str

    def to_error(self) -> AsrError:
        """Return the error, to be raised for the sender."""
        return self.kind(self.message, remedy=self.remedy)


@dataclass(frozen=True, slots=True)
class BatchDone:
    """The network has run on `calls` windows or clips, of `requests` different requests.

    `graphs` is as in `ModelOpened`.
    """

    calls: int
    requests: int
    graphs: int | None = None
