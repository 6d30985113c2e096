"""Model folders that bring code of their own, which leaves a marker where it is run."""

from __future__ import annotations

import json
from pathlib import Path

CODE = """
import pathlib
pathlib.Path({marker!r}).write_text("the code of a model folder was run")
from transformers import (
    PretrainedConfig as Own, PreTrainedModel as OwnModel, PreTrainedTokenizerFast as OwnTokenizer,
    SequenceFeatureExtractor as OwnExtractor, ProcessorMixin as OwnProcessor,
)
"""
AUTO_MAPS = {
    "config.json": {
        "AutoConfig": "own.Own",
        "AutoModel": "own.OwnModel",
        "AutoModelForCTC": "own.OwnModel",
        "AutoModelForCausalLM": "own.OwnModel",
        "AutoModelForSpeechSeq2Seq": "own.OwnModel",
        "AutoProcessor": "own.OwnProcessor",
    },
    "tokenizer_config.json": {"AutoTokenizer": ["own.OwnTokenizer", "own.OwnTokenizer"]},
    "preprocessor_config.json": {
        "AutoFeatureExtractor": "own.OwnExtractor",
        "AutoProcessor": "own.OwnProcessor",
    },
    "processor_config.json": {"AutoProcessor": "own.OwnProcessor"},
}


def plant_code(folder: Path, *, family: str | None = None, tokenizer: str | None = None) -> Path:
    """Name code of the folder in every file that can, and return the marker that it would make.

    Args:
        folder: A whole model's.
        family: A model_type that transformers does not know; the model's own without it.
        tokenizer: A class of tokenizer that transformers does not know.
    """
    marker = folder.parent / f"{folder.name}-was-run"
    (folder / "own.py").write_text(CODE.format(marker=str(marker)))
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate/generate.py").write_text(
        CODE.format(marker=str(marker)) + "def generate(model, **rest): return []\n"
    )
    for name, auto_map in AUTO_MAPS.items():
        if (folder / name).exists():
            edit_json(folder / name, auto_map=auto_map)
    config = json.loads((folder / "config.json").read_text())
    config["custom_pipelines"] = {
        "automatic-speech-recognition": {"impl": "own.Own", "pt": ["AutoModelForCTC"]}
    }
    for half in ("encoder", "decoder"):
        if half in config:
            config[half]["auto_map"] = AUTO_MAPS["config.json"]
    if family is not None:
        config["model_type"] = family
    (folder / "config.json").write_text(json.dumps(config))
    if tokenizer is not None:
        edit_json(folder / "tokenizer_config.json", tokenizer_class=tokenizer)
    return marker


def edit_json(path: Path, **values: object) -> None:
    """Set fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
