"""The tests of `check`: each looks for one flaw and says whether it stops training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from gaudi_asr_cli.core.data.measure import Measured
from gaudi_asr_cli.core.data.overlaps import find_overlaps
from gaudi_asr_cli.core.data.quality import (
    AudioFacts,
    SharedAudio,
    find_shared_audio,
)
from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Utterance, Vocabulary
from gaudi_asr_cli.core.text.alignment import alignment_shortfall
from gaudi_asr_cli.core.text.unknown import fix_unknown
from gaudi_asr_cli.core.text.vocabulary import (
    count_unknown,
    encode,
    unknown_characters,
)
from gaudi_asr_cli.core.training.examples import UNKNOWN_LIMIT

Severity = Literal["stops", "warns", "fine"]

SHORT_S = 0.1
LONG_UTTERANCE_S = 30.0
MAX_SKIPPED_RATIO = 0.5
"""If training skips more than this share of the data, data and model do not match."""

SHOWN_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """`count` utterances (or characters, tokens) out of `of` have one flaw; `count` may be 0."""

    kind: str
    severity: Severity
    count: int
    of: int
    unit: str = "utterances"
    examples: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The model that data is checked against; without a vocabulary every character is a label."""

    geometry: FrameGeometry
    vocabulary: Vocabulary | None


@dataclass(frozen=True, slots=True)
class InspectedAudio:
    """The decoded utterances with their measurements, and the errors of the others."""

    facts: tuple[tuple[Utterance, AudioFacts], ...]
    broken: tuple[str, ...]


def judge(
    kind: str, examples: Sequence[str], of: int, remedy: str, severity: Severity = "warns"
) -> CheckFinding:
    """Return a finding with the count of `examples` and the first few; fine if there are none."""
    return CheckFinding(
        kind,
        severity if examples else "fine",
        len(examples),
        of,
        examples=tuple(examples[:SHOWN_EXAMPLES]),
        remedy=remedy if examples else "",
    )


def judge_skipped(kind: str, examples: Sequence[str], of: int, remedy: str) -> CheckFinding:
    """Return a finding on examples that training skips; too many of them stop training."""
    stops = len(examples) > MAX_SKIPPED_RATIO * of
    return judge(kind, examples, of, remedy, "stops" if stops else "warns")


def judge_readable(measured: Sequence[Measured], inspected: InspectedAudio) -> CheckFinding:
    """Find files that cannot be read or decoded."""
    unread = [broken.reason for one in measured for broken in one.broken]
    total = sum(len(one.utterances) + len(one.broken) for one in measured)
    remedy = "Fix these files or remove them from the data: training stops when it reaches one."
    return judge("unreadable", [*unread, *inspected.broken], total, remedy, "stops")


def judge_contradictions(measured: Sequence[Measured]) -> CheckFinding:
    """Find rows whose declared duration contradicts their file."""
    examples = [str(found) for one in measured for found in one.contradictions]
    total = sum(len(one.utterances) + len(one.broken) for one in measured)
    remedy = "They are read up to the end of the file; correct the list, or its unit (seconds)."
    return judge("contradicted_length", examples, total, remedy)


def judge_overlaps(utterances: Sequence[Utterance]) -> CheckFinding:
    """Find overlapping segments of one recording with different texts."""
    examples = [str(overlap) for overlap in find_overlaps(utterances)]
    remedy = "One of the texts does not belong to the audio they share: correct the times."
    return judge("overlapping", examples, len(utterances), remedy)


def judge_empty(utterances: Sequence[Utterance], texts: Sequence[str]) -> CheckFinding:
    """Find utterances whose cleaned text is empty."""
    empty = [one.id for one, text in zip(utterances, texts, strict=True) if not text]
    remedy = "Name the column with --text-column, check --strip-chars, or remove these."
    return judge_skipped("empty_text", empty, len(texts), remedy)


def judge_alignment(
    utterances: Sequence[Utterance], texts: Sequence[str], target: Target
) -> CheckFinding:
    """Find texts with more labels than CTC can align with the frames of their audio."""
    examples = []
    for utterance, text in zip(utterances, texts, strict=True):
        samples = round((utterance.audio.duration_s or 0.0) * SAMPLE_RATE_HZ)
        labels = _label(target.vocabulary, text)
        shortfall = alignment_shortfall(labels, target.geometry.count_frames(samples))
        if shortfall is not None:
            examples.append(f"{utterance.id}: {shortfall}")
    remedy = (
        "Training skips these. Look for text that belongs to other audio, spans that are too "
        "short, or speech that is too fast for the model's frames."
    )
    return judge_skipped("unalignable", examples, len(texts), remedy)


