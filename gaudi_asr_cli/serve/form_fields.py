"""The fields of a form of OpenAI's audio API, checked."""

from __future__ import annotations

from dataclasses import dataclass

from gaudi_asr_cli.core.serving.messages import RequestOptions
from gaudi_asr_cli.core.serving.service import TranscriptionService
from gaudi_asr_cli.serve.api_errors import ApiError
from gaudi_asr_cli.serve.uploads import FILE_FIELD, Upload

RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = ("word", "segment")
TIMED_FORMATS = frozenset({"srt", "vtt", "verbose_json"})


@dataclass(frozen=True, slots=True)
class AudioForm:
    """What a form asks for.

    Args:
        model: Name of the model.
        filename: Name of the file, for messages.
        options: Options of the request.
        response_format: One of `RESPONSE_FORMATS`.
        granularities: Of `verbose_json`: of `GRANULARITIES`.
        streams: Send the text while it comes.
    """

    model: str
    filename: str
    options: RequestOptions
    response_format: str
    granularities: tuple[str, ...]
    streams: bool


def read_form(upload: Upload, service: TranscriptionService, task: str) -> AudioForm:
    """Check the fields of a form; those that this server does not know are ignored.

    Raises:
        ApiError: One is missing or wrong.
    """
    if not upload.has_file:
        raise ApiError(400, "The form has no file.", "missing_required_parameter", FILE_FIELD)
    model = find_served(upload.first("model"), service)
    streams = _read_flag(upload, "stream")
    response_format = _read_choice(upload, "response_format", RESPONSE_FORMATS, "json")
    granularities = _read_granularities(upload, response_format)
    options = RequestOptions(
        language=_read_language(upload),
        prompt=upload.first("prompt") or None,
        temperature=_read_temperature(upload),
        hotwords=tuple(word for word in upload.all("keywords") if word),
        task=None if task == "transcribe" else task,
        words=response_format in TIMED_FORMATS or "word" in granularities,
    )
    filename = upload.filename or "the file"
    return AudioForm(model, filename, options, response_format, granularities, streams)


def find_served(name: str | None, service: TranscriptionService) -> str:
    """Return the name of a model that is served.

    Raises:
        ApiError: There is none, or another.
    """
    served = ", ".join(service.models)
    if not name:
        raise ApiError(
            400,
            f"The form names no model. This server has {served}.",
            "missing_required_parameter",
            "model",
        )
    if name not in service.models:
        raise ApiError(
            404,
            f"The model '{name[:100]}' does not exist. This server has {served}.",
            "model_not_found",
            "model",
        )
    return name


def _read_choice(upload: Upload, name: str, choices: tuple[str, ...], default: str) -> str:
    value = upload.first(name) or default
    if value not in choices:
        raise _invalid(name, value, f"one of {', '.join(choices)}")
    return value


def _invalid(name: str, value: str, wanted: str) -> ApiError:
    return ApiError(400, f"{name} is '{value[:40]}', not {wanted}.", "invalid_value", name)


def _read_flag(upload: Upload, name: str) -> bool:
    value = (upload.first(name) or "false").lower()
    if value not in {"true", "false", "1", "0"}:
        raise _invalid(name, value, "true or false")
    return value in {"true", "1"}


def _read_granularities(upload: Upload, response_format: str) -> tuple[str, ...]:
    name = "timestamp_granularities"
    given = upload.all(name)
    for value in given:
        if value not in GRANULARITIES:
            raise _invalid(f"{name}[]", value, f"one of {', '.join(GRANULARITIES)}")
    if given and response_format != "verbose_json":
        raise ApiError(
            400, f"{name}[] needs response_format verbose_json.", "invalid_value", f"{name}[]"
        )
    return tuple(dict.fromkeys(given)) or ("segment",)


def _read_temperature(upload: Upload) -> float | None:
    value = upload.first("temperature")
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise _invalid("temperature", value, "a number from 0 to 1")
    return number


def _read_language(upload: Upload) -> str | None:
    """Return the language; of several possible ones the model finds out which it is."""
    possible = upload.all("languages")
    return upload.first("language") or (possible[0] if len(possible) == 1 else None) or None
