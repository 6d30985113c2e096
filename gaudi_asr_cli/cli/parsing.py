"""From command-line words to options: underscores mean hyphens, unknown names get suggestions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar, cast

import typer
from typer.core import TyperCommand

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.registry import Registry, suggest_names

CommandT = TypeVar("CommandT", bound=Callable[..., None])

# The parser's own error class, found without naming click: Typer carries its own since 0.26.
CommandLineError = cast(type[Exception], typer.BadParameter.__mro__[1])


class KebabCommand(TyperCommand):
    """A command whose long options may be written with underscores, as in the old scripts.

    `old_script` is the script of `SCRIPTS` whose command lines the command accepts.
    """

    old_script: str | None = None

    def aliases(self) -> Mapping[str, str]:
        """Return other names of the options, which `--help` does not list."""
        return {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if self.old_script is not None and not ctx.resilient_parsing:
            # Here, not above: `--help` does not need the tables of the old scripts.
            from gaudi_asr_cli.cli.old_commands import translate_words

            args = translate_words(self.old_script, args, ctx)
        return super().parse_args(ctx, format_as_declared(args, self.aliases()))


class TrainingCommand(KebabCommand):
    """A command that leaves the options that it does not declare in `context.args`."""

    def aliases(self) -> Mapping[str, str]:
        from gaudi_asr_cli.cli.training_options import script_aliases

        return script_aliases()

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.ignore_unknown_options = True
        self.allow_extra_args = True


class CommandTable(MutableMapping[str, Any]):
    """Commands by name; a command of the registry is imported and built when it is looked up.

    A record of the registry is the function of a command, or a `typer.Typer` of several. The class
    that parses a function's words is its attribute `parser` (`parsed_by`).
    """

    def __init__(self, registry: Registry[Any], others: Mapping[str, Any]) -> None:
        self.registry = registry
        self.built = dict(others)

    def __getitem__(self, name: str) -> Any:
        if name not in self.built:
            self.built[name] = build_command(name, self.registry[name])
        return self.built[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self.built[name] = command

    def __delitem__(self, name: str) -> None:
        del self.built[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.registry.paths, **self.built})

    def __len__(self) -> int:
        return len({*self.registry.paths, *self.built})

    def __contains__(self, name: object) -> bool:
        return name in self.registry or name in self.built

    def summaries(self) -> dict[str, str]:
        """Return the first paragraph of each command's help; builds no command."""
        return {
            name: summary_of(self.built[name] if name in self.built else self.registry[name])
            for name in self
        }


def summary_of(command: Any) -> str:
    """Return the first paragraph of the help of a command, built or as a record."""
    if isinstance(command, typer.Typer):
        command = command.registered_callback.callback if command.registered_callback else None
    text = getattr(command, "help", None) or inspect.getdoc(command) or ""
    return " ".join(text.split("\n\n")[0].split())


def build_command(name: str, record: Any) -> Any:
    """Return the parser's command of a record of the registry of commands."""
    if isinstance(record, typer.Typer):
        group = typer.main.get_group(record)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    add_command(alone, name, record)
    return typer.main.get_command(alone)


def parsed_by(cls: type[TyperCommand]) -> Callable[[CommandT], CommandT]:
    """Set the class that parses the words of a command."""

    def with_parser(command: CommandT) -> CommandT:
        cast(Any, command).parser = cls
        return command

    return with_parser


def add_command(app: typer.Typer, name: str, command: Callable[..., None]) -> None:
    """Register a command; its docstring is its help, one line per paragraph as Typer expects."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    cls = getattr(command, "parser", KebabCommand)
    app.command(name, cls=cls, help=text)(with_converted_parameters(command))


def with_converted_parameters(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with `context.params` converted as its arguments are: enums and paths.

    Typer before 0.27 converts only the arguments and leaves strings in the context.
    """

    @functools.wraps(command)
    def converted(**arguments: Any) -> None:
        for context in arguments.values():
            if hasattr(context, "get_parameter_source"):
                context.params.update(
                    {name: arguments[name] for name in context.params if name in arguments}
                )
        command(**arguments)

    return converted


def asked_for_help(words: Sequence[str], program: Any) -> tuple[Any, str] | None:
    """Return the command whose help is requested, and its full name; None: no help is shown.

    Found before anything is parsed: to parse even `--help`, Typer imports pydantic. A word that
    is no command of a group is left to the parser, which reports it.
    """
    command, path = program, "gaudi-asr"
    for word in words:
        if word in {"-h", "--help"}:
            return command, path
        if word == "--":
            return None
        if getattr(command, "foreign_words", False):
            # The words belong to another command: only a last --help is for this one.
            return (command, path) if words[-1] in {"-h", "--help"} else None
        commands = getattr(command, "commands", None)
        if not commands or word.startswith("-"):
            continue
        if word not in commands:
            return None
        command, path = commands[word], f"{path} {word}"
    return None


def format_as_declared(words: Sequence[str], aliases: Mapping[str, str]) -> list[str]:
    """Turn `--num_train_epochs=5` into `--epochs=5`; keep values, and everything after `--`."""
    end = words.index("--") if "--" in words else len(words)
    return [*(_format_as_declared(word, aliases) for word in words[:end]), *words[end:]]


def _format_as_declared(word: str, aliases: Mapping[str, str]) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    hyphens = name.replace("_", "-")
    return aliases.get(hyphens, hyphens) + equals + value


def usage_error(error: Any) -> UsageError:
    """Return an error of the parser as one of ours, with a remedy."""
    context = error.ctx
    command = context.command_path if context else "gaudi-asr"
    wrong = getattr(error, "option_name", None)
    if wrong is None or not hasattr(error, "possibilities"):
        return UsageError(
            _sentence(error.format_message()), remedy=f"{command} --help shows what it takes."
        )
    near = suggest_names(wrong, known_options(context.command)).strip() if context else ""
    return UsageError(
        f"{command} has no option {wrong}.",
        remedy=" ".join([near, f"{command} --help shows them all."]).strip(),
    )


def known_options(command: Any) -> list[str]:
    """Return all long names of the command's own options."""
    names = [[*option.opts, *option.secondary_opts] for option in command.params]
    return [name for group in names for name in group if name.startswith("--")]


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?", "!")) else text + "."
