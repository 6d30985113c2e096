"""`gaudi-asr import-command`: an old command line in today's words."""

from typing import Annotated

import typer

from gaudi_asr_cli.cli import options

Line = Annotated[
    list[str],
    typer.Argument(
        metavar="COMMAND",
        show_default=False,
        help="The whole line in one pair of quotes, launcher and all.",
    ),
]


def command(
    context: typer.Context, line: Line, json: options.Json = False, quiet: options.Quiet = False
) -> None:
    """Say what a command of the old example scripts is today, and what became of each flag.

    Understands run_speech_recognition_ctc.py, run_speech_recognition_seq2seq.py and wav2vec.py,
    with what stood before them: environment, python -m, torchrun, gaudi_spawn.py, mpirun,
    deepspeed. Nothing is run. --json adds the recipe that the command would train.
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
