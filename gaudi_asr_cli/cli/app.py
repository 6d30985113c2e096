"""The `gaudi-asr` program: its commands, and the one place where an error becomes an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from types import FrameType, TracebackType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gaudi_asr_cli import __version__
from gaudi_asr_cli.cli.failures import as_user_error
from gaudi_asr_cli.cli.options import NO_VALUE
from gaudi_asr_cli.cli.parsing import CommandTable, asked_for_help
from gaudi_asr_cli.core.distributed.rank import exit_code_of, rank_streams, report_to_launcher
from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.registry import Registry
from gaudi_asr_cli.ui.console import guarded_streams, print_result, separate_results
from gaudi_asr_cli.ui.help import render_help
from gaudi_asr_cli.ui.messages import show_error, show_line

REGISTERED_COMMANDS: Registry[Any] = Registry(
    "command",
    {
        "vocab": "gaudi_asr_cli.cli.vocab:command",
        "check": "gaudi_asr_cli.cli.check:command",
        "finetune-ctc": "gaudi_asr_cli.cli.finetune_ctc:command",
        "finetune-seq2seq": "gaudi_asr_cli.cli.finetune_seq2seq:command",
        "eval-ctc": "gaudi_asr_cli.cli.eval_ctc:command",
        "eval-seq2seq": "gaudi_asr_cli.cli.eval_seq2seq:command",
        "create-seq2seq": "gaudi_asr_cli.cli.create_seq2seq:command",
        "infer": "gaudi_asr_cli.cli.infer:command",
        "lm": "gaudi_asr_cli.cli.lm:command",
        "align": "gaudi_asr_cli.cli.align:command",
        "serve": "gaudi_asr_cli.cli.serve:command",
        "bench": "gaudi_asr_cli.cli.bench:command",
        "import-command": "gaudi_asr_cli.cli.import_command:command",
        "compare": "gaudi_asr_cli.cli.compare:command",
        "report": "gaudi_asr_cli.cli.report:command",
        "results": "gaudi_asr_cli.cli.results:command",
        "push": "gaudi_asr_cli.cli.push:command",
        "doctor": "gaudi_asr_cli.cli.doctor:command",
        "help": "gaudi_asr_cli.cli.help_command:command",
        "recipes": "gaudi_asr_cli.cli.recipes:recipes_app",
    },
)
"""The commands, in the order of `--help`: a function, or the `typer.Typer` of several."""


class ProgramGroup(TyperGroup):
    """The group of all commands, each imported when it is looked up."""

    def __init__(self, *, commands: Any = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = CommandTable(REGISTERED_COMMANDS, commands or {})


app = typer.Typer(
    name="gaudi-asr",
    cls=ProgramGroup,
    # A bug shows Python's own traceback: short, and without the values of variables.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMPLETION = "_GAUDI_ASR_COMPLETE"
"""Variable by which a shell requests completions."""
SPIN_COUNT = "3000"
"""For how long a thread of OpenMP spins before it sleeps (about 0.1 ms): the default of libgomp, a
hundred times as long, made a command four times slower beside other programs (docs/log.md)."""
FAILED = 1
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
REPEAT_S = 0.01
"""Time until a signal is sent again whose exception Python discarded."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print_result(f"gaudi-asr {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar=NO_VALUE,
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Train, evaluate and run speech recognition on Intel Gaudi, CUDA and plain CPUs.

    Begin with doctor, then finetune-ctc without options: it trains a small model in minutes.
    Documents on scoring, devices, recipes and more: gaudi-asr help.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; an `AsrError` becomes a message and an exit code, a bug a traceback."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    with guarded_streams() as messages:
        _prepare_process()
        only_results = separate_results() if asks_for_json(words) else nullcontext()
        with rank_streams(), only_results:
            code = _run(words)
    # Lost messages are an error of their own where nothing else failed.
    sys.exit(FAILED if code == 0 and messages is not None and messages.lost else code)


def asks_for_json(words: Sequence[str]) -> bool:
    """Return whether standard output must be machine-readable."""
    end = words.index("--") if "--" in words else len(words)
    return "--json" in words[:end]


def _run(words: list[str]) -> int:
    try:
        completing = COMPLETION in os.environ
        asked = asked_for_help(words or ["--help"], typer.main.get_command(app))
        if asked and not completing:
            print_result(render_help(*asked))
            return 0
        code = app(args=words, prog_name="gaudi-asr", standalone_mode=False) or 0
    except AsrError as error:
        return _report(error, words)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has closed it.
        return FAILED
    except Exception as error:
        user_error = as_user_error(error)
        if user_error is None:
            raise
        return _report(user_error, words)
    if code == INTERRUPTED:
        show_line("Stopped.")
    return int(code)


def _report(error: AsrError, words: list[str]) -> int:
    from gaudi_asr_cli.core.secret_values import hide_in_text, known_secrets

    secrets = known_secrets() | known_secrets(words)
    error.message = hide_in_text(error.message, secrets)
    error.remedy = hide_in_text(error.remedy, secrets)
    if report_to_launcher(error):
        return exit_code_of(error)
    show_error(error)
    return error.exit_code


def _prepare_process() -> None:
    """Set what torch and libraries read when they are imported."""
    for name, value in quiet_environment(terminal=sys.stderr.isatty()).items():
        os.environ.setdefault(name, value)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    sys.excepthook = _show_bug
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _repeat_signal
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)


def _show_bug(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    from gaudi_asr_cli.core.secret_values import hide_in_text

    sys.stderr.write(hide_in_text("".join(traceback.format_exception(kind, error, at))))


def quiet_environment(*, terminal: bool) -> dict[str, str]:
    """Return variables that disable telemetry and the progress bars of libraries.

    Download bars of the hub stay on a terminal: a model can take minutes.
    """
    quiet = {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return quiet if terminal else {**quiet, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def _stop(number: int, frame: FrameType | None) -> None:
    """Exit by an exception, so that files are closed and workers joined."""
    raise SystemExit(TERMINATED)


def _repeat_signal(discarded: sys.UnraisableHookArgs) -> None:
    """Send a signal again whose exception was raised in a finalizer, where Python discards it.

    Weakref callbacks of a garbage collection are such places: after one of a large model the first
    bytecode, at which Python handles the signals that have arrived meanwhile, is theirs.
    """
    error = discarded.exc_value
    if isinstance(error, KeyboardInterrupt):
        number = signal.SIGINT
    elif isinstance(error, SystemExit) and error.code == TERMINATED:
        number = signal.SIGTERM
    else:
        sys.__unraisablehook__(discarded)
        return
    again = threading.Timer(REPEAT_S, os.kill, (os.getpid(), number))
    again.daemon = True
    with suppress(RuntimeError):  # The interpreter is ending.
        again.start()