def _label(vocabulary: Vocabulary | None, text: str) -> Sequence[int]:
    if vocabulary is None:
        return [ord(character) for character in text]
    if vocabulary.unknown is None:
        unknown = unknown_characters(vocabulary, text)
        text = "".join(character for character in text if character not in unknown)
    return encode(vocabulary, text)


def judge_characters(
    utterances: Sequence[Utterance], texts: Sequence[str], vocabulary: Vocabulary | None
) -> Iterable[CheckFinding]:
    """Find characters that the vocabulary lacks; nothing if it will be made from this data."""
    if vocabulary is None:
        return
    missed, total = count_unknown(vocabulary, texts)
    first = {one: _find_first(one, utterances, texts) for one in list(missed)[:SHOWN_EXAMPLES]}
    yield CheckFinding(
        "unknown_characters",
        _judge_unknown(vocabulary, sum(missed.values()), total),
        sum(missed.values()),
        total,
        unit="characters" if vocabulary.phonemes_of is None else "phonemes",
        examples=tuple(f"{one!r} {missed[one]} times, first in {first[one]}" for one in first),
        remedy=fix_unknown(vocabulary, texts) if missed else "",
    )


def _judge_unknown(vocabulary: Vocabulary, missed: int, total: int) -> Severity:
    if not missed:
        return "fine"
    few = vocabulary.unknown is not None and missed <= UNKNOWN_LIMIT * total
    return "warns" if few else "stops"


def _find_first(character: str, utterances: Sequence[Utterance], texts: Sequence[str]) -> str:
    return next(one.id for one, text in zip(utterances, texts, strict=True) if character in text)


def judge_lengths(utterances: Sequence[Utterance]) -> Iterable[CheckFinding]:
    """Find utterances that are very short or very long."""
    lengths = [(one, one.audio.duration_s or 0.0) for one in utterances]
    short = [f"{one.id}: {length_s:.3f} s" for one, length_s in lengths if length_s < SHORT_S]
    long = [
        f"{one.id}: {length_s:.1f} s" for one, length_s in lengths if length_s > LONG_UTTERANCE_S
    ]
    yield judge(
        "too_short", short, len(lengths), f"Under {SHORT_S} s there is hardly a word: inspect them."
    )
    yield judge(
        "too_long",
        long,
        len(lengths),
        f"Over {LONG_UTTERANCE_S:.0f} s one utterance needs the memory of a batch: cut at pauses.",
    )


_AUDIO_TESTS: tuple[tuple[str, Severity, Callable[[AudioFacts], bool], str], ...] = (
    (
        "silent",
        "warns",
        lambda facts: facts.silent,
        "The model would learn to hallucinate this text: remove these, or find their audio.",
    ),
    (
        "clipped",
        "warns",
        lambda facts: facts.clipped,
        "Recorded too loud. It cannot be undone; keep them if the speech is still clear.",
    ),
    (
        "upsampled",
        "warns",
        lambda facts: facts.upsampled,
        "Nothing above 4 kHz: 8 kHz recordings stored at a higher rate. Evaluate on recordings of "
        "the same kind, and do not mix them with wideband speech.",
    ),
    (
        "low_rate",
        "fine",
        lambda facts: facts.low_rate,
        "The files are below 16 kHz and are resampled when they are loaded; a model pretrained on "
        "wideband speech may need more of them.",
    ),
)


def judge_audio(inspected: InspectedAudio) -> Iterable[CheckFinding]:
    """Find silent, clipped, upsampled and low-rate audio among the decoded utterances."""
    for kind, severity, is_flawed, remedy in _AUDIO_TESTS:
        flawed = [utterance.id for utterance, facts in inspected.facts if is_flawed(facts)]
        yield judge(kind, flawed, len(inspected.facts), remedy, severity)


def judge_splits(
    train: Sequence[Utterance], evaluation: Sequence[Utterance]
) -> Iterable[CheckFinding]:
    """Find audio, ids and speakers that training and evaluation share."""
    if not evaluation:
        return
    shared = partial(judge, of=len(evaluation))
    copies = find_shared_audio(train, evaluation)
    yield shared(
        "shared_audio",
        [_name_pair(pair) for pair in copies],
        remedy="The score would be too good: remove these from training.",
    )
    ids = {utterance.id for utterance in train}
    yield shared(
        "shared_ids",
        [one.id for one in evaluation if one.id in ids],
        remedy="Make sure that the splits are not the same data.",
    )
    speakers = {utterance.speaker for utterance in train} - {None}
    yield shared(
        "shared_speakers",
        [f"{one.id}: {one.speaker}" for one in evaluation if one.speaker in speakers],
        remedy="The score holds for these speakers, not for new ones; that may be what you want.",
        severity="fine",
    )


def _name_pair(pair: SharedAudio) -> str:
    return f"{pair.evaluation.id} is {pair.train.id} ({pair.evaluation.audio.path})"
