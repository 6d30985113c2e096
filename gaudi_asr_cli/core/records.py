"""The records passed between modules: frozen, slotted dataclasses, times in seconds (`_s`).

Shapes are named by letters: B utterances, T samples, F frames, V tokens, L labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Unit = Literal["word", "phoneme"]
"""The unit in which errors are counted."""

SAMPLE_RATE_HZ = 16_000
"""The sample rate of every supported model family; audio is resampled to it when loaded."""


@dataclass(frozen=True, slots=True)
class RawFormat:
    """The sample format of a headerless file; `encoding` is s16le, mulaw or another."""

    rate_hz: int
    encoding: str
    channels: int = 1


@dataclass(frozen=True, slots=True)
class AudioSpan:
    """A part of an audio file; nothing is read.

    `duration_s` is None until it is measured: the span then extends to the end of the file.
    `row` is set when the audio is a cell of a Parquet or Arrow file: row number in the file;
    `column` then names the audio column. `raw` is set where the file has no header. `track` is the
    number of an audio track of a container, or the language by which one is preferred. `channel` is
    the only channel to read, from 0; None reads all, mixed down.
    """

    path: Path
    start_s: float = 0.0
    duration_s: float | None = None
    row: int | None = None
    column: str | None = None
    raw: RawFormat | None = None
    track: int | str | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Utterance:
    """One segment of speech: its audio, and its transcript `text` as the source has it.

    `origin` is the list and line of the utterance, for messages; `rejection` is why it cannot be
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
    """Utterances of one batch, padded to `padded_s` seconds and `label_tokens` labels."""

    indices: tuple[int, ...]
    padded_s: float
    label_tokens: int


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """Batches in the order of execution; `too_long` holds the indices that fit no bucket."""

    batches: tuple[PlannedBatch, ...]
    too_long: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AudioBatch:
    """Raw audio at 16 kHz, padded with zeros.

    `samples` is float32 (B, T), `lengths` int64 (B,): samples without padding.
    """

    utterances: tuple[Utterance, ...]
    samples: NDArray[np.float32]
    lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Speech:
    """Where there is speech in audio: spans of start and end in seconds, rising."""

    spans: tuple[tuple[float, float], ...]

    @property
    def seconds(self) -> float:
        """Return the seconds of speech."""
        return sum(end_s - start_s for start_s, end_s in self.spans)

    def between(self, from_s: float, to_s: float) -> Speech:
        """Return the speech from one time to another."""
        clipped = ((max(start_s, from_s), min(end_s, to_s)) for start_s, end_s in self.spans)
        return Speech(tuple(span for span in clipped if span[0] < span[1]))


@dataclass(frozen=True, slots=True)
class Emissions:
    """CTC output of the network, on the host.

    `log_probs` is float32 (B, F, V), `frames` int64 (B,): frames without padding; `frame_s` is
    the stride from one frame to the next in seconds.
    """

    log_probs: NDArray[np.float32]
    frames: NDArray[np.int64]
    frame_s: float

    def is_finite(self, row: int) -> bool:
        """Return whether all log probabilities of a row are finite."""
        import numpy as np

        return bool(np.isfinite(self.log_probs[row, : int(self.frames[row])]).all())

    @property
    def first_token_s(self) -> None:
        """Return None: no token is generated before another."""


@dataclass(frozen=True, slots=True)
class DecodingStats:
    """Measures of a generated text, as openai-whisper defines them.

    `avg_logprob` is the mean log probability of the tokens and the end token, `compression_ratio`
    the bytes of the text over its bytes compressed. `no_speech_probability` is that of Whisper's
    no-speech token; None if the model has none.
    """

    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_probability: float | None = None
    repetitive: bool = False


def worst_stats(parts: Iterable[DecodingStats | None]) -> DecodingStats | None:
    """Return the worst of each measure; None if there are none."""
    known = [one for one in parts if one is not None]
    if not known:
        return None
    no_speech = [one.no_speech_probability for one in known]
    return DecodingStats(
        temperature=max(one.temperature for one in known),
        avg_logprob=min(one.avg_logprob for one in known),
        compression_ratio=max(one.compression_ratio for one in known),
        no_speech_probability=max((one for one in no_speech if one is not None), default=None),
        repetitive=any(one.repetitive for one in known),
    )


