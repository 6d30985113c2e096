"""Options that several commands share. A wrong value is exit code 2."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from gaudi_asr_cli.core.data.layouts import LAYOUTS
from gaudi_asr_cli.core.decoding import DECODERS
from gaudi_asr_cli.core.devices import AUTO, DEVICES
from gaudi_asr_cli.core.registry import check_name

DATA, MODEL, MACHINE, OUTPUT = "Data", "Model", "Machine", "Output"
ALIGNMENT = "Alignment"
DECODING = "Decoding"
"""Panels of `--help`; what a command cannot do without stands above them."""

NO_VALUE = ""
"""The placeholder of a switch: newer Typers would write <bool>."""


def name_settings(kind: str, names: Sequence[str]) -> dict[str, Any]:
    """Return settings of a Typer option whose value, or each of them, is one of `names`.

    The names are those of a registry: `--help` lists them, completion offers them, and another
    word is a usage error with a suggestion.
    """

    def check(value: Any) -> Any:
        for name in [value] if isinstance(value, str) else value or ():
            check_name(kind, name, names)
        return value

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return {"metavar": "|".join(names), "callback": check, "autocompletion": complete}


class HpuModeName(str, Enum):
    AUTO = "auto"
    LAZY = "lazy"
    EAGER = "eager"
    COMPILE = "compile"


class DtypeName(str, Enum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT16 = "int16"


class CaseName(str, Enum):
    KEEP = "keep"
    LOWER = "lower"
    UPPER = "upper"


class UnicodeName(str, Enum):
    NFC = "nfc"
    NFKC = "nfkc"


class NormalizerName(str, Enum):
    NONE = "none"
    BASIC = "basic"
    BASIC_1 = "basic/1"
    BASIC_2 = "basic/2"
    WHISPER_ENGLISH = "whisper-english"


class TaskName(str, Enum):
    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class VadName(str, Enum):
    AUTO = "auto"
    ON = "on"
    OFF = "off"


class LongName(str, Enum):
    AUTO = "auto"
    SEQUENTIAL = "sequential"
    BATCHED = "batched"


def _take_from_recipe(context: typer.Context, name: str | None) -> str | None:
    """Let the recipe's values stand where the command line says nothing."""
    if name is None:
        return None
    # Here, not above: pydantic takes a while to import, and `--help` should not wait for it.
    from gaudi_asr_cli.core.recipes.loading import load_options

    parameters = {
        option.lstrip("-").replace("-", "_"): parameter.name
        for parameter in context.command.params
        for option in parameter.opts
    }
    values = load_options(name, str(context.info_name))
    context.default_map = {
        parameters[key]: [value] if key == "data" and isinstance(value, str) else value
        for key, value in values.items()
    }
    return name


def typed(context: typer.Context, other: str, name: str) -> Any:
    """The value of option `name`; None where a recipe gave it and the command line says `other`."""
    source = context.get_parameter_source(name)
    from_recipe = source is not None and source.name == "DEFAULT_MAP"
    return None if from_recipe and context.params[other] is not None else context.params[name]


RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        callback=_take_from_recipe,
        is_eager=True,
        rich_help_panel=OUTPUT,
        metavar="NAME|FILE",
        show_default=False,
        help="Take the options that are not given from a recipe; see gaudi-asr recipes.",
    ),
]
_DATA_HELP = "Hub id, path, LAYOUT:PATH or PATH#SPLIT;"
_LAYOUT_HELP = f"A layout, recognised if not named, is {', '.join(LAYOUTS)}."
DataArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA",
        show_default=False,
        help=f"{_DATA_HELP} several are joined. {_LAYOUT_HELP}",
    ),
]
DataOption = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="DATA",
        show_default=False,
        help=f"{_DATA_HELP} may be repeated. {_LAYOUT_HELP}",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        rich_help_panel=DATA,
        show_default=False,
        metavar="NAME",
        help="Split, or several joined with +.",
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        rich_help_panel=DATA,
        show_default=False,
        metavar="NAME",
        help="Configuration of a hub data set (dataset_config_name).",
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column",
        rich_help_panel=DATA,
        show_default=False,
        metavar="NAME",
        help="Column that holds the text.",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        rich_help_panel=DATA,
        show_default=False,
        metavar="N",
        min=1,
        help="Take only the first N utterances.",
    ),
]
InPlaceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--in-place",
        rich_help_panel=DATA,
        show_default=False,
        metavar="ID=PATH",
        help="Take PATH where the model or data ID is named; ID#SPLIT for one split.",
    ),
]
StripChars = Annotated[
    str,
    typer.Option(
        "--strip-chars",
        rich_help_panel=DATA,
        metavar="CHARS",
        help="Remove exactly these characters from the text.",
    ),
]
Case = Annotated[
    CaseName, typer.Option("--case", rich_help_panel=DATA, help="Fold the case of the text.")
]
Unicode = Annotated[
    UnicodeName, typer.Option("--unicode", rich_help_panel=DATA, help="Unicode form of the text.")
]
_MODEL_HELP = "Hub id, model folder, run folder, or demo (comes with the package)."
Model = Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help=_MODEL_HELP)]
OptionalModel = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="MODEL", show_default=False, help=_MODEL_HELP),
]
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        rich_help_panel=MODEL,
        show_default=False,
        metavar="CODE",
        help="Adapter of a multilingual CTC model (MMS: deu), or what is spoken (Whisper: de).",
    ),
]
ScoredLanguage = Annotated[
    str | None,
    typer.Option(
        "--language",
        rich_help_panel=MODEL,
        show_default=False,
        metavar="CODE",
        help="Adapter of a multilingual model (MMS: deu); tr and az have case rules of their own.",
    ),
]
OptionalSeq2SeqModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        show_default=False,
        help="Hub id, model folder or run folder.",
    ),
]
SpokenLanguage = Annotated[
    str | None,
    typer.Option(
        "--language",
        rich_help_panel=MODEL,
        show_default=False,
        metavar="NAME",
        help="What is spoken, such as hindi or hi (a multilingual model finds out without it); "
        "tr and az have case rules of their own.",
    ),
]
TaskOption = Annotated[
    TaskName | None,
    typer.Option(
        "--task",
        rich_help_panel=MODEL,
        metavar="|".join(TaskName),
        show_default=False,
        help="Write what was said, or its English.",
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        "--max-tokens",
        rich_help_panel=MODEL,
        show_default=False,
        metavar="N",
        min=1,
        help="Most tokens of a text; without it as many as the model can.",
    ),
]
Beams = Annotated[
    int | None,
    typer.Option(
        "--beam-size",
        "--beams",
        "--beam-width",
        rich_help_panel=MODEL,
        metavar="N",
        min=0,
        show_default=False,
        help="Beam size: 1 is greedy, 0 the model's own (CTC: 100 with --lm or --hotwords).",
    ),
]
Temperature = Annotated[
    str | None,
    typer.Option(
        "--temperature",
        rich_help_panel=DECODING,
        metavar="T,T,...",
        show_default=False,
        help="Temperatures to try in turn while the text fails a threshold "
        "(Whisper: 0,0.2,0.4,0.6,0.8,1; other models: 0).",
    ),
]
CompressionRatioThreshold = Annotated[
    float,
    typer.Option(
        "--compression-ratio-threshold",
        rich_help_panel=DECODING,
        metavar="RATIO",
        help="A text that compresses better has failed: it repeats itself.",
    ),
]
LogprobThreshold = Annotated[
    float,
    typer.Option(
        "--logprob-threshold",
        rich_help_panel=DECODING,
        metavar="LOGPROB",
        help="A text with a lower average log probability has failed.",
    ),
]
NoSpeechThreshold = Annotated[
    float,
    typer.Option(
        "--no-speech-threshold",
        rich_help_panel=DECODING,
        metavar="P",
        help="With a higher probability of no speech, an improbable text is dropped.",
    ),
]
BestOf = Annotated[
    int,
    typer.Option(
        "--best-of",
        rich_help_panel=DECODING,
        metavar="N",
        min=1,
        help="Samples per attempt at a temperature above 0.",
    ),
]
InitialPrompt = Annotated[
    str | None,
    typer.Option(
        "--initial-prompt",
        rich_help_panel=DECODING,
        metavar="TEXT",
        show_default=False,
        help="Text before the audio (Whisper): names, and the style to write in.",
    ),
]
LanguageModel = Annotated[
    str | None,
    typer.Option(
        "--lm",
        rich_help_panel=MODEL,
        metavar="FILE|FOLDER",
        show_default=False,
        help="Language model for a CTC model: ARPA, also .gz; gaudi-asr lm makes one.",
    ),
]
LmWeight = Annotated[
    float | None,
    typer.Option(
        "--lm-weight",
        rich_help_panel=MODEL,
        metavar="X",
        show_default=False,
        help="Weight of the language model (0.5).",
    ),
]
WordBonus = Annotated[
    float | None,
    typer.Option(
        "--word-bonus",
        rich_help_panel=MODEL,
        metavar="X",
        show_default=False,
        help="Added for each word of a CTC model's text (1.5 with --lm).",
    ),
]
Hotwords = Annotated[
    str | None,
    typer.Option(
        "--hotwords",
        rich_help_panel=DECODING,
        metavar="A,B|FILE",
        show_default=False,
        help="Words and phrases to prefer; Whisper gets them before every window of long audio.",
    ),
]
ConditionOnPreviousText = Annotated[
    bool,
    typer.Option(
        "--condition-on-previous-text",
        rich_help_panel=DECODING,
        metavar=NO_VALUE,
        help="A window of long audio continues the text of the one before (off: errors would "
        "spread; openai-whisper has it on).",
    ),
]
HotwordWeight = Annotated[
    float | None,
    typer.Option(
        "--hotword-weight",
        rich_help_panel=MODEL,
        metavar="X",
        show_default=False,
        help="Added for each hotword (8).",
    ),
]
Long = Annotated[
    LongName,
    typer.Option(
        "--long",
        rich_help_panel=MODEL,
        help="Audio longer than a window: on from the last time written, or many at once.",
    ),
]
WrittenTogether = Annotated[
    int | None,
    typer.Option(
        "--batch",
        rich_help_panel=MACHINE,
        show_default=False,
        metavar="N",
        min=1,
        help="Utterances written at once.",
    ),
]
Vad = Annotated[
    VadName,
    typer.Option(
        "--vad",
        rich_help_panel=DECODING,
        help="Voice activity detection: no text without speech, long audio cut at pauses; auto is "
        "on for Whisper. Needs the extra vad, or goes by energy alone.",
    ),
]
DecoderOption = Annotated[
    str,
    typer.Option(
        "--decoder",
        rich_help_panel=MODEL,
        help="How the output of a CTC model becomes text.",
        **name_settings("decoder", [*DECODERS]),
    ),
]
NormalizerOption = Annotated[
    NormalizerName,
    typer.Option(
        "--normalizer",
        rich_help_panel=DATA,
        metavar="NAME",
        help="For both texts before scoring: none, basic (basic/2), basic/1 or whisper-english.",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        rich_help_panel=MACHINE,
        help="auto takes the first that opens.",
        **name_settings("device", [AUTO, *DEVICES]),
    ),
]
Cards = Annotated[
    int,
    typer.Option(
        "--cards",
        rich_help_panel=MACHINE,
        metavar="N",
        min=1,
        help="Number of devices that share the work, a process each.",
    ),
]
HpuMode = Annotated[
    HpuModeName,
    typer.Option("--hpu-mode", rich_help_panel=MACHINE, help="How a Gaudi runs; lazy has graphs."),
]
DtypeOption = Annotated[
    DtypeName,
    typer.Option(
        "--dtype",
        rich_help_panel=MACHINE,
        help="auto is bf16 where it is native, else int16 on x86-64.",
    ),
]
Int8 = Annotated[
    bool,
    typer.Option(
        "--int8",
        rich_help_panel=MACHINE,
        metavar=NO_VALUE,
        help="Multiply in 8 bits on a CPU, where faster than int16: less exact.",
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", rich_help_panel=MACHINE, metavar="N", help="Of all that is random.")
]
Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        rich_help_panel=OUTPUT,
        show_default=False,
        metavar="DIR",
        help="A new folder for what is written. Without it: runs/NAME-N.",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", rich_help_panel=OUTPUT, metavar=NO_VALUE, help="Machine-readable standard output."
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", rich_help_panel=OUTPUT, metavar=NO_VALUE, help="No progress, no notices."
    ),
]
