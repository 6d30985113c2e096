"""Decode the token ids of `generate`: prompt, text, timestamps, language and end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from gaudi_asr_cli.core.models.seq2seq.fallback import Fallback
from gaudi_asr_cli.core.models.seq2seq.generation import Generation, language_code
from gaudi_asr_cli.core.models.seq2seq.word_times import time_words
from gaudi_asr_cli.core.records import Generated, Hypothesis, Segment, TokenTimes

TIME_S = 0.02
"""Seconds between consecutive timestamp tokens."""


@dataclass(frozen=True, slots=True)
class SequenceReader:
    """Decodes the token ids of a model.

    Args:
        tokenizer: Decodes ids to text.
        end_ids: Ids that end a text.
        pad_id: Id that pads rows after their end.
        prompt_ids: Ids that occur only in a prompt.
        languages: Language ids to language codes.
        tasks: Task names to task ids.
        first_time: Id of the timestamp 0.00 s; all larger ids are timestamps. None if the model has
            no timestamps.
        prompt: Ids of the default prompt, before language and task are filled in.
        previous_id: Id before the text of an earlier window, which precedes the prompt.
        context: Context length of the decoder in tokens; the earlier text takes up to half of it.
    """

    tokenizer: Any
    end_ids: frozenset[int]
    pad_id: int
    prompt_ids: frozenset[int]
    languages: Mapping[int, str]
    tasks: Mapping[str, int]
    first_time: int | None
    prompt: tuple[int, ...]
    previous_id: int | None = None
    context: int = 448

    @classmethod
    def for_model(
        cls, tokenizer: Any, settings: Any, *, whisper: bool, context: int = 448
    ) -> SequenceReader:
        """Build the reader from a generation configuration and a tokenizer."""
        end_ids = _as_ids(settings.eos_token_id) or _as_ids(tokenizer.eos_token_id)
        pad_ids = (settings.pad_token_id, tokenizer.pad_token_id, *sorted(end_ids), 0)
        known = getattr(settings, "lang_to_id", None) or {}
        start = settings.decoder_start_token_id
        no_timestamps = getattr(settings, "no_timestamps_token_id", None) if whisper else None
        tasks = getattr(settings, "task_to_id", None) or {}
        forced = tuple(pair[1] for pair in getattr(settings, "forced_decoder_ids", None) or ())
        prompt = tuple(i for i in (start, *forced) if i is not None) if whisper else (start,)
        special = {start, no_timestamps, *known.values(), *tasks.values(), *forced} - {None}
        return cls(
            tokenizer=tokenizer,
            end_ids=end_ids,
            pad_id=next(pad_id for pad_id in pad_ids if pad_id is not None),
            prompt_ids=frozenset(special) if whisper else frozenset(),
            languages={number: language_code(name) for name, number in known.items()},
            tasks=tasks,
            first_time=None if no_timestamps is None else no_timestamps + 1,
            prompt=prompt,
            previous_id=_find_previous(settings, no_timestamps),
            context=context,
        )

    def plan_prompt(self, generation_config: Generation) -> list[int | None]:
        """Return the ids before the text, as transformers chooses them; None: detect the language.

        `generation_config` is resolved: it has a task iff the model is multilingual, and its
        language is a token.
        """
        config = generation_config
        no_timestamps = None if self.first_time is None else self.first_time - 1
        prompt: list[int | None] = [token for token in self.prompt if token != no_timestamps]
        if config.task is not None:
            prompt = [self.prompt[0], self._language_id(config.language), self.tasks[config.task]]
        prompt = [*self.plan_previous(config.previous), *prompt]
        return prompt if config.timestamps or no_timestamps is None else [*prompt, no_timestamps]

    def plan_previous(self, previous: Sequence[int]) -> list[int]:
        """Return the ids before the prompt: the end of the text that this one continues."""
        if self.previous_id is None or not previous:
            return []
        return [self.previous_id, *previous[-self.previous_limit :]]

    @property
    def previous_limit(self) -> int:
        """Return the maximum number of tokens of the text before."""
        return self.context // 2 - 1

    @property
    def no_speech_id(self) -> int | None:
        """Return the id whose probability after the start token is that of no speech."""
        if self.first_time is None or self.first_time < 2:
            return None
        return self.first_time - 2

    def measures_no_speech(self, fallback: Fallback) -> bool:
        """Return whether fallback needs the probability of no speech, and the model has it."""
        return fallback.no_speech_threshold is not None and self.no_speech_id is not None

    def _language_id(self, token: str | None) -> int | None:
        if token is None:
            return None
        code = language_code(token)
        return next(number for number, known in self.languages.items() if known == code)

    def read(self, rows: Iterable[Sequence[int]], *, times: bool) -> Generated:
        """Decode rows of ids (P + L), prompt first; with segments if `times`."""
        return Generated(tuple(self._read_row(list(row), times) for row in rows))

    def strip_prompt(self, row: Sequence[int]) -> list[int]:
        """Return a row of ids (P + L) without its prompt and the earlier text before that."""
        return list(row)[len(self._find_prompt(row)) :]

    def _find_prompt(self, row: Sequence[int]) -> list[int]:
        start = row.index(self.prompt[0]) if row[:1] == [self.previous_id] else 0
        if not self.prompt_ids:
            return list(row[:1])
        return [*row[:start], *takewhile(self.prompt_ids.__contains__, row[start:])]

    def _read_row(self, row: list[int], times: bool) -> Hypothesis:
        prompt = self._find_prompt(row)
        generated = row[len(prompt) :]
        tokens = tuple(takewhile(lambda token: token not in self.end_ids, generated))
        languages = [self.languages[token] for token in prompt if token in self.languages]
        return Hypothesis(
            tokens=tokens,
            text=self.decode_text(tokens),
            language=languages[0] if languages else None,
            truncated=len(tokens) == len(generated),
            segments=self.segments(tokens) if times else (),
        )

    def decode_text(self, tokens: Sequence[int]) -> str:
        """Return the text of ids, without timestamps."""
        text_tokens = [token for token in tokens if not self.is_time(token)]
        text: str = self.tokenizer.decode(text_tokens, skip_special_tokens=True)
        return text.strip()

    def is_time(self, token: int) -> bool:
        """Return whether a token is a timestamp."""
        return self.first_time is not None and token >= self.first_time

    def seconds(self, token: int) -> float:
        """Return the time of a timestamp token, in seconds from the start of the window."""
        return (token - (self.first_time or 0)) * TIME_S

    def segments(
        self, tokens: Sequence[int], times: TokenTimes | None = None
    ) -> tuple[Segment, ...]:
        """Return segments of text between timestamps, with words if the times of tokens are given.

        A missing start is the previous timestamp, or 0 s; a missing end is the segment's start.
        """
        found = [
            (text, start_s, end_s, own)
            for start_s, end_s, own in self._between_times(tokens)
            if own and ((text := self.decode_text(own)) or times is not None)
        ]
        segments = tuple(Segment(text, start_s, end_s) for text, start_s, end_s, _ in found)
        if times is not None:
            segments = time_words(segments, [own for *_, own in found], times, self._decode_raw)
        return tuple(segment for segment in segments if segment.text)

    def _between_times(self, tokens: Sequence[int]) -> Iterator[tuple[float, float, list[int]]]:
        """Yield start and end in seconds, and the text tokens between two timestamps."""
        start_s, text_tokens = 0.0, list[int]()
        for token in tokens:
            if not self.is_time(token):
                text_tokens.append(token)
                continue
            yield start_s, max(self.seconds(token), start_s), text_tokens
            start_s, text_tokens = self.seconds(token), []
        yield start_s, start_s, text_tokens

    def _decode_raw(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text


def _find_previous(settings: Any, no_timestamps: int | None) -> int | None:
    """Return the id before earlier text: named, or two before the id that forbids timestamps."""
    if no_timestamps is None:
        return None
    named: int | None = getattr(settings, "prev_sot_token_id", None)
    return no_timestamps - 2 if named is None else named


def _as_ids(ids: int | Sequence[int] | None) -> frozenset[int]:
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)
