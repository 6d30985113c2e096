"""Commands of the old scripts, typed after today's names, become today's words."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.cli.options import DtypeName
from gaudi_asr_cli.cli.training_options import OPTION_OF, settings_of
from gaudi_asr_cli.core.errors import MachineError, UsageError
from gaudi_asr_cli.core.secret_values import (
    hide_in_line,
    hide_in_text,
    hide_in_words,
    secrets_of_words,
    without_secrets,
)

if TYPE_CHECKING:
    from gaudi_asr_cli.core.devices.base import Device
    from gaudi_asr_cli.core.legacy.flags import Table
    from gaudi_asr_cli.core.legacy.translating import OldNotice, Translation

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
"""Key of a recipe -> the option of a command that only scores."""
_HOME = re.compile(r"~\w*(/[\w.@%+=:,/-]*)?", re.ASCII)
"""A path below a home folder, which a shell finds unless it is quoted."""
_TRANSLATION = "gaudi_asr_cli.old"
COMMANDS = {"ctc": "finetune-ctc", "seq2seq": "finetune-seq2seq", "wav2vec": "bench"}
"""The command of today that takes an old script's place."""
OF_TRAINING = "is of training alone"
_ALIKE = frozenset({
    "output_dir", "overwrite_output_dir", "dataset_config_name", "text_column_name",
    "chars_to_ignore", "do_lower_case", "bf16", "fp16", "fp32", "use_habana", "use_lazy_mode",
    "no_cuda", "use_cpu", "torch_compile",
})  # fmt: skip
"""Flags that become the same whether a command trains or only scores."""

ALL_DATA = "for training: scores are of all data"
TO_SCORERS = {
    "do_eval": "is the command itself",
    "max_duration_in_seconds": ALL_DATA,
    "min_duration_in_seconds": ALL_DATA,
}
"""Flags that mean something else, or nothing, where a command only scores."""
TRAINING_ALONE = frozenset({"--no-train", "--dry-run"})


def format_key(key: str) -> str:
    """The option that sets a key of a recipe when training."""
    return OPTION_OF.get(key, f"--set {key}" if key else "")


def translated_words(translation: Translation, *, scores: bool = False) -> list[str]:
    """Today's command line without the command's name.

    Args:
        translation: Of an old command.
        scores: Whether the command only scores, and knows nothing of recipes.
    """
    settings, options = translation.settings, list(translation.options)
    if scores:
        words = list(_option_words(settings, EVAL_OPTION_OF))
        options = [word for word in options if word not in TRAINING_ALONE]
    else:
        words = [*_option_words(settings, OPTION_OF), *_set_words(settings)]
    return [*words, *options, *translation.rest]


def _option_words(settings: Mapping[str, Any], options: Mapping[str, str]) -> Iterator[str]:
    for key, value in settings.items():
        if key in options:
            yield from _pair(options[key], str(value))


