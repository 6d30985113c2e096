"""The translation of a legacy command: options and recipe keys, and a notice for each flag.

Values are set explicitly, and so are the scripts' defaults where those of recipes differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.arguments import Arguments
from gaudi_asr_cli.core.legacy.flags import FlagStatus, FormatKey, LegacyFlag, Table


@dataclass(frozen=True, slots=True)
class LegacyNotice:
    """What happened to a part of a legacy command.

    Args:
        flag: The flag or the words; empty for the script's defaults.
        status: A `FlagStatus`, or missing, unknown, repeated, repaired or set.
        message: What replaces it, or the reason.
    """

    flag: str
    status: str
    message: str

    def to_json(self) -> dict[str, str]:
        """Return the notice as `import-command --json` prints it."""
        return {"flag": self.flag, "fate": self.status, "message": self.message}


@dataclass(frozen=True, slots=True)
class Translation:
    """A legacy command in current options.

    Args:
        script: The file name of the legacy script.
        settings: Recipe key -> value, the script's own defaults first.
        options: Words of the current command line that are not recipe keys.
        rest: Words that were current options already; they come last and so take precedence.
        notices: One for each flag that needs one.
        trains: Whether a model is trained; otherwise it is only evaluated.
        numbers_run: Whether to number the run folder if it exists.
        removal_pattern: The regular expression of characters that the script removed from the text.
    """

    script: str
    settings: Mapping[str, Any]
    options: tuple[str, ...]
    rest: tuple[str, ...]
    notices: tuple[LegacyNotice, ...]
    trains: bool = True
    numbers_run: bool = False
    removal_pattern: str | None = None


@dataclass
class Draft:
    """A translation in progress; `messages` replace those of the table, flag by flag."""

    given: Arguments
    table: Table
    options: list[str] = field(default_factory=list)
    messages: dict[str, str] = field(default_factory=dict)
    extra_notices: list[LegacyNotice] = field(default_factory=list)

    def set_message(self, flag: str, message: str) -> None:
        """Replace the table's message for a flag, if the flag was given."""
        if flag in self.given:
            self.messages[flag] = message

    def number(self, name: str) -> int | float | None:
        """Return the value of a flag that takes a number; None where it was not given.

        Raises:
            UsageError: The value is not a number.
        """
        text = self.given.values.get(name)
        return None if text is None else parse_number(name, text)

    def keyed_values(self) -> dict[str, Any]:
        """Return the values of flags that have a recipe key.

        Raises:
            UsageError: A value that must be a number is not.
        """
        values = {
            self.table[name].key: _parse_value(self.table[name], text)
            for name, text in self.given.values.items()
            if self.table[name].key and not self._is_precision_off(name)
        }
        lists = {
            self.table[name].key: list(items)
            for name, items in self.given.lists.items()
            if self.table[name].status is FlagStatus.PASSED
        }
        return {**values, **lists}

    def _is_precision_off(self, name: str) -> bool:
        """Return whether it is `--bf16 False` or `--fp16 False`, which choose no dtype."""
        flag = self.table[name]
        return (flag.key, flag.value_kind) == ("dtype", "switch") and not self.given.is_true(name)

    def notices(self, format_key: FormatKey) -> tuple[LegacyNotice, ...]:
        """Return the notices in the order of the command line, then the extra ones."""
        notices = []
        for name in self.given.names():
            flag = self.table[name]
            message = self.messages.get(name, _default_message(flag, self.given, format_key))
            if message:
                notices.append(LegacyNotice(flag.option, flag.status.value, message))
        return (*notices, *map(_repeated, self.given.repeated), *self.extra_notices)


def _default_message(flag: LegacyFlag, given: Arguments, format_key: FormatKey) -> str:
    """Return the table's message; empty for unchanged flags and for switches that stay off."""
    not_followed = flag.status in {FlagStatus.DROPPED, FlagStatus.DANGEROUS}
    off = flag.value_kind == "switch" and not given.is_true(flag.name)
    if flag.status in {FlagStatus.KEPT, FlagStatus.PASSED} or (not_followed and off):
        return ""
    return "" if format_key(flag.key) == flag.option else flag.describe(format_key)


def _repeated(name: str) -> LegacyNotice:
    return LegacyNotice(f"--{name}", "repeated", "was given more than once; the last value counts")


def parse_number(name: str, text: str) -> int | float:
    """Parse a number as the scripts did.

    Raises:
        UsageError: The text is not a number.
    """
    for number_type in (int, float):
        try:
            return number_type(text)
        except ValueError:
            continue
    raise UsageError(f"--{name}: {text!r} is not a number.", remedy=f"For example --{name} 3")


def _parse_value(flag: LegacyFlag, text: str) -> Any:
    if flag.value_kind == "switch":
        return text == "true"
    return parse_number(flag.name, text) if flag.value_kind == "number" else text


def defaults_notice(defaults: Mapping[str, Any]) -> LegacyNotice:
    """Return one notice of all defaults that the script set without a flag."""
    listed = ", ".join(f"{key} {_format(value)}" for key, value in defaults.items())
    return LegacyNotice("", "set", f"defaults of the script: {listed}")


def _format(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def differing_defaults(defaults: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the script's defaults that a recipe of that kind does not share."""
    ours = recipe_defaults(kind)
    return {key: value for key, value in defaults.items() if not _equal(ours.get(key), value)}


def recipe_defaults(kind: str) -> dict[str, Any]:
    """Return dotted key -> default of a recipe of that kind; None where the model decides."""
    # Imported late: pydantic takes a while to import, and `--help` should not wait for it.
    from gaudi_asr_cli.core.recipes.loading import KINDS

    return _flatten(KINDS[kind].model_fields)


def _flatten(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, schema_field in fields.items():
        default = schema_field.get_default(call_default_factory=True)
        inner = getattr(type(default), "model_fields", None)
        if inner is None:
            flat[prefix + name] = default
        else:
            flat |= _flatten(inner, f"{prefix}{name}.")
    return flat


def _equal(ours: Any, theirs: Any) -> bool:
    return bool((list(ours) if isinstance(ours, tuple) else ours) == theirs)
