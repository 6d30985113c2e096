"""What `serve` reports when it is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gaudi_asr_cli.ui.console import print_result
from gaudi_asr_cli.ui.json_lines import print_json
from gaudi_asr_cli.ui.messages import show_notice
from gaudi_asr_cli.ui.numbers import count

if TYPE_CHECKING:
    from gaudi_asr_cli.core.serving.service import TranscriptionService


def show_ready(url: str, service: TranscriptionService, *, json: bool, quiet: bool) -> None:
    """Print the address and the models, as text or as a JSON line."""
    opened = service.opened
    if json:
        models = [
            {
                "name": name,
                "device": one.device,
                "dtype": one.dtype,
                "workers": service.count_workers(name),
            }
            for name, one in opened.items()
        ]
        print_json({"schema": "serve/1", "event": "ready", "url": url, "models": models})
        return
    for name, one in opened.items():
        if not quiet:
            workers = count(service.count_workers(name), "process", "processes")
            print_result(f"Model {name} is open on {one.device} in {one.dtype}, in {workers}.")
            for note in one.notes:
                show_notice(note)
    print_result(f"Serving at {url}")
