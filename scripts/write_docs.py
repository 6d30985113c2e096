#!/usr/bin/env python
"""Write the generated documents: docs/commands.md, recipes.md and old-commands.md."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gaudi_asr_cli.cli.app import app
from gaudi_asr_cli.cli.old_commands import format_key
from gaudi_asr_cli.cli.training_options import script_aliases
from gaudi_asr_cli.core.legacy.flags import (
    CTC_FLAGS,
    SEQ2SEQ_FLAGS,
    TRAINER_FLAGS,
    WAV2VEC_FLAGS,
    LegacyFlag,
)
from gaudi_asr_cli.core.legacy.scripts import CTC_DEFAULTS, SEQ2SEQ_DEFAULTS
from gaudi_asr_cli.core.legacy.translation import differing_defaults, recipe_defaults
from gaudi_asr_cli.core.recipes.loading import KINDS
from gaudi_asr_cli.core.recipes.option_kinds import OPTION_KINDS
from gaudi_asr_cli.ui.help import help_panels, subcommands, usage

DOCS = Path(__file__).parent.parent / "docs"
OLD_COMMANDS = Path(__file__).parent / "old-commands.md"
"""Text above the tables of docs/old-commands.md."""
OLD_TABLES = {
    "run_speech_recognition_ctc.py": CTC_FLAGS,
    "run_speech_recognition_seq2seq.py": SEQ2SEQ_FLAGS,
    "Both Hugging Face scripts": TRAINER_FLAGS,
    "wav2vec.py": WAV2VEC_FLAGS,
}
OLD_DEFAULTS = {"finetune-ctc": CTC_DEFAULTS, "finetune-seq2seq": SEQ2SEQ_DEFAULTS}
NOTICE = "<!-- Written by scripts/write_docs.py: change the code, then run `make docs`. -->"


def main() -> None:
    """Write the files."""
    DOCS.mkdir(exist_ok=True)
    (DOCS / "commands.md").write_text(commands_markdown(), encoding="utf-8")
    (DOCS / "recipes.md").write_text(recipes_markdown(), encoding="utf-8")
    (DOCS / "old-commands.md").write_text(old_commands_markdown(), encoding="utf-8")


def commands_markdown() -> str:
    """Return every command with its options, in the order of `--help`."""
    program = typer.main.get_command(app)
    lines = ["# Commands", "", NOTICE, "", *_paragraphs(program.help)]
    for name, command in program.commands.items():
        lines += _command_lines(f"gaudi-asr {name}", command)
    lines += ["## Other names of options", ""]
    lines += [
        "Underscores may stand for hyphens. `finetune-ctc` and `finetune-seq2seq` also take:",
        "",
    ]
    lines += ["| name | same as |", "|---|---|"]
    lines += [f"| `{alias}` | `{option}` |" for alias, option in script_aliases().items()]
    return "\n".join(lines) + "\n"


def _command_lines(path: str, command: Any) -> Iterator[str]:
    yield from (f"## {path}", "", *_paragraphs(command.help))
    yield from ("```", usage(command, path), "```", "")
    for title, rows in help_panels(command).items():
        if title == "Commands":
            continue
        yield from (f"| {title} | |", "|---|---|")
        yield from (
            f"| `{row.names}` {_cell(row.placeholder)} | {_cell(row.right)} |" for row in rows
        )
        yield ""
    for name, subcommand in subcommands(command).items():
        yield from _command_lines(f"{path} {name}", subcommand)


def recipes_markdown() -> str:
    """Return every key of a recipe with type, default and meaning, section by section."""
    lines = ["# Recipes", "", NOTICE, ""]
    lines += [
        "A recipe is a YAML file; `gaudi-asr recipes` lists those that come with the package.",
        "What is set comes from, first to last: the default below, the recipe that `extends:`",
        "names, the file, options and `--set KEY=VALUE` of the command line. Keys of a section are",
        "written `section.key` with `--set`. Unknown keys are errors.",
        "",
        "What was `published` for a recipe belongs to its file alone: what extends it does not",
        "inherit it. `gaudi-asr results` lays your runs beside these numbers.",
        "",
    ]
    for kind, recipe in {**KINDS, **OPTION_KINDS}.items():
        lines += _section_lines(kind, recipe)
    for name, model in _sections(KINDS.values()).items():
        lines += _section_lines(name, model)
    return "\n".join(lines) + "\n"


def old_commands_markdown() -> str:
    """Return the page with the status of every legacy flag; its prose is in OLD_COMMANDS."""
    lines = [*OLD_COMMANDS.read_text(encoding="utf-8").rstrip().splitlines(), ""]
    lines.insert(2, f"{NOTICE}\n")
    for title, flags in OLD_TABLES.items():
        lines += [f"## {title}", "", "| flag | status | what it is now |", "|---|---|---|"]
        lines += [_flag_row(flag) for flag in sorted(flags, key=lambda flag: flag.name)]
        lines.append("")
    lines += ["## Defaults", "", "The scripts' defaults are set where no flag says otherwise:", ""]
    lines += ["| command | key | default of the script | default of a recipe |"]
    lines += ["|---|---|---|---|"]
    for kind, defaults in OLD_DEFAULTS.items():
        current = recipe_defaults(kind)
        for key, value in differing_defaults(defaults, kind).items():
            unset = "set by the model" if key.startswith("network.") else "none"
            shown = unset if current.get(key) is None else f"`{_plain(current[key])}`"
            lines.append(f"| `{kind}` | `{key}` | `{_plain(value)}` | {shown} |")
    return "\n".join(lines) + "\n"


def _flag_row(flag: LegacyFlag) -> str:
    message = flag.describe(format_key) or "unchanged"
    return f"| `{flag.option}` | {flag.status.value} | {_cell(message)} |"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sections(recipes: Iterable[type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """The models inside, those of several keys once: `train`, `eval`, `test`."""
    keys: dict[type[BaseModel], list[str]] = {}
    homes: dict[type[BaseModel], list[str]] = {}
    for recipe in recipes:
        for key, field in recipe.model_fields.items():
            for part in [field.annotation, *typing.get_args(field.annotation)]:
                if isinstance(part, type) and issubclass(part, BaseModel):
                    keys.setdefault(part, []).append(f"`{key}`")
                    homes.setdefault(part, []).append(recipe.model_fields["kind"].default)
    return {_section_title(names, homes[part]): part for part, names in keys.items()}


def _section_title(keys: list[str], kinds: list[str]) -> str:
    """The keys, and the kind of recipe where only one has them."""
    title = ", ".join(dict.fromkeys(keys))
    return title if len(set(kinds)) > 1 else f"{title} ({kinds[0]})"


def _section_lines(title: str, model: type[BaseModel]) -> list[str]:
    about = model.__dict__.get("__doc__")
    rows = [_field_row(name, field) for name, field in model.model_fields.items()]
    head = [f"## {title}", "", *_paragraphs(about)]
    return [*head, "| key | type | default | |", "|---|---|---|---|", *rows, ""]


def _field_row(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        shown = "required"
    elif isinstance(default, BaseModel):
        shown = "see below"
    else:
        shown = "" if default in (None, "", {}) else f"`{default}`"
    kind = _cell(_type_name(field.annotation))
    return f"| `{name}` | {kind} | {_cell(shown)} | {_cell(field.description or '')} |"


def _type_name(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(part) for part in parts if part is not type(None))
    if origin is typing.Annotated:
        return _type_name(parts[0])
    if origin is not None:
        inner = [_type_name(part) for part in parts if part is not Any]
        return " of ".join([origin.__name__, *dict.fromkeys(inner)])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return str(getattr(annotation, "__name__", annotation))


def _paragraphs(text: str | None) -> list[str]:
    paragraphs = [" ".join(part.split()) for part in (text or "").split("\n\n")]
    return [line for paragraph in paragraphs if paragraph for line in (paragraph, "")]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
