"""Translate command lines of the legacy scripts to current commands."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.cli.options import DtypeName
from gaudi_asr_cli.cli.training_options import OPTION_OF, settings_of
from gaudi_asr_cli.core.errors import MachineError, UsageError
from gaudi_asr_cli.core.legacy.arguments import flag_name, is_flag
from gaudi_asr_cli.core.legacy.flags import ALL_DATA, FlagStatus, Table
from gaudi_asr_cli.core.legacy.launchers import parse_launcher
from gaudi_asr_cli.core.legacy.lines import find_call, is_expandable, separate_unknown
from gaudi_asr_cli.core.legacy.scripts import SCRIPTS, translate
from gaudi_asr_cli.core.legacy.translation import LegacyNotice, Translation
from gaudi_asr_cli.core.secret_values import (
    hide_in_line,
    hide_in_text,
    hide_in_words,
    secrets_of_words,
    without_secrets,
)

if TYPE_CHECKING:
    from gaudi_asr_cli.core.devices.base import Device

EVAL_OPTION_OF: dict[str, str] = {
    "model": "--model",
    "eval.data": "--data",
    "eval.split": "--split",
    "eval.limit": "--limit",
    "*.config": "--config",
    "*.text_column": "--text-column",
    "text.strip_chars": "--strip-chars",
    "text.case": "--case",
    "evaluation.normalizer": "--normalizer",
    "language": "--language",
    "task": "--task",
    "generation.max_tokens": "--max-tokens",
    "generation.beams": "--beams",
    "dtype": "--dtype",
    "seed": "--seed",
}
"""Recipe key -> option of an evaluation command."""
_HOME = re.compile(r"~\w*(/[\w.@%+=:,/-]*)?", re.ASCII)
"""A path below a home folder, which a shell expands unless it is quoted."""
_TRANSLATION = "gaudi_asr_cli.old"
COMMANDS = {"ctc": "finetune-ctc", "seq2seq": "finetune-seq2seq", "wav2vec": "bench"}
"""Legacy script -> the command that replaces it."""
_TRAINING_ONLY = "only for training"
_SAME_MEANING = frozenset({
    "output_dir", "overwrite_output_dir", "dataset_config_name", "text_column_name",
    "chars_to_ignore", "do_lower_case", "bf16", "fp16", "fp32", "use_habana", "use_lazy_mode",
    "no_cuda", "use_cpu", "torch_compile",
})  # fmt: skip
"""Flags with the same translation for training and evaluation commands."""
_EVAL_MESSAGES = {
    "do_eval": "is the command itself",
    "max_duration_in_seconds": ALL_DATA,
    "min_duration_in_seconds": ALL_DATA,
}
"""Messages for flags with another meaning, or none, in an evaluation command."""
_TRAINING_OPTIONS = frozenset({"--no-train", "--dry-run"})


def format_key(key: str) -> str:
    """Return the option of a training command that sets a recipe key."""
    return OPTION_OF.get(key, f"--set {key}" if key else "")


def translated_words(translation: Translation, *, evaluates: bool = False) -> list[str]:
    """Return the current command line without the command's name.

    Args:
        translation: The translation of a legacy command.
        evaluates: Whether the current command only evaluates, and takes no recipe keys.
    """
    settings, options = translation.settings, list(translation.options)
    if evaluates:
        words = list(_option_words(settings, EVAL_OPTION_OF))
        options = [word for word in options if word not in _TRAINING_OPTIONS]
    else:
        words = [*_option_words(settings, OPTION_OF), *_set_words(settings)]
    return [*words, *options, *translation.rest]


def _option_words(settings: Mapping[str, Any], options: Mapping[str, str]) -> Iterator[str]:
    for key, value in settings.items():
        if key in options:
            yield from _option_with_value(options[key], str(value))


def _set_words(settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        if key not in OPTION_OF:
            yield from ("--set", f"{key}={json.dumps(value, ensure_ascii=False)}")


def _option_with_value(option: str, value: str) -> Iterator[str]:
    """Yield option and value, joined by `=` where the value looks like an option."""
    if value.startswith("-"):
        yield f"{option}={value}"
    else:
        yield from (option, value)


def with_free_folder(words: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the words with a free folder after --run, and that folder if it had to be numbered."""
    words = list(words)
    if "--run" not in words:
        return words, None
    index = len(words) - words[::-1].index("--run")
    free = free_folder(Path(words[index]))
    if free == Path(words[index]):
        return words, None
    words[index] = str(free)
    return words, str(free)


