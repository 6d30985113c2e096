"""`gaudi-asr serve`: an HTTP server that transcribes for many clients."""

from __future__ import annotations

import ipaddress
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.errors import MachineError, UsageError

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.options import InferenceOptions
    from gaudi_asr_cli.core.serving.service import ServedModel, TranscriptionService

SERVER = "Server"
API_KEY_VARIABLE = "GAUDI_ASR_API_KEY"
ANY_NAME = "*"
HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
SERVE_PACKAGES = ("fastapi", "uvicorn", "python_multipart", "websockets", "prometheus_client")


def _option(name: str, metavar: str, help: str, **settings: Any) -> Any:
    return typer.Option(name, rich_help_panel=SERVER, metavar=metavar, help=help, **settings)


Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL|NAME=MODEL",
        show_default=False,
        help="Hub id, model folder, run folder, or demo, and the name that clients use; may be "
        "repeated.",
    ),
]
Host = Annotated[
    str, _option("--host", "ADDRESS", "Address to bind; with 0.0.0.0 other machines reach it.")
]
Port = Annotated[int, _option("--port", "N", "Port; 0 takes a free one.", min=0, max=65535)]
AllowHost = Annotated[
    list[str] | None,
    _option(
        "--allow-host",
        "NAME",
        "Name of the server for its clients, such as that of a proxy; * for any; may be repeated. "
        "On 127.0.0.1 without a key it answers to no other but localhost.",
        show_default=False,
    ),
]
ApiKey = Annotated[
    str | None,
    _option(
        "--api-key",
        "KEY",
        f"Key that clients must send; better in {API_KEY_VARIABLE}, which ps does not show.",
        show_default=False,
    ),
]
MaxUploadMb = Annotated[
    int, _option("--max-upload-mb", "MB", "Longest upload, in megabytes.", min=1)
]
MaxDuration = Annotated[
    float, _option("--max-duration", "S", "Longest audio of a request, in seconds.", min=1)
]
MaxQueue = Annotated[
    int, _option("--max-queue", "N", "Requests in the server at once; others get 429.", min=1)
]
Timeout = Annotated[
    float, _option("--timeout", "S", "Longest time that a request may take, in seconds.", min=1)
]
ServedCards = Annotated[
    int | None,
    typer.Option(
        "--cards",
        rich_help_panel=options.MACHINE,
        metavar="N",
        min=1,
        show_default=False,
        help="Number of devices, or processes on a CPU, for each model; without it one, and on a "
        "CPU up to 4 for models of up to 100 million parameters.",
    ),
]
UploadTimeout = Annotated[
    float, _option("--upload-timeout", "S", "Longest time of an upload, in seconds.", min=1)
]


def command(  # noqa: PLR0913 - a parameter is an option
    context: typer.Context,
    models: Models = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    allow_host: AllowHost = None,
    api_key: ApiKey = None,
    max_upload_mb: MaxUploadMb = 100,
    max_duration: MaxDuration = 14400,
    max_queue: MaxQueue = 256,
    timeout: Timeout = 3600,
    upload_timeout: UploadTimeout = 120,
    language: options.Language = None,
    beams: options.Beams = None,
    lm: options.LanguageModel = None,
    lm_weight: options.LmWeight = None,
    word_bonus: options.WordBonus = None,
    long: options.Long = options.LongName.AUTO,
    vad: options.Vad = options.VadName.AUTO,
    cards: ServedCards = None,
    device: options.DeviceOption = AUTO,
    hpu_mode: options.HpuMode = options.HpuModeName.AUTO,
    dtype: options.DtypeOption = options.DtypeName.AUTO,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Serve models over HTTP: OpenAI's audio API, live audio over WebSocket, and a web page.

    Requests of all clients share the device. Ends on Ctrl-C or SIGTERM, once all are answered.
    """
    _check_packages()
    from gaudi_asr_cli.core.inference.options import InferenceOptions
    from gaudi_asr_cli.core.serving.service import ServiceSettings
    from gaudi_asr_cli.serve.run import run_server
    from gaudi_asr_cli.serve.settings import ServerSettings
    from gaudi_asr_cli.ui.messages import show_loading, show_notice
    from gaudi_asr_cli.ui.serving import show_ready

    chosen = InferenceOptions(
        dtype=dtype.value,
        language=language,
        lm=lm,
        lm_weight=lm_weight,
        word_bonus=word_bonus,
        beams=beams,
        long=long.value,
        vad=vad.value,
        temperatures=None,
    )
    chosen.check()
    served = _parse_models(models or [], chosen)
    key = api_key or os.environ.pop(API_KEY_VARIABLE, None) or None
    names = _choose_names(host, allow_host or [], has_key=key is not None)
    if key is None and not _is_loopback(host):
        show_notice(
            f"Everyone who reaches {host} can use this server: it asks for no key.",
            f"Set {API_KEY_VARIABLE}, or leave --host out.",
        )
    if not quiet:
        for one in served:
            show_loading(one.model)

    def announce(url: str, service: TranscriptionService) -> None:
        show_ready(url, service, json=json, quiet=quiet)

    run_server(
        served,
        ServiceSettings(device, hpu_mode.value, cards, max_queue, max_duration, timeout),
        ServerSettings(host, port, key, max_upload_mb << 20, upload_timeout, names),
        announce,
        show_notice,
    )


def _check_packages() -> None:
    missing = [name for name in SERVE_PACKAGES if find_spec(name) is None]
    if missing:
        raise MachineError(
            f"serve needs packages that are not installed: {', '.join(missing)}.",
            remedy="Run pip install 'gaudi-asr[serve]'.",
        )


def _parse_models(words: list[str], chosen: InferenceOptions) -> list[ServedModel]:
    """Return the models of `--model`, each with its name.

    Raises:
        UsageError: There is none, or two have the same name.
    """
    from gaudi_asr_cli.core.serving.service import ServedModel

    if not words:
        raise UsageError(
            "There is no model to serve.", remedy="Name one with --model, such as --model demo."
        )
    served: dict[str, ServedModel] = {}
    for word in words:
        name, equals, model = word.partition("=")
        is_path = not equals or Path(word).exists() or not name or not model
        one = ServedModel(word, word, chosen) if is_path else ServedModel(name, model, chosen)
        if one.name in served:
            raise UsageError(
                f"Two models are called {one.name}.", remedy="Name them: --model NAME=MODEL."
            )
        served[one.name] = one
    return list(served.values())


def _choose_names(host: str, given: list[str], *, has_key: bool) -> frozenset[str] | None:
    """Return the names that the server answers to besides localhost; None: any.

    Any page can have its name lead to 127.0.0.1; where others reach the server, its names are not
    known, and a key is what keeps pages out.

    Raises:
        UsageError: One is not a name.
    """
    for name in given:
        if name != ANY_NAME and not HOST_NAME.fullmatch(name):
            raise UsageError(
                f"--allow-host '{name}' is not a name.",
                remedy="Leave out scheme, port and path: --allow-host asr.example.org.",
            )
    if ANY_NAME in given or (not given and (has_key or not _is_loopback(host))):
        return None
    return frozenset({host, *given})


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
