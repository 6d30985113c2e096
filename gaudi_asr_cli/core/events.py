"""Events that core emits while it runs. Workflows emit them; views match them exhaustively."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gaudi_asr_cli.core.records import Score, Segment, Transcript


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage of the work begins; `total` is its number of units (None: not known in advance).

    `audio_s` is the audio of the stage, measured or estimated, where progress is to be shown by it.
    """

    stage: str
    total: float | None = None
    unit: str = "utterances"
    audio_s: float | None = None


@dataclass(frozen=True, slots=True)
class StageAdvanced:
    """Progress of the running stage: units done since its start."""

    stage: str
    done: float


@dataclass(frozen=True, slots=True)
class StageFinished:
    stage: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Noticed:
    """A message for the user that is not an error."""

    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class TrainingStarted:
    """Training runs from `first_step` to `total_steps`; `padding` is padded over real audio.

    `elapsed_s` is the time since the command began.
    """

    first_step: int
    total_steps: int
    epochs: float
    batches: int
    utterances: int
    audio_s: float
    padding: float
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StepLogged:
    """Step metrics, as means since the last log.

    `blank_share` (CTC) is the share of frames whose argmax is blank; `token_accuracy` (seq2seq)
    is the share of correct tokens under teacher forcing. `peak_memory_mb` is that of the device,
    or of the process on a CPU, since the start.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float | None
    audio_s_per_s: float
    utterances_per_s: float
    padding: float
    loading_share: float
    blank_share: float | None = None
    token_accuracy: float | None = None
    peak_memory_mb: float | None = None


@dataclass(frozen=True, slots=True)
class SamplePrediction:
    reference: str
    hypothesis: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A score on the evaluation split during training, with a few sample predictions."""

    step: int
    score: Score
    loss: float | None
    samples: tuple[SamplePrediction, ...]
    best: bool


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    step: int
    path: str


@dataclass(frozen=True, slots=True)
class SegmentDone:
    """A part of a long utterance was transcribed; its times are from the start of the utterance.

    The text of the utterance may still differ where parts meet. Emitted from any thread, only where
    progress is followed.
    """

    utterance_id: str
    segment: Segment


@dataclass(frozen=True, slots=True)
class UtteranceDone:
    """One utterance was processed: its transcript, or the error it failed with.

    `speech_s` is the seconds of speech in it, if that was detected; `track` is the number of the
    audio track, if one was chosen.
    """

    utterance_id: str
    path: str
    duration_s: float
    transcript: Transcript | None
    error: str | None = None
    speech_s: float | None = None
    track: int | None = None


def add_speech_s(total_s: float | None, done: UtteranceDone) -> float | None:
    """Return the total with the seconds of speech of one more utterance."""
    return total_s if done.speech_s is None else (total_s or 0.0) + done.speech_s


def sum_speech_s(results: Iterable[UtteranceDone]) -> float | None:
    """Return the seconds of speech in all utterances; None if it was detected in none."""
    total_s: float | None = None
    for done in results:
        total_s = add_speech_s(total_s, done)
    return total_s


Event = (
    StageStarted
    | StageAdvanced
    | StageFinished
    | Noticed
    | TrainingStarted
    | StepLogged
    | Evaluated
    | CheckpointSaved
    | SegmentDone
    | UtteranceDone
)

Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Ignore the event: the observer of every rank but the first."""
