"""`gaudi-asr import-command`: translate a legacy command line."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli.parsing import parsed_by

Line = Annotated[
    list[str],
    typer.Argument(
        metavar="COMMAND",
        show_default=False,
        help="The whole line with its launcher; in quotes if it contains $ > | & or ;.",
    ),
]
_OPTIONS = frozenset({"--json", "--quiet", "-q"})


class ImportCommand(TyperCommand):
    """A command whose argument is another command line, with options of its own."""

    foreign_words = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = [word for word in args if word in _OPTIONS]
        words = [word for word in args if word not in _OPTIONS]
        line = words[1:] if words[:1] == ["--"] else words
        return super().parse_args(ctx, [*options, "--", *line])


@parsed_by(ImportCommand)
def command(
    context: typer.Context, line: Line, json: options.Json = False, quiet: options.Quiet = False
) -> None:
    """Translate a command of the old example scripts, and show the status of each flag.

    Supports run_speech_recognition_ctc.py, run_speech_recognition_seq2seq.py and wav2vec.py, with
    the words before them: environment variables, python -m, torchrun, gaudi_spawn.py, mpirun,
    deepspeed, accelerate, docker run ... bash -c. Nothing is run and no $VARIABLE is expanded.
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
