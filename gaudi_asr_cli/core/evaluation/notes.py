"""Notes on the texts of a score: what a reader of the rates should know, a sentence each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gaudi_asr_cli.core.records import ScoredUtterance
from gaudi_asr_cli.core.text.casing import casing_of, holds_turkic_i
from gaudi_asr_cli.core.text.english_numbers import find_odd_numbers
from gaudi_asr_cli.core.text.graphemes import shorten
from gaudi_asr_cli.core.text.ignorable import count_ignorable
from gaudi_asr_cli.core.text.normalizers import (
    drops_ignorable,
    find_remark,
    folds_case,
    follows_language,
    keeps_remarks,
)
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.text.scripts import code_point

MAX_IDS = 10
"""Maximum number of utterance ids in one sentence."""
MAX_EXAMPLES = 5
MAX_EXAMPLE_COLUMNS = 40


def find_notes(
    scored: Sequence[ScoredUtterance], normalizer: str, rules: TextRules
) -> tuple[str, ...]:
    """Return the notes that apply to these texts under this normaliser.

    Args:
        scored: Raw and normalised texts.
        normalizer: Name of the normaliser, without the version of a library.
        rules: Text rules applied before it.
    """
    return (
        *_note_empty(scored),
        *_note_ignorable(scored, normalizer),
        *(_note_remarks(scored) if keeps_remarks(normalizer) else ()),
        *_note_turkic(scored, normalizer, rules),
        *(_note_numbers(scored) if normalizer == "whisper-english" else ()),
    )


def name_ids(ids: Sequence[str], most: int = MAX_IDS) -> str:
    """Return the first ids, and the number of further ones."""
    more = f" and {len(ids) - most:,} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + more


def _note_empty(scored: Sequence[ScoredUtterance]) -> Iterator[str]:
    empty = [utterance for utterance in scored if not utterance.reference]
    if not empty:
        return
    insertions = sum(utterance.words.insertions for utterance in empty)
    yield (
        f"{_count(len(empty), 'reference')} {_is(len(empty))} empty after normalising "
        f"({name_ids([utterance.id for utterance in empty])}): only insertions are possible "
        f"there, {insertions:,} in total."
    )


def _note_ignorable(scored: Sequence[ScoredUtterance], normalizer: str) -> Iterator[str]:
    references = [count_ignorable(utterance.raw_reference) for utterance in scored]
    hypotheses = [count_ignorable(utterance.raw_hypothesis) for utterance in scored]
    counts = sum((*references, *hypotheses), Counter[str]())
    if not counts:
        return
    named = [code_point(character) for character, _ in counts.most_common(MAX_EXAMPLES)]
    if len(counts) > MAX_EXAMPLES:
        named.append("...")
    total, affected = counts.total(), sum(map(bool, references))
    treatment = (
        f"{'was' if total == 1 else 'were'} dropped before scoring"
        if drops_ignorable(normalizer)
        else f"{'counts' if total == 1 else 'count'} as {normalizer} takes "
        f"{'it' if total == 1 else 'them'}; basic/2 drops {'it' if total == 1 else 'them'}"
    )
    yield (
        f"{_count(total, 'default-ignorable character')} ({', '.join(named)}) in "
        f"{_count(affected, 'reference')} and {_count(sum(map(bool, hypotheses)), 'hypothesis')} "
        f"{treatment}."
    )


def _note_remarks(scored: Sequence[ScoredUtterance]) -> Iterator[str]:
    remarks = [found for utt in scored if (found := find_remark(utt.raw_reference))]
    if remarks:
        hold = "holds" if len(remarks) == 1 else "hold"
        yield (
            f"{_count(len(remarks), 'reference')} {hold} words in brackets, such as "
            f"{shorten(remarks[0], MAX_EXAMPLE_COLUMNS)!r}, which count as words here; "
            "--normalizer basic/1 drops them."
        )


def _note_turkic(
    scored: Sequence[ScoredUtterance], normalizer: str, rules: TextRules
) -> Iterator[str]:
    folded_before = rules.case != "keep"
    turkic = casing_of(rules.language) is not None
    if turkic and (folded_before or follows_language(normalizer)):
        return
    if not (folded_before or folds_case(normalizer)):
        return
    number = sum(
        holds_turkic_i(utterance.raw_reference) or holds_turkic_i(utterance.raw_hypothesis)
        for utterance in scored
    )
    if number:
        choose = "" if follows_language(normalizer) else "--normalizer basic/2 "
        yield (
            f"{_count(number, 'utterance')} {'holds' if number == 1 else 'hold'} İ or ı, whose "
            "case was folded by the rules of other languages (I to i, not to ı): for Turkish or "
            f"Azeri pass {choose}--language tr."
        )


def _note_numbers(scored: Sequence[ScoredUtterance]) -> Iterator[str]:
    odd: dict[str, str] = {}
    ids: list[str] = []
    for utterance in scored:
        texts = (utterance.raw_reference, utterance.raw_hypothesis)
        found = [number for text in texts for number in find_odd_numbers(text)]
        if found:
            ids.append(utterance.id)
        for number in found:
            odd.setdefault(str(number), utterance.id)
    if ids:
        shown = "; ".join(f"{number} in {odd[number]}" for number in list(odd)[:MAX_EXAMPLES])
        yield (
            f"whisper-english changes numbers of {_count(len(ids), 'utterance')} "
            f"({name_ids(ids)}) in an unexpected way, which may hide or cause errors: {shown}."
        )


def _count(number: int, noun: str) -> str:
    plural = "hypotheses" if noun == "hypothesis" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
