"""Keep transformers from speaking to our users: load reports, progress bars, advice."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Only errors pass, and those are raised; the settings found are put back."""
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
    """What transformers raises of values that a configuration cannot have."""
    from huggingface_hub.errors import StrictDataclassError

    return (ValueError, TypeError, RuntimeError, StrictDataclassError)


def loading_errors() -> tuple[type[Exception], ...]:
    """What transformers raises of a folder that it cannot make a model of.

    Values of the wrong type or out of range, in files that anybody may have written, end in
    errors of every kind.
    """
    from safetensors import SafetensorError

    wrong_values = (LookupError, AttributeError, ArithmeticError, AssertionError)
    return (OSError, SafetensorError, *wrong_values, *configuration_errors())


def name_reason(error: Exception) -> str:
    """The first line of what went wrong, without the wrapping of a validator."""
    reason = error.__cause__ or error
    line = str(reason).strip().partition("\n")[0]
    # "'model_type'" alone, which is all that some errors are, says nothing.
    return f"{type(reason).__name__}: {line}" if isinstance(reason, LookupError) else line


def silence_advice() -> None:
    """From now on, pass over advice to authors of models that a forward pass would print.

    WavLM hands torch two kinds of masks at once; the result is right.
    """
    warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