def free_folder(folder: Path) -> Path:
    """Return the folder, or the first of FOLDER-2, FOLDER-3, ... that does not exist."""
    number, free = 1, folder
    while os.path.lexists(free):
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def translate_words(script: str, words: list[str], context: Any) -> list[str]:
    """Return the current words of a command line, and show the notices of a legacy one.

    Raises:
        UsageError: It is a legacy command with an error.
    """
    translation = translate_if_legacy(script, words, context.command)
    if translation is None:
        return words
    current = translated_words(translation, evaluates=not _takes_recipes(context.command))
    moved_to = None
    if translation.numbers_run:
        current, moved_to = with_free_folder(current)
    context.meta[_TRANSLATION] = translation
    if not {"--quiet", "-q"} & set(current):
        from gaudi_asr_cli.ui.old_commands import show_translation

        show_translation(translation, moved_to)
    return current


def removal_pattern(context: Any) -> str | None:
    """Return the pattern of characters that the legacy script removed; None for other commands."""
    translation: Translation | None = context.meta.get(_TRANSLATION)
    return None if translation is None else translation.removal_pattern


def fitting_parameters(context: Any, device: Device | None) -> dict[str, Any]:
    """Return the command's parameters, with dtype auto for a legacy --fp16 that cannot run.

    The scripts' --fp16 asked for half precision, which `auto` chooses wherever it is faster. It is
    replaced as well where no device is open, because other processes will train.
    """
    parameters: dict[str, Any] = dict(context.params)
    is_fp16 = _TRANSLATION in context.meta and parameters.get("dtype") == "fp16"
    if is_fp16 and (device is None or not _supports_fp16(device)):
        parameters["dtype"] = DtypeName.AUTO
    return parameters


def _supports_fp16(device: Device) -> bool:
    try:
        device.choose_dtype("fp16")
    except MachineError:
        return False
    return True


def _takes_recipes(command: Any) -> bool:
    """Return whether a command takes recipe keys; commands that do not train take options only."""
    return any(parameter.name == "set_" for parameter in command.params)


def translate_if_legacy(script: str, words: Sequence[str], command: Any) -> Translation | None:
    """Translate a command line if it is one of the legacy script; return None otherwise.

    Args:
        script: A key of `SCRIPTS`.
        words: The words after the current command.
        command: The current command, whose own options are kept.

    Raises:
        UsageError: It is a legacy command with an error.
    """
    if not SCRIPTS[script].is_legacy(words):
        return None
    return translate_for(script, words, command)


def translate_for(script: str, words: Sequence[str], command: Any) -> Translation:
    """Translate a legacy script's words for a current command.

    Raises:
        UsageError: The words have an error.
    """
    names = _option_names(command.params)
    translation = translate(
        SCRIPTS[script],
        words,
        format_key=format_key,
        is_current=lambda word: _hyphenated(word) in names,
        has_arguments=any(one.param_type_name == "argument" for one in command.params),
    )
    if script == "wav2vec" or _takes_recipes(command):
        return translation
    table = SCRIPTS[script].table
    notices = tuple(_notice_for_evaluation(notice, table) for notice in translation.notices)
    return replace(translation, notices=notices)


def _option_names(parameters: Sequence[Any]) -> set[str]:
    return {name for one in parameters for name in (*one.opts, *one.secondary_opts)}


def _notice_for_evaluation(notice: LegacyNotice, table: Table) -> LegacyNotice:
    """Return the notice with the options of an evaluation command."""
    flag = table.get(notice.flag.removeprefix("--"))
    if flag is None or notice.status != FlagStatus.RENAMED.value or flag.name in _SAME_MEANING:
        return notice
    if flag.name == "dataset_name":
        return replace(notice, message=notice.message.replace("--train and --eval", "--data"))
    option = EVAL_OPTION_OF.get(flag.key)
    message = _EVAL_MESSAGES.get(flag.name, f"is {option}" if option else _TRAINING_ONLY)
    return replace(notice, message=message)


def _hyphenated(word: str) -> str:
    name = word.partition("=")[0]
    return "--" + name[2:].replace("_", "-") if name.startswith("--") else name


@dataclass(frozen=True, slots=True)
class Imported:
    """A translated legacy line, and the recipe that it trains, if it trains."""

    command: str
    recipe: dict[str, Any] | None
    translation: Translation

    def to_json(self) -> dict[str, Any]:
        """Return what `import-command --json` prints."""
        return {
            "schema": "import-command/1",
            "command": self.command,
            "recipe": self.recipe,
            "notices": [notice.to_json() for notice in self.translation.notices],
        }


