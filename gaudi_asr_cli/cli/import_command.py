"""`gaudi-asr import-command`: an old command line in today's words."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from gaudi_asr_cli.cli import options

Line = Annotated[
    list[str],
    typer.Argument(
        metavar="COMMAND",
        show_default=False,
        help="The whole line, launcher and all; in one pair of quotes where it has $ > | & or ;.",
    ),
]
_OURS = frozenset({"--json", "--quiet", "-q"})


class ImportCommand(TyperCommand):
    """A command whose argument is another command: the options in it are not its own."""

    foreign_words = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ours = [word for word in args if word in _OURS]
        others = [word for word in args if word not in _OURS]
        own = others[1:] if others[:1] == ["--"] else others
        return super().parse_args(ctx, [*ours, "--", *own])


def command(
    context: typer.Context, line: Line, json: options.Json = False, quiet: options.Quiet = False
) -> None:
    """Say what a command of the old example scripts is today, and what became of each flag.

    Understands run_speech_recognition_ctc.py, run_speech_recognition_seq2seq.py and wav2vec.py,
    with what stood before them: environment, python -m, torchrun, gaudi_spawn.py, mpirun,
    deepspeed, accelerate, docker run ... bash -c. Nothing is run and no $VARIABLE expanded.
    --json adds the recipe that the command would train.
    """
    from gaudi_asr_cli.cli.old_commands import import_line
    from gaudi_asr_cli.ui.console import print_result
    from gaudi_asr_cli.ui.json_lines import print_json
    from gaudi_asr_cli.ui.old_commands import show_translation

    imported = import_line(line, context.find_root().command)
    if json:
        return print_json(imported.to_json())
    print_result(imported.command)
    if not quiet:
        show_translation(imported.translation)
    return None
