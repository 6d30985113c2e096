"""Options of decoding by sampling, from the command line to `InferenceOptions`."""

from __future__ import annotations

from typing import Any

from gaudi_asr_cli.core.errors import UsageError


def parse_temperatures(text: str | None) -> tuple[float, ...] | None:
    """Return the temperatures of `0,0.2,0.4`; None is the default of the model.

    Raises:
        UsageError: One of them is no number.
    """
    if text is None:
        return None
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--temperature {text}: not a list of numbers.",
            remedy="Pass one, such as 0, or several with commas: 0,0.2,0.4,0.6,0.8,1.",
        ) from error


def decoding_options(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `InferenceOptions` that the parameters of a command fill in."""
    names = (
        "compression_ratio_threshold",
        "logprob_threshold",
        "no_speech_threshold",
        "best_of",
        "seed",
        "initial_prompt",
        "condition_on_previous_text",
    )
    fields = {name: parameters[name] for name in names}
    return {"temperatures": parse_temperatures(parameters["temperature"]), **fields}
