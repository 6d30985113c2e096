"""What a reader of a score has to know of its texts: a sentence each, beside the rates."""

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

MOST_NAMED = 10
"""Ids of utterances in one sentence."""
MOST_EXAMPLES = 5
LONGEST_EXAMPLE = 40
"""Columns."""


def find_notes(
    scored: Sequence[ScoredUtterance], normalizer: str, rules: TextRules
) -> tuple[str, ...]:
    """Return the notes that these texts need under this normaliser.

    Args:
        scored: Texts as written and as scored.
        normalizer: Name of the normaliser, without the version of a library.
        rules: What was done before it.
    """
    return (
        *_note_empty(scored),
        *_note_ignorable(scored, normalizer),
        *(_note_remarks(scored) if keeps_remarks(normalizer) else ()),
        *_note_turkic(scored, normalizer, rules),
        *(_note_numbers(scored) if normalizer == "whisper-english" else ()),
    )


def name_some(ids: Sequence[str], most: int = MOST_NAMED) -> str:
    """Return the first ids, and how many more there are."""
    more = f" and {len(ids) - most:,} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + more


def _note_empty(scored: Sequence[ScoredUtterance]) -> Iterator[str]:
    empty = [one for one in scored if not one.reference]
    if not empty:
        return
    insertions = sum(one.words.insertions for one in empty)
    yield (
        f"{_count(len(empty), 'reference')} {_is(len(empty))} empty after normalising "
        f"({name_some([one.id for one in empty])}): only insertions can count there, and "
        f"{insertions:,} did."
    )


def _note_ignorable(scored: Sequence[ScoredUtterance], normalizer: str) -> Iterator[str]:
    references = [count_ignorable(one.raw_reference) for one in scored]
    hypotheses = [count_ignorable(one.raw_hypothesis) for one in scored]
    counts = sum((*references, *hypotheses), Counter[str]())
    if not counts:
        return
    named = [code_point(character) for character, _ in counts.most_common(MOST_EXAMPLES)]
    if len(counts) > MOST_EXAMPLES:
        named.append("...")
    total, one = counts.total(), sum(map(bool, references))
    fate = (
        f"{'was' if total == 1 else 'were'} dropped before scoring"
        if drops_ignorable(normalizer)
        else f"{'counts' if total == 1 else 'count'} as {normalizer} takes "
        f"{'it' if total == 1 else 'them'}; basic/2 drops {'it' if total == 1 else 'them'}"
    )
    yield (
        f"{_count(total, 'default-ignorable character')} ({', '.join(named)}) in "
        f"{_count(one, 'reference')} and {_count(sum(map(bool, hypotheses)), 'hypothesis')} {fate}."
    )


def _note_remarks(scored: Sequence[ScoredUtterance]) -> Iterator[str]:
    remarks = [found for one in scored if (found := find_remark(one.raw_reference))]
    if remarks:
        hold = "holds" if len(remarks) == 1 else "hold"
        yield (
            f"{_count(len(remarks), 'reference')} {hold} words in brackets, such as "
            f"{shorten(remarks[0], LONGEST_EXAMPLE)!r}, which count as words here; "
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
        holds_turkic_i(one.raw_reference) or holds_turkic_i(one.raw_hypothesis) for one in scored
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
    utterances: list[str] = []
    for one in scored:
        found = [*find_odd_numbers(one.raw_reference), *find_odd_numbers(one.raw_hypothesis)]
        if found:
            utterances.append(one.id)
        for number in found:
            odd.setdefault(str(number), one.id)
    if utterances:
        shown = "; ".join(f"{number} in {odd[number]}" for number in list(odd)[:MOST_EXAMPLES])
        yield (
            f"whisper-english changes numbers of {_count(len(utterances), 'utterance')} "
            f"({name_some(utterances)}) oddly, which may hide errors or make them: {shown}."
        )


def _count(number: int, noun: str) -> str:
    plural = "hypotheses" if noun == "hypothesis" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
