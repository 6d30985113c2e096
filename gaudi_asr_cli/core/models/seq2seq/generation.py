"""Options of text generation: language, task, length, beam search, timestamps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.languages import CODES_BY_NAME
from gaudi_asr_cli.core.models.seq2seq.fallback import Fallback

TASKS = ("transcribe", "translate")


@dataclass(frozen=True, slots=True)
class Generation:
    """Options of text generation.

    Args:
        language: Name or code of the spoken language; None lets a multilingual model detect it.
        task: `transcribe`, or `translate` (into English); None is the model's default.
        max_tokens: Maximum tokens per utterance; None is the model's maximum.
        beams: Beam size; 1 is greedy, 0 the model's default.
        timestamps: Predict timestamps, if the model can.
        fallback: Temperatures to try, and what makes an attempt fail.
        previous: Token ids of the text before, which the text continues (Whisper).
    """

    language: str | None = None
    task: str | None = None
    max_tokens: int | None = None
    beams: int = 1
    timestamps: bool = False
    fallback: Fallback = field(default_factory=Fallback)
    previous: tuple[int, ...] = ()


DEFAULT_GENERATION = Generation()


class FirstToken:
    """Measures the seconds from its making to the first generated token; None before that.

    As a logits processor of transformers it changes nothing. On an asynchronous device the logits
    of a step are only launched when it is called; those before were waited for.
    """

    def __init__(self, *, is_async: bool = False) -> None:
        self._started_s = time.perf_counter()
        self._skipped = 1 if is_async else 0
        self.seconds: float | None = None

    def record(self) -> None:
        """Note that the logits of a step are there."""
        if self._skipped:
            self._skipped -= 1
        elif self.seconds is None:
            self.seconds = time.perf_counter() - self._started_s

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.record()
        return scores


def predicts_timestamps(settings: Any) -> bool:
    """Return whether a model with this generation configuration has timestamp tokens."""
    return getattr(settings, "no_timestamps_token_id", None) is not None


def is_multilingual(settings: Any) -> bool:
    """Return whether a model with this generation configuration has language tokens."""
    return bool(getattr(settings, "lang_to_id", None)) and bool(
        getattr(settings, "is_multilingual", True)
    )


def resolve_generation(generation_config: Generation, settings: Any, name: str) -> Generation:
    """Fill in the model's defaults: its language token, task, beam size.

    Args:
        generation_config: The requested options.
        settings: The model's own (transformers) generation configuration.
        name: The model's name, for messages.

    Raises:
        UsageError: The model does not support the language or the task.
    """
    requested = generation_config
    if requested.task is not None and requested.task not in TASKS:
        raise UsageError(
            f"There is no task '{requested.task}'.", remedy=f"Choose one of {', '.join(TASKS)}."
        )
    if requested.beams < 0 or (requested.max_tokens is not None and requested.max_tokens < 1):
        raise UsageError(
            "Beam size and maximum tokens must be at least 1.",
            remedy="Pass --beams 1 for greedy decoding.",
        )
    requested.fallback.check()
    beams = requested.beams or getattr(settings, "num_beams", None) or 1
    times = requested.timestamps and predicts_timestamps(settings)
    if not is_multilingual(settings):
        _check_monolingual(requested, name)
        return replace(requested, language=None, task=None, beams=beams, timestamps=times)
    language = requested.language or getattr(settings, "language", None)
    language = None if language is None else find_language(language, settings.lang_to_id)
    task = requested.task or getattr(settings, "task", None) or "transcribe"
    if task not in settings.task_to_id:
        raise _no_task_error(task, name)
    return replace(requested, language=language, task=task, beams=beams, timestamps=times)


def _check_monolingual(requested: Generation, name: str) -> None:
    if requested.language is not None and requested.language.lower() not in {"en", "english"}:
        raise UsageError(
            f"{name} is not multilingual, so the language '{requested.language}' cannot be set.",
            remedy="Omit --language, or use a multilingual model such as openai/whisper-small.",
        )
    if requested.task == "translate":
        raise _no_task_error(requested.task, name)


def _no_task_error(task: str, name: str) -> UsageError:
    return UsageError(
        f"{name} cannot {task}.",
        remedy="Omit --task, or use a multilingual model such as openai/whisper-small.",
    )


def find_language(requested: str, known: Mapping[str, int]) -> str:
    """Return the model's token, such as `<|hi|>`, for a language's name, code or token.

    Raises:
        UsageError: The language is unknown, or this model does not support it.
    """
    wanted = requested.strip().lower()
    code = wanted.removeprefix("<|").removesuffix("|>")
    code = CODES_BY_NAME.get(code, code)
    token = f"<|{code}|>"
    if token in known:
        return token
    codes = {language_code(token) for token in known}
    names = sorted(name for name, code in CODES_BY_NAME.items() if code in codes)
    close = get_close_matches(wanted, [*names, *sorted(codes)], n=1, cutoff=0.6)
    examples = ", ".join(sorted(codes)[:12]) + (", ..." if len(codes) > 12 else "")
    raise UsageError(
        f"This model does not support the language '{requested}' "
        f"({len(codes)} others: {examples}).",
        remedy=f"Did you mean {close[0]}?"
        if close
        else "Pass a code such as en, or omit --language to detect it.",
    )


def language_code(token: str) -> str:
    """Return the code of a language token: `hi` for `<|hi|>`."""
    return token.removeprefix("<|").removesuffix("|>")
