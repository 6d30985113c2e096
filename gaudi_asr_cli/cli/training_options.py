"""Options of training: each is short for a key of the recipe, named in `SETTINGS`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import typer

from gaudi_asr_cli.cli.options import (
    DATA,
    MACHINE,
    MODEL,
    NO_VALUE,
    OUTPUT,
    CaseName,
    DtypeName,
    UnicodeName,
)
from gaudi_asr_cli.core.legacy.scripts import SCRIPTS

TRAINING = "Training"


class TaskName(str, Enum):
    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class FreezeName(str, Enum):
    NONE = "none"
    FEATURE_ENCODER = "feature-encoder"
    ENCODER = "encoder"
    ALL_BUT_ADAPTER = "all-but-adapter"


def _option(panel: str | None, *names: str, metavar: str | None, help: str) -> Any:
    # No default is shown: what is not given stays as the recipe has it.
    return typer.Option(
        *names, rich_help_panel=panel, metavar=metavar, show_default=False, help=help
    )


Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        metavar="NAME|FILE",
        show_default=False,
        help="What to train and how; gaudi-asr recipes lists those that there are.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Any key of the recipe, such as trainer.save_steps=20; may be repeated.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        rich_help_panel=OUTPUT,
        metavar=NO_VALUE,
        help="Go on with the run in --run DIR.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=OUTPUT,
        metavar=NO_VALUE,
        help="Show the plan and do no work.",
    ),
]

NoTrain = Annotated[
    bool,
    typer.Option(
        "--no-train",
        metavar=NO_VALUE,
        help="Only score --model on --eval.",
    ),
]

_SOURCES = list[str] | None
Train = Annotated[
    _SOURCES,
    _option(None, "--train", metavar="DATA", help="Data to learn from; may be repeated."),
]
Eval = Annotated[
    _SOURCES,
    _option(None, "--eval", metavar="DATA", help="Data that chooses the weights that are kept."),
]
Test = Annotated[
    _SOURCES, _option(None, "--test", metavar="DATA", help="Data that is scored once, at the end.")
]
Model = Annotated[
    str | None,
    _option(
        None,
        "--model",
        "-m",
        metavar="MODEL",
        help="Hub id, model or run folder, demo, or scratch.",
    ),
]
TrainSplit = Annotated[
    str | None, _option(DATA, "--train-split", metavar="NAME", help="Split to learn from.")
]
EvalSplit = Annotated[
    str | None, _option(DATA, "--eval-split", metavar="NAME", help="Split that chooses.")
]
TestSplit = Annotated[
    str | None, _option(DATA, "--test-split", metavar="NAME", help="Split scored at the end.")
]
Config = Annotated[
    str | None,
    _option(
        DATA,
        "--config",
        metavar="NAME",
        help="Configuration of a hub data set.",
    ),
]
TextColumn = Annotated[
    str | None,
    _option(
        DATA,
        "--text-column",
        metavar="NAME",
        help="Column that holds the text.",
    ),
]
TrainLimit = Annotated[
    int | None,
    _option(
        DATA,
        "--train-limit",
        metavar="N",
        help="Take only the first N utterances.",
    ),
]
EvalLimit = Annotated[
    int | None,
    _option(DATA, "--eval-limit", metavar="N", help="The same for --eval."),
]
StripChars = Annotated[
    str | None,
    _option(DATA, "--strip-chars", metavar="CHARS", help="Remove exactly these characters."),
]
Case = Annotated[
    CaseName | None,
    _option(DATA, "--case", metavar="keep|lower|upper", help="Fold the case of the text."),
]
Unicode = Annotated[
    UnicodeName | None,
    _option(DATA, "--unicode", metavar="nfc|nfkc", help="Unicode form of the text."),
]
MaxSeconds = Annotated[
    float | None,
    _option(
        DATA,
        "--max-seconds",
        metavar="S",
        help="Leave longer training utterances out, and say so.",
    ),
]
MinSeconds = Annotated[
    float | None,
    _option(DATA, "--min-seconds", metavar="S", help="The same for short."),
]
Vocab = Annotated[
    str | None,
    _option(
        MODEL,
        "--vocab",
        metavar="WHICH",
        help="auto (the model's, if it was trained), model, data, or a folder that vocab wrote.",
    ),
]
Language = Annotated[
    str | None, _option(MODEL, "--language", metavar="CODE", help="Adapter to train (MMS).")
]
Freeze = Annotated[
    FreezeName | None,
    _option(
        MODEL,
        "--freeze",
        metavar="PART",
        help="none, feature-encoder, encoder or all-but-adapter keep their weights.",
    ),
]
SpecAugment = Annotated[
    float | None,
    _option(
        MODEL,
        "--spec-augment",
        metavar="SHARE",
        help="Share of the frames that SpecAugment masks.",
    ),
]
WriterModel = Annotated[
    str | None,
    _option(
        None, "--model", "-m", metavar="MODEL", help="Whisper or encoder-decoder: hub id or folder."
    ),
]
Spoken = Annotated[
    str | None,
    _option(MODEL, "--language", metavar="NAME", help="Of the speech, such as hindi (Whisper)."),
]
Task = Annotated[
    TaskName | None,
    _option(MODEL, "--task", metavar="transcribe|translate", help="What is written (Whisper)."),
]
FreezeHalf = Annotated[
    FreezeName | None,
    _option(
        MODEL,
        "--freeze",
        metavar="PART",
        help="none, feature-encoder or encoder keep their weights.",
    ),
]
LoraRank = Annotated[
    int | None,
    _option(
        MODEL,
        "--lora-rank",
        metavar="N",
        help="Learn low-rank updates instead of all weights (extra lora).",
    ),
]
MaxTokens = Annotated[
    int | None,
    _option(MODEL, "--max-tokens", metavar="N", help="Most tokens of a text while scoring."),
]
Beams = Annotated[
    int | None,
    _option(MODEL, "--beams", metavar="N", help="Hypotheses followed while scoring (1)."),
]
Epochs = Annotated[
    float | None,
    _option(TRAINING, "--epochs", metavar="N", help="Passes over the data."),
]
MaxSteps = Annotated[
    int | None, _option(TRAINING, "--max-steps", metavar="N", help="Steps in all instead.")
]
LearningRate = Annotated[
    float | None,
    _option(TRAINING, "--lr", metavar="RATE", help="Its highest value."),
]
Warmup = Annotated[
    str | None,
    _option(TRAINING, "--warmup", metavar="N|%", help="Steps, or a share of all such as 10%."),
]
BatchSeconds = Annotated[
    float | None,
    _option(TRAINING, "--batch-seconds", metavar="S", help="Padded audio in a batch."),
]
Batch = Annotated[
    int | None,
    _option(
        TRAINING,
        "--batch",
        metavar="N",
        help="Utterances in a batch instead.",
    ),
]
Accumulate = Annotated[
    int | None,
    _option(
        TRAINING,
        "--accumulate",
        metavar="N",
        help="Batches whose gradients make one step.",
    ),
]
Buckets = Annotated[
    int | None, _option(TRAINING, "--buckets", metavar="N", help="Lengths that batches come in.")
]
Patience = Annotated[
    int | None,
    _option(TRAINING, "--patience", metavar="N", help="Stop after N scores without a better one."),
]
Dtype = Annotated[
    DtypeName | None,
    _option(
        MACHINE, "--dtype", metavar="auto|fp32|bf16|fp16", help="auto is bf16 where it is native."
    ),
]
Seed = Annotated[
    int | None, _option(MACHINE, "--seed", metavar="N", help="Of all that is random (42).")
]

SETTINGS: dict[str, tuple[str, ...]] = {
    "train": ("train.data",),
    "eval_data": ("eval.data",),
    "test": ("test.data",),
    "train_split": ("train.split",),
    "eval_split": ("eval.split",),
    "test_split": ("test.split",),
    "train_limit": ("train.limit",),
    "eval_limit": ("eval.limit",),
    "strip_chars": ("text.strip_chars",),
    "case": ("text.case",),
    "unicode": ("text.unicode",),
    "max_seconds": ("batching.max_seconds",),
    "min_seconds": ("batching.min_seconds",),
    "model": ("model",),
    "vocab": ("vocab",),
    "language": ("language",),
    "freeze": ("freeze",),
    "spec_augment": ("network.mask_time_prob",),
    "task": ("task",),
    "lora_rank": ("lora.rank",),
    "max_tokens": ("generation.max_tokens",),
    "beams": ("generation.beams",),
    "epochs": ("epochs",),
    "max_steps": ("max_steps",),
    "lr": ("optimizer.learning_rate",),
    "warmup": ("optimizer.warmup",),
    "batch_seconds": ("batching.batch_seconds",),
    "batch": ("batching.batch",),
    "accumulate": ("batching.accumulate",),
    "buckets": ("batching.buckets",),
    "patience": ("evaluation.patience",),
    "dtype": ("dtype",),
    "seed": ("seed",),
}
"""Which keys of the recipe a parameter sets."""

OPTION_OF: dict[str, str] = {
    **{
        key: f"--{name.removesuffix('_data').replace('_', '-')}"
        for name, keys in SETTINGS.items()
        for key in keys
    },
    "*.config": "--config",
    "*.text_column": "--text-column",
}
"""The option that sets a key of the recipe; `*` stands for each part of the data."""

_OLD_NAMES = {
    f"--{flag.name.replace('_', '-')}": OPTION_OF[flag.key]
    for flag in SCRIPTS["ctc"].table.values()
    if flag.key in OPTION_OF and flag.value_kind != "switch"
}
ALIASES: dict[str, str] = {
    "--dataset-config-name": "--config",
    "--text-column-name": "--text-column",
    **{name: option for name, option in _OLD_NAMES.items() if name != option},
}
"""Spellings of the example scripts that mean the same here, in any command line."""

_OF_EVERY_SPLIT = ("config", "text_column")
_SPLITS = {"train": "train", "eval": "eval_data", "test": "test"}


def settings_of(parameters: Mapping[str, Any]) -> Iterator[str]:
    """`key=value` for each option that was given, in the order of `SETTINGS`."""
    for name, keys in SETTINGS.items():
        value = parameters.get(name)
        if value is not None and value not in ((), []):
            yield from (f"{key}={_spell(value)}" for key in keys)
    for name in _OF_EVERY_SPLIT:
        value = parameters.get(name)
        if value is not None:
            given = [split for split, data in _SPLITS.items() if parameters.get(data)]
            yield from (f"{split}.{name}={_spell(value)}" for split in given or ["train", "eval"])


def _spell(value: Any) -> str:
    """The value as JSON, which YAML reads back as it was, whatever characters it holds."""
    if isinstance(value, Enum):
        return json.dumps(value.value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return json.dumps([str(item) for item in value], ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
