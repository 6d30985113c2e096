"""Every error that a user can cause or fix, with its exit code.

AsrError                  1   any other error
|- UsageError             2   unknown option, missing argument, a run folder that exists
|- RecipeError            3   recipe or configuration
|- DataError              4   data: missing, unusable, broken, or unsuitable for the model
|- MachineError           5   the machine lacks something: device, mode, optional extra
|- UnreachableError       6   a model or dataset id that could not be reached
|- TrainingError          1   training stopped: loss not finite, disk full
|- StoppedError     130, 143  Ctrl-C or SIGTERM: stopped cleanly, resumable

`compare` ends with 7, `WORSE`, where the second side is worse: a finding, not an error.
"""

WORSE = 7
"""Exit code of `compare` where B is worse than A by more than the tolerance."""


class AsrError(Exception):
    """An error that the user can fix: what happened, and what to do about it.

    Args:
        message: What happened, naming the file, line, key or device.
        remedy: What the user can do next. Required, so that no message ends without advice.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class UsageError(AsrError):
    """The command line is wrong, or a run folder exists already."""

    exit_code = 2


class RecipeError(AsrError):
    """A recipe or configuration is wrong, or does not fit the run that is resumed."""

    exit_code = 3


class DataError(AsrError):
    """Data is missing, broken, unusable, or does not fit the model."""

    exit_code = 4


class MachineError(AsrError):
    """The machine lacks a device, a mode or an optional package."""

    exit_code = 5


class UnreachableError(AsrError):
    """A model or dataset id could be reached neither in the cache nor on the network."""

    exit_code = 6


class TrainingError(AsrError):
    """Training had to stop; the newest complete checkpoint is kept."""

    exit_code = 1


class StoppedError(AsrError):
    """A run was stopped by a signal; it stopped cleanly and can be resumed."""

    def __init__(self, message: str, *, remedy: str, exit_code: int) -> None:
        super().__init__(message, remedy=remedy)
        self.exit_code = exit_code
