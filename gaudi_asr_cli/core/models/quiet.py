"""Silence transformers' load reports, progress bars and advice."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence all output but errors, and restore the previous settings afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def configuration_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that transformers raises for invalid configuration values."""
    from huggingface_hub.errors import StrictDataclassError

    return (ValueError, TypeError, RuntimeError, StrictDataclassError)


def loading_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that transformers raises for a folder that it cannot load.

    Values of the wrong type or out of range raise exceptions of every kind.
    """
    from safetensors import SafetensorError

    wrong_values = (LookupError, AttributeError, ArithmeticError, AssertionError)
    return (OSError, SafetensorError, *wrong_values, *configuration_errors())


def name_reason(error: Exception) -> str:
    """Return the first line of an error message, without the wrapping of a validator."""
    reason = error.__cause__ or error
    line = str(reason).strip().partition("\n")[0]
    # "'model_type'" alone, which is the whole text of some errors, says nothing.
    return f"{type(reason).__name__}: {line}" if isinstance(reason, LookupError) else line


def silence_advice() -> None:
    """Suppress warnings to model developers that a forward pass would print.

    WavLM passes two kinds of masks to torch at once, LASR has an even kernel; the results are
    correct.
    """
    warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
    warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