@dataclass(frozen=True, slots=True)
class Segment:
    """Text between two timestamp tokens, timed from the start of the decoder's input.

    `stats` are those of the window that the segment was generated in; `words` those of the text,
    where their times were computed.
    """

    text: str
    start_s: float
    end_s: float
    stats: DecodingStats | None = field(default=None, compare=False)
    words: tuple[WordTiming, ...] = field(default=(), compare=False)

    def shifted(self, by_s: float) -> Segment:
        """Return the segment and its words that much later."""
        return replace(
            self,
            start_s=self.start_s + by_s,
            end_s=self.end_s + by_s,
            words=tuple(
                replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s)
                for word in self.words
            ),
        )


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """Times of the text tokens of a hypothesis, from the start of the decoder's input.

    `starts_s` has one value for each token, and the end of the last; `probabilities` one for each.
    """

    starts_s: tuple[float, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The hypothesis of a seq2seq model for one utterance.

    `tokens` are the generated ones, timestamp tokens included, without prompt and end token;
    `truncated` is set where generation was stopped before the end token. `segments` are present
    where timestamps were requested. `finite` is whether the logits were finite.
    `language_probability` is present where the language was detected, `token_times` where they
    were computed.
    """

    tokens: tuple[int, ...]
    text: str
    language: str | None = None
    truncated: bool = False
    segments: tuple[Segment, ...] = ()
    finite: bool = True
    stats: DecodingStats | None = field(default=None, compare=False)
    language_probability: float | None = field(default=None, compare=False)
    token_times: TokenTimes | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Generated:
    """Output of a seq2seq model for a batch: one hypothesis in `rows` for each utterance.

    `first_token_s` is the time from the start of the encoder to the first token, where measured;
    `encoded` is what the encoder returned for each row, where it is kept for another attempt.
    """

    rows: tuple[Hypothesis, ...]
    first_token_s: float | None = field(default=None, compare=False)
    encoded: tuple[Any, ...] = field(default=(), compare=False, repr=False)

    def is_finite(self, row: int) -> bool:
        """Return whether the logits of a row were finite."""
        return self.rows[row].finite


class Output(Protocol):
    """Output of a network for a batch: `Emissions` or `Generated`."""

    def is_finite(self, row: int) -> bool: ...

    @property
    def first_token_s(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Subwords:
    """A tokenizer of subwords: its files by name, and the mark that a token of a new word has.

    The first file is tokenizer.json.
    """

    files: tuple[tuple[str, str], ...] = field(repr=False)
    mark: str

    @property
    def definition(self) -> str:
        """The content of tokenizer.json."""
        return self.files[0][1]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens of a CTC model: token i is column i of the emissions.

    `special` holds columns that never become text (blank, `<s>`, `</s>`, unknown). `phonemes_of` is
    the espeak-ng code of the language whose phonemes the tokens are; None: they are characters.
    `separator` is what the delimiter is in text; nothing in some languages without spaces.
    `unnamed` are columns without a token, which never win against one that has a token.
    `subwords` is set where tokens are subwords, which have no delimiter between words.
    """

    tokens: tuple[str, ...]
    blank: int
    delimiter: int | None = None
    unknown: int | None = None
    special: frozenset[int] = frozenset()
    phonemes_of: str | None = None
    separator: str = " "
    unnamed: frozenset[int] = frozenset()
    subwords: Subwords | None = None


@dataclass(frozen=True, slots=True)
class WordTiming:
    """A word with its start and end in the file, and the model's confidence (0 to 1).

    `confidence` is None where the model gives none; `characters` are those of the word, each a
    `WordTiming` of one character, where they were requested.
    """

    word: str
    start_s: float
    end_s: float
    confidence: float | None
    characters: tuple[WordTiming, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """A text of the n best, and its score: a natural logarithm, comparable within an utterance."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcript of an utterance.

    Times of `words` and `segments` are on the clock of the file. `segments` are present where the
    model gives them; `truncated` is set where decoding stopped before the end token; `tokens` is
    the number of generated tokens, None of a CTC model. `n_best` holds the best texts, that of the
    transcript first, where several were requested. `channels` holds the transcript of each channel
    where each was transcribed; text and words are then those of all, merged by time. `stats` (of
    long audio the worst of its windows) and `language_probability` are those of a `Hypothesis`.
    """

    utterance_id: str
    text: str
    words: tuple[WordTiming, ...] = ()
    language: str | None = None
    truncated: bool = False
    tokens: int | None = None
    segments: tuple[Segment, ...] = ()
    n_best: tuple[Alternative, ...] = ()
    channels: tuple[Transcript, ...] = ()
    stats: DecodingStats | None = field(default=None, compare=False)
    language_probability: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Counts of an alignment: counts can be added, rates cannot."""

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
        """Errors per reference unit; with an empty reference, the number of insertions."""
        if self.reference_length == 0:
            return float(self.insertions)
        return self.errors / self.reference_length


@dataclass(frozen=True, slots=True)
class ScoredUtterance:
    """One line of predictions.jsonl: normalised and raw texts, and their error counts.

    `start_s` is where the utterance begins in its file; `confidences` has a value for each word of
    the raw hypothesis, where the model gives them.
    """

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
    start_s: float = 0.0
    confidences: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """The result of an evaluation; rates are fractions, `words` counts normalised words.

    Where `unit` is phoneme, phonemes are counted as words: `wer` is the phoneme error rate.
    `cer_first` is set where the references have no spaces between words; `notes` are sentences
    about the texts, and `empty_references` ids of utterances whose normalised reference is empty.
    `audio_s` and `utterances` are the scored amounts, the `_total` ones those of the data.
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
        """The usual name of `wer`: WER, or PER for phonemes."""
        return "WER" if self.unit == "word" else "PER"
