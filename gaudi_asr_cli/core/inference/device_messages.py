"""Messages between a process and its workers, one for each device: pickles on a private pipe."""

from __future__ import annotations

from dataclasses import dataclass

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.records import Utterance


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """The model that a worker opens; the first message that it gets."""

    model: str
    options: InferenceOptions
    channel: int | None = None
    follows: bool = False


@dataclass(frozen=True, slots=True)
class WorkerOpened:
    """What a worker's recogniser is; its first message, unless opening failed.

    `batches_s` is the audio, and `batch_utterances` the number of utterances, that it should get at
    once for full batches; 0 where that does not matter.
    """

    device: str
    dtype: str
    notes: tuple[str, ...]
    phonemes_of: str | None
    generates: bool
    batches_s: float
    batch_utterances: int


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """The error that ends a worker, and would end the others too."""

    message: str
    remedy: str
    exit_code: int

    def to_error(self) -> AsrError:
        """Return the error, to be raised in the process that started the worker."""
        error = AsrError(self.message, remedy=self.remedy)
        error.exit_code = self.exit_code
        return error


@dataclass(frozen=True, slots=True)
class WorkChunk:
    """Utterances to transcribe, with their numbers."""

    numbers: tuple[int, ...]
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class LengthSample:
    """Lengths of utterances all over the work, from which a worker chooses its batches' shapes.

    Otherwise it would choose others for each chunk, and some devices compile for each shape.
    """

    durations_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class NumberedResult:
    """The result of an utterance, as soon as it is known."""

    number: int
    done: UtteranceDone


@dataclass(frozen=True, slots=True)
class ChunkFinished:
    """All results of a chunk were sent; `phases_s` are the seconds of its phases."""

    phases_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class CaseQuestion:
    """Asks for the case of the model's text; see `Recognizer.suggest_case`."""

    sample: str


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    case: str