def _set_words(settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        if key not in OPTION_OF:
            yield from ("--set", f"{key}={json.dumps(value, ensure_ascii=False)}")


def _pair(option: str, value: str) -> Iterator[str]:
    """A value that looks like an option is glued to its own."""
    if value.startswith("-"):
        yield f"{option}={value}"
    else:
        yield from (option, value)


def with_free_folder(words: Sequence[str]) -> tuple[list[str], str | None]:
    """The words with the first free DIR, DIR-2, ... behind --run, and that folder if it is new."""
    words = list(words)
    if "--run" not in words:
        return words, None
    place = len(words) - words[::-1].index("--run")
    free = free_folder(Path(words[place]))
    if free == Path(words[place]):
        return words, None
    words[place] = str(free)
    return words, str(free)


def free_folder(folder: Path) -> Path:
    """The folder, or the first of FOLDER-2, FOLDER-3, ... where nothing is."""
    number, free = 1, folder
    while os.path.lexists(free):
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def translate_words(script: str, words: list[str], context: Any) -> list[str]:
    """Today's words of a command line that may be an old script's; what became of it is told.

    Raises:
        UsageError: It is an old one, but wrong.
    """
    translation = read_old(script, words, context.command)
    if translation is None:
        return words
    modern = translated_words(translation, scores=not _takes_recipes(context.command))
    moved_to = None
    if translation.numbers_run:
        modern, moved_to = with_free_folder(modern)
    context.meta[_TRANSLATION] = translation
    if not {"--quiet", "-q"} & set(modern):
        from gaudi_asr_cli.ui.old_commands import show_translation

        show_translation(translation, moved_to)
    return modern


def former_pattern(context: Any) -> str | None:
    """What the old script removed from the text, where the command is one of its."""
    translation: Translation | None = context.meta.get(_TRANSLATION)
    return None if translation is None else translation.former_pattern


def fitting_parameters(context: Any, device: Device | None) -> dict[str, Any]:
    """The command's parameters; an old command's fp16 gives way where the device has none.

    The scripts' --fp16 meant half precision, and here `auto` is that wherever it gains. It gives
    way as well where the device is not open, because other processes will train.
    """
    parameters: dict[str, Any] = dict(context.params)
    asks = _TRANSLATION in context.meta and parameters.get("dtype") is DtypeName.FP16
    if asks and (device is None or not _computes_fp16(device)):
        parameters["dtype"] = DtypeName.AUTO
    return parameters


def _computes_fp16(device: Device) -> bool:
    try:
        device.choose_dtype("fp16")
    except MachineError:
        return False
    return True


def _takes_recipes(command: Any) -> bool:
    """Whether it takes any key of a recipe; commands that train nothing take options alone."""
    return any(one.name == "set_" for one in command.params)


def read_old(script: str, words: Sequence[str], command: Any) -> Translation | None:
    """The translation of a command line, if it is one of the old script's.

    Args:
        script: One of `SCRIPTS`.
        words: What follows today's command.
        command: Today's command, whose options are not the script's business.

    Raises:
        UsageError: It is one, but wrong.
    """
    from gaudi_asr_cli.core.legacy.scripts import SCRIPTS

    if not SCRIPTS[script].looks_old(words):
        return None
    return translate_for(script, words, command)


def translate_for(script: str, words: Sequence[str], command: Any) -> Translation:
    """The translation of an old script's words for today's command.

    Raises:
        UsageError: They are wrong.
    """
    from gaudi_asr_cli.core.legacy.scripts import SCRIPTS, translate

    names = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    translation = translate(
        SCRIPTS[script],
        words,
        spell=format_key,
        is_ours=lambda word: _modern(word) in names,
        has_arguments=any(one.param_type_name == "argument" for one in command.params),
    )
    if script == "wav2vec" or _takes_recipes(command):
        return translation
    table = SCRIPTS[script].table
    notices = tuple(_noted_to_scorers(one, table) for one in translation.notices)
    return replace(translation, notices=notices)


def _noted_to_scorers(notice: OldNotice, table: Table) -> OldNotice:
    """The notice for a command that only scores: its own options, and nothing of training."""
    from gaudi_asr_cli.core.legacy.flags import FlagStatus

    flag = table.get(notice.flag.removeprefix("--"))
    if flag is None or notice.fate != FlagStatus.RENAMED.value or flag.name in _ALIKE:
        return notice
    if flag.name == "dataset_name":
        return replace(notice, message=notice.message.replace("--train and --eval", "--data"))
    option = EVAL_OPTION_OF.get(flag.key)
    told = TO_SCORERS.get(flag.name, f"is {option}" if option else OF_TRAINING)
    return replace(notice, message=told)


def _modern(word: str) -> str:
    name = word.partition("=")[0]
    return "--" + name[2:].replace("_", "-") if name.startswith("--") else name


@dataclass(frozen=True, slots=True)
class Imported:
    """An old line in today's words, and the recipe that it would train, if it trains."""

    command: str
    recipe: dict[str, Any] | None
    translation: Translation

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "import-command/1",
            "command": self.command,
            "recipe": self.recipe,
            "notices": [asdict(one) for one in self.translation.notices],
        }


