"""`vocab`: build a vocabulary from transcripts, in the files that transformers loads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from gaudi_asr_cli.core.data.measure import Measured
from gaudi_asr_cli.core.data.phonemes import pronounce_texts
from gaudi_asr_cli.core.data.reading import read_measured
from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import Noticed, Observer, ignore
from gaudi_asr_cli.core.records import Utterance, Vocabulary
from gaudi_asr_cli.core.text.casing import casing_of, holds_turkic_i
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.text.scripts import find_suspects, name_character
from gaudi_asr_cli.core.text.vocabulary import (
    build_vocabulary,
    count_units,
    write_processor_files,
    write_tokenizer_files,
)
from gaudi_asr_cli.core.whole_files import open_whole_folder

_SURROGATE = re.compile("[\ud800-\udfff]")

CharacterStatus = Literal["kept", "removed", "unknown"]


@dataclass(frozen=True, slots=True)
class VocabRequest:
    """The data, the text rules, and where the files go.

    `phonemes_of` is the language whose phonemes are counted; None counts characters.
    """

    sources: tuple[str, ...]
    out: Path
    read: ReadOptions = field(default_factory=ReadOptions)
    rules: TextRules = field(default_factory=TextRules)
    min_count: int = 1
    word_delimiter_token: str = "|"  # noqa: S105
    unk_token: str = "[UNK]"  # noqa: S105
    pad_token: str = "[PAD]"  # noqa: S105
    phonemes_of: str | None = None


@dataclass(frozen=True, slots=True)
class CharacterRow:
    """A character of the data, how often it occurs, and whether it is kept."""

    character: str
    name: str
    count: int
    status: CharacterStatus
    reason: str


@dataclass(frozen=True, slots=True)
class VocabReport:
    """The vocabulary, the count of each character, and warnings."""

    vocabulary: Vocabulary
    out: Path
    characters: tuple[CharacterRow, ...]
    counts: dict[str, int]
    removed: dict[str, int]
    warnings: tuple[str, ...]
    utterances: int
    audio_s: float

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "vocab/1",
            "tokens": list(self.vocabulary.tokens),
            "counts": self.counts,
            "removed": self.removed,
            "notes": list(self.warnings),
            "hours": self.audio_s / 3600,
            "utterances": self.utterances,
        }


def vocab(request: VocabRequest, observe: Observer = ignore) -> VocabReport:
    """Count the characters (or phonemes) of all transcripts; write tokenizer and processor files.

    Raises:
        MachineError: Phonemes are requested and espeak-ng, the `demo` extra, is not installed.
        UsageError: The output folder exists and is not empty.
        DataError: No utterance has text, or no character is left.
    """
    _require_empty(request.out)
    measured = read_measured(request.sources, request.read, observe)
    utterances = _with_text(measured, observe)
    counts, removed = _count_units(utterances, request)
    vocabulary = build_vocabulary(
        counts,
        delimiter=request.word_delimiter_token,
        unknown=request.unk_token,
        blank=request.pad_token,
        min_count=request.min_count,
        phonemes_of=request.phonemes_of,
    )
    with open_whole_folder(request.out) as unfinished:
        write_tokenizer_files(vocabulary, unfinished)
        write_processor_files(unfinished)
    return VocabReport(
        vocabulary=vocabulary,
        out=request.out,
        characters=_explain(counts, removed, request),
        counts=_commonest_first(counts),
        removed=_commonest_first(removed),
        warnings=(
            *(() if request.phonemes_of else _note_casing(utterances, request.rules)),
            *(() if request.phonemes_of else find_suspects(counts)),
        ),
        utterances=len(utterances),
        audio_s=measured.audio_s,
    )


def _require_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"{out} exists already and is not an empty folder.",
            remedy="Choose another --out; nothing is overwritten.",
        )


def _with_text(measured: Measured, observe: Observer) -> tuple[Utterance, ...]:
    """Return the utterances with text, readable or not: a vocabulary needs no audio."""
    if measured.broken:
        first = measured.broken[0]
        observe(
            Noticed(
                f"{len(measured.broken)} audio files cannot be read and are not in the hours, "
                f"the first {first}".rstrip(".")
                + ".",
                remedy="Their text is counted; fix or remove these files before training.",
            )
        )
    everything = chain(measured.utterances, (broken.utterance for broken in measured.broken))
    utterances = tuple(one for one in everything if one.text and one.text.strip())
    if not utterances:
        example = next(chain(map(str, measured.broken), _paths(measured.utterances)), "")
        raise DataError(
            "No utterance of the data has text, so there is nothing to count"
            f"{'; the first, ' if example else ''}{example}".rstrip(".")
            + ".",
            remedy="Name the column that holds it with --text-column, or check the --split.",
        )
    _reject_surrogates(utterances)
    return utterances


def _reject_surrogates(utterances: Sequence[Utterance]) -> None:
    """Reject text with half of a surrogate pair, which UTF-8 cannot encode."""
    for one in utterances:
        found = _SURROGATE.search(one.text or "")
        if found:
            raise DataError(
                f"The text of {one.id} holds U+{ord(found.group()):04X}, half of a surrogate pair, "
                "which is not a character.",
                remedy="Save the text as UTF-8 again: the other half was lost in a conversion.",
            )


def _paths(utterances: Iterable[Utterance]) -> Iterator[str]:
    return (f"{one.audio.path}: no text" for one in utterances)


def _count_units(
    utterances: Sequence[Utterance], request: VocabRequest
) -> tuple[Counter[str], Counter[str]]:
    """Count the characters (or phonemes) after the rules, and those that were stripped."""
    removed: Counter[str] = Counter()
    for utterance in utterances:
        removed.update(request.rules.removed(utterance.text or ""))
    if request.phonemes_of is not None:
        spoken = pronounce_texts(utterances, request.phonemes_of, request.rules.clean)
        return count_units((one.text or "" for one in spoken), phonemes=True), removed
    counts: Counter[str] = Counter()
    for utterance in utterances:
        counts.update(request.rules.clean(utterance.text or ""))
    return counts, removed


def _note_casing(utterances: Sequence[Utterance], rules: TextRules) -> Iterator[str]:
    """Yield notes on languages with case rules of their own."""
    if casing_of(rules.language) is not None:
        return
    if rules.language is not None:
        yield (
            f"--language {rules.language} changes no character: only Turkish, Azeri and their "
            "relatives (tr, az, crh, gag) have case rules of their own."
        )
    number = sum(holds_turkic_i(one.text or "") for one in utterances)
    if number and rules.case != "keep":
        yield (
            f"{number:,} of {len(utterances):,} texts hold İ or ı, and --case {rules.case} "
            "used the rules of other languages, which pair i with I: for Turkish or Azeri "
            "pass --language tr."
        )


def _explain(
    counts: Counter[str], removed: Counter[str], request: VocabRequest
) -> tuple[CharacterRow, ...]:
    def row(character: str, count: int, status: CharacterStatus, reason: str = "") -> CharacterRow:
        return CharacterRow(character, name_character(character), count, status, reason)

    rows: list[CharacterRow] = []
    for character, count in _commonest_first(counts).items():
        if character == " ":
            reason = f"between words, written {request.word_delimiter_token}"
            rows.append(row(character, count, "kept", reason))
        elif count >= request.min_count:
            rows.append(row(character, count, "kept"))
        else:
            reason = f"fewer than --min-count {request.min_count}"
            rows.append(row(character, count, "unknown", reason))
    for character, count in _commonest_first(removed).items():
        rows.append(row(character, count, "removed", "named by --strip-chars"))
    return tuple(rows)


def _commonest_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
