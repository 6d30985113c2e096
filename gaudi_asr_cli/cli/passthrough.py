"""Options that no command declares, but transformers' TrainingArguments has as fields."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

from gaudi_asr_cli.cli.parsing import known_options
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.registry import suggest_names

_NUMBER = re.compile(r"-[\d.]")


def trainer_settings(words: Sequence[str], context: Any) -> list[str]:
    """Return `--foo-bar VALUE` as `trainer.foo_bar=VALUE`; an option without a value is true.

    Raises:
        UsageError: TrainingArguments has no such field either; similar names are suggested.
    """
    if not words:
        return []
    fields = _field_names()
    settings = []
    for option, value in _pairs(words, context):
        field = option.lstrip("-").replace("-", "_")
        if field not in fields:
            raise unknown_option(option, context, fields)
        settings.append(f"trainer.{field}={value}")
    return settings


def unknown_option(option: str, context: Any, fields: Sequence[str]) -> UsageError:
    """Return the error for an option that neither we nor transformers have."""
    known = [*known_options(context.command), *(f"--{name.replace('_', '-')}" for name in fields)]
    near = suggest_names(option, dict.fromkeys(known)).strip()
    return UsageError(
        f"{context.command_path} has no option {option}.",
        remedy=f"{near} {context.command_path} --help shows them all.".strip(),
    )


def _pairs(words: Sequence[str], context: Any) -> Iterator[tuple[str, str]]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise UsageError(
                f"{context.command_path} takes no argument {word!r}.",
                remedy="Data is named with --train and --eval, a recipe with --recipe.",
            )
        option, equals, value = word.partition("=")
        if equals:
            yield option, value
        elif rest and (not rest[0].startswith("-") or _NUMBER.match(rest[0])):
            yield option, rest.pop(0)
        else:
            yield option, "true"


def _field_names() -> list[str]:
    # Only when needed: transformers takes seconds to import.
    from transformers import TrainingArguments

    from gaudi_asr_cli.core.training.settings import NOT_OBEYED

    return [*(field.name for field in dataclasses.fields(TrainingArguments)), *NOT_OBEYED]