def import_line(line: Sequence[str], program: Any) -> Imported:
    """Translate a line of a shell script or README.

    Args:
        line: The whole line as one word, or its words.
        program: The program with the current commands.

    Raises:
        UsageError: The line calls no legacy script, or has an error.
        RecipeError: The values are not valid in a recipe.
    """
    call = find_call(line)
    name = choose_command(call.script, [word.text for word in call.words])
    command = program.commands[name]
    words, unknown = separate_unknown(call.words, SCRIPTS[call.script].table)
    translation = translate_for(call.script, words, command)
    check_stray_words(translation.rest, words, command)
    _check_data(translation)
    known = [option for parameter in command.params for option in parameter.opts]
    launch = parse_launcher(call.front).fit(name, known, translation.options)
    translation = replace(
        translation,
        options=(*translation.options, *launch.words),
        notices=(*call.notices, *launch.notices, *unknown, *translation.notices),
    )
    secrets = frozenset(secrets_of_words([word.text for word in call.words]))
    notices = [
        replace(
            notice,
            flag=hide_in_text(notice.flag, secrets),
            message=hide_in_text(notice.message, secrets),
        )
        for notice in translation.notices
    ]
    translation = replace(translation, notices=tuple(notices))
    current = translated_words(translation, evaluates=not _takes_recipes(command))
    return Imported(
        command=join_words(
            hide_in_words(["gaudi-asr", name, *current]),
            [expression for word in call.words for expression in word.unknown],
        ),
        recipe=_resolve(command, translation) if _takes_recipes(command) else None,
        translation=translation,
    )


def _check_data(translation: Translation) -> None:
    """Reject a line without data: recipes have a default model, but no default data."""
    for notice in translation.notices:
        if (notice.flag, notice.status) == ("--dataset_name", "missing"):
            raise UsageError(
                f"{notice.flag} {notice.message.partition(':')[0]}.",
                remedy="Add --dataset_name ID or FOLDER to the line.",
            )


def check_stray_words(rest: Sequence[str], words: Sequence[str], command: Any) -> None:
    """Reject words that belong to no option; the scripts had no positional arguments.

    Args:
        rest: Words that belong to no legacy flag.
        words: All words of the script.
        command: The current command, some of whose options take a value.

    Raises:
        UsageError: Names the first stray word and the words before it.
    """
    # Positional arguments have no `is_flag`.
    switches = _option_names([one for one in command.params if getattr(one, "is_flag", False)])
    before = ""
    for word in rest:
        takes_value = is_flag(before) and "=" not in before and _hyphenated(before) not in switches
        if not is_flag(word) and not takes_value:
            raise _stray_word(word, list(words))
        before = word


def _stray_word(word: str, words: list[str]) -> UsageError:
    index = words.index(word) if word in words else 0
    start = next((i for i in range(index, -1, -1) if is_flag(words[i])), None)
    near = f", after {hide_in_line(' '.join(words[start:index]))}" if start is not None else ""
    return UsageError(
        f"The word {hide_in_line(word)!r} belongs to no option{near}.",
        remedy="Put quotation marks around a value with spaces in it, or leave the word out.",
    )


def join_words(words: Sequence[str], unknown: Sequence[str] = ()) -> str:
    """Join words to a line of shell.

    Args:
        words: The words of the command.
        unknown: Expressions that only a shell can expand. Variables stay variables; all others are
            quoted, so that no command inside a foreign line is passed on to be run.
    """
    return " ".join(_quote(word, [part for part in unknown if part in word]) for word in words)


def _quote(word: str, unknown: Sequence[str]) -> str:
    if not unknown or not all(map(is_expandable, unknown)):
        return word if _HOME.fullmatch(word) else shlex.quote(word)
    escaped = re.sub(r'["\\`]', lambda match: f"\\{match.group()}", word)
    return f'"{escaped}"'


def choose_command(script: str, words: Sequence[str]) -> str:
    """Return the current command for the words of a legacy script."""
    trains = "do_train" in map(flag_name, words)
    return "eval-seq2seq" if script == "seq2seq" and not trains else COMMANDS[script]


def _resolve(command: Any, translation: Translation) -> dict[str, Any]:
    """Return the recipe that a training command resolves from the translation.

    Options that are not recipe keys are left out: files that they name need not exist here.
    """
    from gaudi_asr_cli.core.recipes.loading import check_recipe, with_settings

    words = translated_words(replace(translation, options=()))
    context = command.make_context(command.name, words, resilient_parsing=False)
    settings = (*settings_of(context.params, command.name), *(context.params["set_"] or ()))
    values = with_settings({"kind": command.name}, settings)
    recipe = check_recipe(values, origin="the old command")
    return without_secrets(recipe.model_dump(mode="json"))
