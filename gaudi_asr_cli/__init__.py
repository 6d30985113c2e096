"""Train, evaluate, run and benchmark speech recognition on Intel Gaudi, CUDA and plain CPUs.

The Python API (docs/python.md):

    from gaudi_asr_cli import load_model, score

    model = load_model("demo")
    print(model.transcribe("talk.wav").text)

Importing this package loads nothing heavy: each name loads its module on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaudi_asr_cli.core.errors import AsrError
    from gaudi_asr_cli.core.evaluation.score import score
    from gaudi_asr_cli.core.inference.loaded_model import LoadedModel, load_model
    from gaudi_asr_cli.core.records import Score, Segment, Transcript, WordTiming

__version__ = "0.1.0"

__all__ = [
    "AsrError",
    "LoadedModel",
    "Score",
    "Segment",
    "Transcript",
    "WordTiming",
    "load_model",
    "score",
]

_HOMES = {
    "AsrError": "gaudi_asr_cli.core.errors",
    "LoadedModel": "gaudi_asr_cli.core.inference.loaded_model",
    "Score": "gaudi_asr_cli.core.records",
    "Segment": "gaudi_asr_cli.core.records",
    "Transcript": "gaudi_asr_cli.core.records",
    "WordTiming": "gaudi_asr_cli.core.records",
    "load_model": "gaudi_asr_cli.core.inference.loaded_model",
    "score": "gaudi_asr_cli.core.evaluation.score",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
