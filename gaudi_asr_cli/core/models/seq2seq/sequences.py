"""From the token ids of `generate` to text: prompt, end, times and languages told apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from gaudi_asr_cli.core.models.seq2seq.generation import Generation, language_code
from gaudi_asr_cli.core.records import Generated, Hypothesis, Segment

TIME_S = 0.02
"""Seconds from one time token to the next."""


@dataclass(frozen=True, slots=True)
class SequenceReader:
    """What the ids of a model mean.

    Args:
        tokenizer: Makes text of ids.
        ends: Ids that end a text.
        filler: What rows are filled up with behind their end.
        prompts: Ids that stand in a prompt and nowhere else.
        languages: Ids of languages, and the codes of these.
        tasks: Ids of tasks by their names.
        first_time: The id of 0.00 s; all from there on are times. None where there are none.
        prompt: Ids of a prompt where nobody says how it should be; None for those of a language
            and a task.
    """

    tokenizer: Any
    ends: frozenset[int]
    filler: int
    prompts: frozenset[int]
    languages: Mapping[int, str]
    tasks: Mapping[str, int]
    first_time: int | None
    prompt: tuple[int, ...]

    @classmethod
    def for_model(cls, tokenizer: Any, settings: Any, *, whisper: bool) -> SequenceReader:
        """What a generation configuration and its tokenizer tell."""
        ends = _as_ids(settings.eos_token_id) or _as_ids(tokenizer.eos_token_id)
        fillers = (settings.pad_token_id, tokenizer.pad_token_id, *sorted(ends), 0)
        known = getattr(settings, "lang_to_id", None) or {}
        start = settings.decoder_start_token_id
        silent = getattr(settings, "no_timestamps_token_id", None) if whisper else None
        tasks = getattr(settings, "task_to_id", None) or {}
        forced = tuple(pair[1] for pair in getattr(settings, "forced_decoder_ids", None) or ())
        prompt = tuple(one for one in (start, *forced) if one is not None) if whisper else (start,)
        special = {start, silent, *known.values(), *tasks.values(), *forced} - {None}
        return cls(
            tokenizer=tokenizer,
            ends=ends,
            filler=next(one for one in fillers if one is not None),
            prompts=frozenset(special) if whisper else frozenset(),
            languages={number: language_code(name) for name, number in known.items()},
            tasks=tasks,
            first_time=None if silent is None else silent + 1,
            prompt=prompt,
        )

    def plan_prompt(self, how: Generation) -> list[int | None]:
        """The ids before the text, as transformers chooses them; None is a language to find out.

        `how` is settled: it names a task iff the model is multilingual, and languages are tokens.
        """
        silent = None if self.first_time is None else self.first_time - 1
        prompt: list[int | None] = [one for one in self.prompt if one != silent]
        if how.task is not None:
            prompt = [self.prompt[0], self._language_id(how.language), self.tasks[how.task]]
        return prompt if how.timestamps or silent is None else [*prompt, silent]

    def _language_id(self, token: str | None) -> int | None:
        if token is None:
            return None
        code = language_code(token)
        return next(number for number, known in self.languages.items() if known == code)

    def read(self, rows: Iterable[Sequence[int]], *, times: bool) -> Generated:
        """What was written in each row of ids (P + L), prompt first."""
        return Generated(tuple(self._read_row(list(row), times) for row in rows))

    def _read_row(self, row: list[int], times: bool) -> Hypothesis:
        prompt = list(takewhile(self.prompts.__contains__, row)) if self.prompts else row[:1]
        behind = row[len(prompt) :]
        tokens = tuple(takewhile(lambda one: one not in self.ends, behind))
        spoken = [self.languages[one] for one in prompt if one in self.languages]
        return Hypothesis(
            tokens=tokens,
            text=self.spell(tokens),
            language=spoken[0] if spoken else None,
            truncated=len(tokens) == len(behind),
            segments=tuple(self.segments(tokens)) if times else (),
        )

    def spell(self, tokens: Sequence[int]) -> str:
        """The text of ids, times left out."""
        heard = [one for one in tokens if not self.is_time(one)]
        text: str = self.tokenizer.decode(heard, skip_special_tokens=True)
        return text.strip()

    def is_time(self, token: int) -> bool:
        return self.first_time is not None and token >= self.first_time

    def seconds(self, token: int) -> float:
        """What a time token says, on the clock of its window."""
        return (token - (self.first_time or 0)) * TIME_S

    def segments(self, tokens: Sequence[int]) -> Iterator[Segment]:
        """Stretches of text with the times before and behind them; a missing one is guessed.

        The time before is that of the last token, 0 s at the beginning; behind, that before.
        """
        start_s, heard = 0.0, list[int]()
        for token in tokens:
            if not self.is_time(token):
                heard.append(token)
                continue
            if text := self.spell(heard):
                yield Segment(text, start_s, max(self.seconds(token), start_s))
            start_s, heard = self.seconds(token), []
        if text := self.spell(heard):
            yield Segment(text, start_s, start_s)


def _as_ids(ids: int | Sequence[int] | None) -> frozenset[int]:
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)
