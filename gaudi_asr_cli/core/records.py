"""The nouns that travel between the parts: frozen, slotted, times in seconds (`_s`).

Shapes are named by letters: B utterances, T samples, F frames, V tokens, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Unit = Literal["word", "phoneme"]
"""What errors are counted in."""

SAMPLE_RATE_HZ = 16_000
"""Every model family served here hears 16 kHz; audio is resampled to it when it is loaded."""


@dataclass(frozen=True, slots=True)
class RawFormat:
    """What the samples of a file without a header are; `encoding` as in s16le or mulaw."""

    rate_hz: int
    encoding: str
    channels: int = 1


@dataclass(frozen=True, slots=True)
class AudioSpan:
    """A place in a file; nothing is read.

    `duration_s` is None until somebody has looked: the span then reaches to the end of the file.
    `row` is set when the audio is a cell of a Parquet or Arrow file: row number in the file;
    `column` then names the audio column. `raw` is set where the file has no header.
    """

    path: Path
    start_s: float = 0.0
    duration_s: float | None = None
    row: int | None = None
    column: str | None = None
    raw: RawFormat | None = None


@dataclass(frozen=True, slots=True)
class Utterance:
    """What somebody said, and where its audio is. `text` is as the source has it.

    `origin` is the list and line that name it, for messages; `rejection` says why it cannot be
    used, where its row alone already shows that.
    """

    id: str
    audio: AudioSpan
    text: str | None = None
    speaker: str | None = None
    origin: str = field(default="", compare=False)
    rejection: str = ""


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """Utterances that travel together, padded to `padded_s` seconds and `label_tokens` labels."""

    indices: tuple[int, ...]
    padded_s: float
    label_tokens: int


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """Batches in the order they are run; `too_long` holds the indices that no bucket took."""

    batches: tuple[PlannedBatch, ...]
    too_long: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AudioBatch:
    """Raw sound at 16 kHz, padded with zeros.

    `samples` is float32 (B, T), `lengths` int64 (B,): samples that are sound, not padding.
    """

    utterances: tuple[Utterance, ...]
    samples: NDArray[np.float32]
    lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Emissions:
    """What the network says, on the host.

    `log_probs` is float32 (B, F, V), `frames` int64 (B,): frames that are speech, not padding;
    `frame_s` is the step from one frame to the next.
    """

    log_probs: NDArray[np.float32]
    frames: NDArray[np.int64]
    frame_s: float

    def is_finite(self, row: int) -> bool:
        """Whether all that the network says of a row are numbers."""
        import numpy as np

        return bool(np.isfinite(self.log_probs[row, : int(self.frames[row])]).all())


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text between two time tokens of a decoder, on the clock of what it heard."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a decoder network wrote of one utterance.

    `tokens` are those it chose, time tokens included, without prompt and end; `truncated` says that
    it had not come to an end when it was stopped. `segments` are there where times were wanted.
    `finite` says that what it was written from were numbers.
    """

    tokens: tuple[int, ...]
    text: str
    language: str | None = None
    truncated: bool = False
    segments: tuple[Segment, ...] = ()
    finite: bool = True


@dataclass(frozen=True, slots=True)
class Generated:
    """What a decoder network wrote of a batch, one of `rows` for each utterance."""

    rows: tuple[Hypothesis, ...]

    def is_finite(self, row: int) -> bool:
        """See `Emissions`."""
        return self.rows[row].finite


class Output(Protocol):
    """What a network says of a batch: `Emissions` or `Generated`."""

    def is_finite(self, row: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token i is column i of the emissions.

    `special` holds columns that never become text (blank, `<s>`, `</s>`, unknown). `phonemes_of` is
    the language (of espeak-ng) whose phonemes the tokens are; None: they are characters.
    """

    tokens: tuple[str, ...]
    blank: int
    delimiter: int | None = None
    unknown: int | None = None
    special: frozenset[int] = frozenset()
    phonemes_of: str | None = None


@dataclass(frozen=True, slots=True)
class WordTiming:
    """A word, when it was said in the file's own clock, and how sure the model is (0 to 1).

    `confidence` is None where the model does not say; `characters` are the word's own, each a
    `WordTiming` of one letter, where they were asked for.
    """

    word: str
    start_s: float
    end_s: float
    confidence: float | None
    characters: tuple[WordTiming, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the model heard; `truncated` where a decoder was stopped before it came to an end."""

    utterance_id: str
    text: str
    words: tuple[WordTiming, ...] = ()
    language: str | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Counts of an alignment; they add, where rates do not."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def reference_length(self) -> int:
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference unit; with an empty reference 0 for no insertion, else 1 each."""
        if self.reference_length == 0:
            return float(self.insertions)
        return self.errors / self.reference_length


@dataclass(frozen=True, slots=True)
class ScoredUtterance:
    """One line of predictions.jsonl: texts as scored and as written, and the counts of words."""

    id: str
    path: str
    reference: str
    hypothesis: str
    raw_reference: str
    raw_hypothesis: str
    words: ErrorCounts
    characters: ErrorCounts
    raw_words: ErrorCounts
    raw_characters: ErrorCounts
    duration_s: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """The account of an evaluation; rates are fractions, `words` counts normalised words.

    Where `unit` is phoneme, a word is one: `wer` is the phoneme error rate. `cer_first` says that
    the references have no spaces between words; `notes` are sentences about the texts, and
    `empty_references` ids of utterances whose reference is empty as scored.
    `audio_s` and `utterances` are what was scored, the `_total` ones what the data holds.
    """

    wer: float
    wer_low: float
    wer_high: float
    cer: float
    words: ErrorCounts
    sentence_error_rate: float
    utterances: int
    utterances_total: int
    audio_s: float
    audio_s_total: float
    normalizer: str
    raw_wer: float
    raw_cer: float
    rtfx: float | None = None
    phases_s: dict[str, float] = field(default_factory=dict)
    slices: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    unit: Unit = "word"
    cer_first: bool = False
    notes: tuple[str, ...] = ()
    empty_references: tuple[str, ...] = ()

    @property
    def rate_name(self) -> str:
        """What `wer` is called among those who use it."""
        return "WER" if self.unit == "word" else "PER"
