"""What a decoder is asked to write: the language and the task, if the model knows any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from gaudi_asr_cli.core.errors import UsageError

TASKS = ("transcribe", "translate")


@dataclass(frozen=True, slots=True)
class Generation:
    """How a decoder writes.

    Args:
        language: Name or code of what is spoken; None lets a multilingual model find out.
        task: `transcribe`, or `translate` (into English); None is the model's own.
        max_tokens: Most tokens for an utterance; None is as many as the model can.
        beams: Hypotheses that are followed at once; 1 is greedy, 0 the model's own number.
        timestamps: Write times as well, where the model can.
    """

    language: str | None = None
    task: str | None = None
    max_tokens: int | None = None
    beams: int = 1
    timestamps: bool = False

    @property
    def greedy(self) -> bool:
        """Whether one hypothesis is followed, for sure."""
        return self.beams == 1


DEFAULT_GENERATION = Generation()


def writes_times(settings: Any) -> bool:
    """Whether a model with this generation configuration has tokens for times."""
    return getattr(settings, "no_timestamps_token_id", None) is not None


def is_multilingual(settings: Any) -> bool:
    """Whether a model with this generation configuration has tokens for languages."""
    return bool(getattr(settings, "lang_to_id", None)) and bool(
        getattr(settings, "is_multilingual", True)
    )


def settle(how: Generation, settings: Any, name: str) -> Generation:
    """The wish with the model's own words for language and task, and a number of beams.

    Args:
        how: The wish.
        settings: The model's generation configuration.
        name: What the user calls the model.

    Raises:
        UsageError: The model does not know the language or the task.
    """
    if how.task is not None and how.task not in TASKS:
        raise UsageError(
            f"There is no task '{how.task}'.", remedy=f"Choose one of {', '.join(TASKS)}."
        )
    if how.beams < 0 or (how.max_tokens is not None and how.max_tokens < 1):
        raise UsageError(
            "Beams and tokens are counted from 1.", remedy="Pass --beams 1 for greedy decoding."
        )
    beams = how.beams or getattr(settings, "num_beams", None) or 1
    times = how.timestamps and writes_times(settings)
    if not is_multilingual(settings):
        _refuse_languages(how, name)
        return replace(how, language=None, task=None, beams=beams, timestamps=times)
    language = None if how.language is None else find_language(how.language, settings.lang_to_id)
    task = how.task or getattr(settings, "task", None) or "transcribe"
    return replace(how, language=language, task=task, beams=beams, timestamps=times)


def _refuse_languages(how: Generation, name: str) -> None:
    if how.language is not None and how.language.lower() not in {"en", "english"}:
        raise UsageError(
            f"{name} knows no languages to choose from, so it cannot be told '{how.language}'.",
            remedy="Leave --language out, or take a multilingual model such as "
            "openai/whisper-small.",
        )
    if how.task == "translate":
        raise UsageError(
            f"{name} cannot translate.",
            remedy="Leave --task out, or take a multilingual model such as openai/whisper-small.",
        )


def find_language(wish: str, known: Mapping[str, int]) -> str:
    """The model's token for a language by its name, code or token, such as `<|hi|>`.

    Raises:
        UsageError: Nobody knows the language, or this model does not.
    """
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    asked = wish.strip().lower()
    code = asked.removeprefix("<|").removesuffix("|>")
    code = TO_LANGUAGE_CODE.get(code, code)
    token = f"<|{code}|>"
    if token in known:
        return token
    codes = {one.removeprefix("<|").removesuffix("|>") for one in known}
    names = sorted(name for name, code in TO_LANGUAGE_CODE.items() if code in codes)
    close = get_close_matches(asked, [*names, *sorted(codes)], n=1, cutoff=0.6)
    some = ", ".join(sorted(codes)[:12]) + (", ..." if len(codes) > 12 else "")
    raise UsageError(
        f"This model knows no language '{wish}' ({len(codes)} others: {some}).",
        remedy=f"Did you mean {close[0]}?"
        if close
        else "Pass a code such as en, or leave --language out to have it found.",
    )


def language_code(token: str) -> str:
    """`<|hi|>` as `hi`."""
    return token.removeprefix("<|").removesuffix("|>")