def import_line(line: Sequence[str], program: Any) -> Imported:
    """Translate a line as it stands in a shell script or README.

    Args:
        line: One word that holds it all, or its words.
        program: The program, which knows today's commands.

    Raises:
        UsageError: No command of an old script, or a wrong one.
        RecipeError: Its values make no recipe.
    """
    from gaudi_asr_cli.core.legacy.launchers import read_launcher
    from gaudi_asr_cli.core.legacy.lines import find_old_command, set_aside_unknown
    from gaudi_asr_cli.core.legacy.scripts import SCRIPTS

    old = find_old_command(line)
    today = choose_command(old.script, [word.text for word in old.words])
    command = program.commands[today]
    own, unknown = set_aside_unknown(old.words, SCRIPTS[old.script].table)
    translation = translate_for(old.script, own, command)
    refuse_strays(translation.rest, own, command)
    _refuse_missing_data(translation)
    known = [name for one in command.params for name in one.opts]
    launch = read_launcher(old.front).fitted(today, known, translation.options)
    translation = replace(
        translation,
        options=(*translation.options, *launch.words),
        notices=(*old.notices, *launch.notices, *unknown, *translation.notices),
    )
    secrets = frozenset(secrets_of_words([word.text for word in old.words]))
    notices = [
        replace(
            one,
            flag=hide_in_text(one.flag, secrets),
            message=hide_in_text(one.message, secrets),
        )
        for one in translation.notices
    ]
    translation = replace(translation, notices=tuple(notices))
    modern = translated_words(translation, scores=not _takes_recipes(command))
    return Imported(
        command=join_words(
            hide_in_words(["gaudi-asr", today, *modern]),
            [one for word in old.words for one in word.unknown],
        ),
        recipe=_resolve(command, translation) if _takes_recipes(command) else None,
        translation=translation,
    )


def _refuse_missing_data(translation: Translation) -> None:
    """Refuse a line without data, for which, unlike for a model, recipes have no default."""
    for notice in translation.notices:
        if (notice.flag, notice.fate) == ("--dataset_name", "missing"):
            raise UsageError(
                f"{notice.flag} {notice.message.partition(':')[0]}.",
                remedy="Add --dataset_name ID or FOLDER to the line.",
            )


def refuse_strays(rest: Sequence[str], words: Sequence[str], command: Any) -> None:
    """Refuse words that belong to no option; the scripts took none.

    Args:
        rest: Words that are none of the old flags'.
        words: All of the script's words.
        command: Today's command, some of whose options take a value.

    Raises:
        UsageError: Names the first of them and what stands before it.
    """
    from gaudi_asr_cli.core.legacy.reading import is_flag

    # Arguments, which have no such attribute, are no switches.
    switches = [one for one in command.params if getattr(one, "is_flag", False)]
    names = {name for one in switches for name in (*one.opts, *one.secondary_opts)}
    before = ""
    for word in rest:
        takes = is_flag(before) and "=" not in before and _modern(before) not in names
        if not is_flag(word) and not takes:
            raise _stray(word, list(words))
        before = word


def _stray(word: str, words: list[str]) -> UsageError:
    from gaudi_asr_cli.core.legacy.reading import is_flag

    place = words.index(word) if word in words else 0
    start = next((at for at in range(place, -1, -1) if is_flag(words[at])), None)
    near = f", behind {hide_in_line(' '.join(words[start:place]))}" if start is not None else ""
    return UsageError(
        f"The word {hide_in_line(word)!r} belongs to no option{near}.",
        remedy="Put quotation marks around a value with spaces in it, or leave the word out.",
    )


def join_words(words: Sequence[str], unknown: Sequence[str] = ()) -> str:
    """The words as a line of shell.

    Args:
        words: Of the command.
        unknown: What only a shell can expand. Variables stay variables; anything else stays
            text, for no command of another's line is handed on to be run.
    """
    return " ".join(_quoted(word, [one for one in unknown if one in word]) for word in words)


def _quoted(word: str, unknown: Sequence[str]) -> str:
    from gaudi_asr_cli.core.legacy.lines import is_expandable

    if not unknown or not all(map(is_expandable, unknown)):
        return word if _HOME.fullmatch(word) else shlex.quote(word)
    escaped = re.sub(r'["\\`]', lambda found: f"\\{found.group()}", word)
    return f'"{escaped}"'


def choose_command(script: str, words: Sequence[str]) -> str:
    """Today's command for an old script's words."""
    from gaudi_asr_cli.core.legacy.reading import underscored

    trains = "do_train" in map(underscored, words)
    return "eval-seq2seq" if script == "seq2seq" and not trains else COMMANDS[script]


def _resolve(command: Any, translation: Translation) -> dict[str, Any]:
    """The recipe that a training command makes of its words.

    Without the options that are no key of it: files that they name need not be here.
    """
    from gaudi_asr_cli.core.recipes.loading import check_recipe, with_settings

    words = translated_words(replace(translation, options=()))
    context = command.make_context(command.name, words, resilient_parsing=False)
    settings = (*settings_of(context.params), *(context.params["set_"] or ()))
    values = with_settings({"kind": command.name}, settings)
    recipe = check_recipe(values, origin="the old command")
    return without_secrets(recipe.model_dump(mode="json"))
