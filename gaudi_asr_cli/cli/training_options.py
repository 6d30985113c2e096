"""Options of the commands that train, most of them built from the keys of a recipe."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, get_args

import typer

from gaudi_asr_cli.cli import cards, options, publishing
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.recipes.keys import RECIPE_KEYS, SECTION_NAMES, RecipeKey, keys_of

CommandFunction = Callable[..., None]
PANELS = (
    *(None, options.DATA, options.MODEL, "Training"),
    *(cards.PANEL, options.MACHINE, options.OUTPUT),
)
"""The order of `--help`; None is at the top."""

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Any key of the recipe, such as trainer.save_steps=20; may be repeated.",
    ),
]
_RECIPE = typer.Option(
    "--recipe",
    "-r",
    metavar="NAME|FILE",
    show_default=False,
    help="What to train and how; see gaudi-asr recipes.",
)
_REPORT_TO = typer.Option(
    "--report-to",
    metavar="NAME",
    rich_help_panel=options.OUTPUT,
    show_default=False,
    help="Tracker to log to, such as tensorboard, wandb or mlflow; may be repeated.",
)


def _switch(name: str, help: str, panel: str | None = None) -> tuple[Any, Any]:
    option = typer.Option(name, rich_help_panel=panel, metavar=options.NO_VALUE, help=help)
    return Annotated[bool, option], False


_FIRST: dict[str, tuple[Any, Any]] = {
    "recipe": (Annotated[str | None, _RECIPE], None),
    "device": (options.DeviceOption, AUTO),
    "hpu_mode": (options.HpuMode, options.HpuModeName.AUTO),
}
_LAST: dict[str, tuple[Any, Any]] = {
    "set_": (SetOption, None),
    "no_train": _switch("--no-train", "Only score --model on --eval."),
    "in_place": (options.InPlaceOption, None),
    **cards.OPTIONS,
    "run": (options.Run, None),
    "resume": _switch("--resume", "Continue the run in --run DIR.", options.OUTPUT),
    "report_to": (Annotated[list[str] | None, _REPORT_TO], None),
    **publishing.PUBLISHING_OPTIONS,
    "dry_run": _switch("--dry-run", "Show the plan and do no work.", options.OUTPUT),
    "json": (options.Json, False),
    "quiet": (options.Quiet, False),
}
"""Options that set no key of the recipe, before and after those that do: annotation, default."""

OPTION_OF: dict[str, str] = {record.key: record.option for record in RECIPE_KEYS}
"""The option that sets a key of the recipe; `*` stands for each data section."""


@cache
def script_aliases() -> dict[str, str]:
    """Return the names that options have in the example scripts; every training command takes them.

    Computed on use: `--help` does not need the tables of the scripts.
    """
    from gaudi_asr_cli.core.legacy.scripts import SCRIPTS

    names = {
        f"--{flag.name.replace('_', '-')}": OPTION_OF[flag.key]
        for flag in SCRIPTS["ctc"].table.values()
        if flag.key in OPTION_OF and flag.value_kind != "switch"
    }
    return {
        "--dataset-config-name": "--config",
        "--text-column-name": "--text-column",
        **{name: option for name, option in names.items() if name != option},
    }


def training_command(kind: str) -> Callable[[CommandFunction], CommandFunction]:
    """Give a command the options of every training run and of the keys of its recipes."""
    options_of_keys = _parameters_of(keys_of(kind))
    parameters = [*_parameters(_FIRST), *options_of_keys, *_parameters(_LAST)]
    return with_options(sorted(parameters, key=_panel_order))


def key_options(kind: str, *keys: str) -> Callable[[CommandFunction], CommandFunction]:
    """Give a command the options of these keys of a recipe that it names; no defaults are shown."""
    chosen = [record for record in keys_of(kind) if record.key in keys]
    return with_options(_parameters_of(replace(record, default=None) for record in chosen))


def with_options(
    parameters: Sequence[inspect.Parameter],
) -> Callable[[CommandFunction], CommandFunction]:
    """Show Typer these options of a command, which takes them as `**given`, before its own."""

    def decorate(command: CommandFunction) -> CommandFunction:
        declared = inspect.signature(command, eval_str=True).parameters.values()
        own = [
            parameter.replace(kind=parameter.KEYWORD_ONLY)
            for parameter in declared
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        signature = inspect.Signature([*parameters, *own])
        command.__signature__ = signature  # type: ignore[attr-defined]  # inspect reads it
        command.__annotations__ = {
            name: parameter.annotation for name, parameter in signature.parameters.items()
        }
        return command

    return decorate


def settings_of(given: Mapping[str, Any], kind: str) -> Iterator[str]:
    """Yield `key=value` for each option of a kind that was given, in the order of `keys_of`."""
    sections = [section for section in SECTION_NAMES if given.get(section)]
    for option, key in {one.parameter: one.key for one in keys_of(kind)}.items():
        value = given.get(option)
        if value is None or value in ((), []):
            continue
        for section in (sections or ["train", "eval"]) if key.startswith("*") else [""]:
            yield f"{key.replace('*', section)}={json.dumps(value, ensure_ascii=False)}"


def tracker_settings(given: Mapping[str, Any]) -> list[str]:
    """Return the setting of the trackers that were named, between commas or one by one."""
    named = [name for part in given["report_to"] or () for name in part.replace(",", " ").split()]
    return [f"trainer.report_to={json.dumps(named)}"] if named else []


def _parameters_of(records: Iterable[RecipeKey]) -> list[inspect.Parameter]:
    return list(_parameters({record.parameter: (_annotate(record), None) for record in records}))


def _parameters(declared: Mapping[str, tuple[Any, Any]]) -> Iterator[inspect.Parameter]:
    for name, (annotation, default) in declared.items():
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )


def _annotate(record: RecipeKey) -> Any:
    """The option's type; None is an option that was not given, where the recipe decides."""
    repeats = " May be repeated." if record.type == list[str] else ""
    option = typer.Option(
        record.option,
        *record.aliases,
        rich_help_panel=record.panel,
        metavar=record.metavar or "|".join(get_args(record.type)),
        show_default=False if record.default in (None, "") else str(record.default),
        help=record.help + repeats,
    )
    return Annotated[record.type | None, option]


def _panel_order(parameter: inspect.Parameter) -> int:
    return PANELS.index(parameter.annotation.__metadata__[0].rich_help_panel)
