"""Keys of training recipes that have an option of their own: the one place for each one's help.

Plain data: the command line builds its options from it, and `--help` must not import pydantic.
The schema takes the descriptions from it; a test compares types and defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

CTC_KIND, SEQ2SEQ_KIND = "finetune-ctc", "finetune-seq2seq"
SCRATCH = "scratch"
"""The model of a recipe that starts from random weights."""
SECTION_NAMES = {"train": "training", "eval": "evaluation", "test": "test"}
"""Data section of a recipe -> what its data is called."""

LetterCase = Literal["keep", "lower", "upper"]
UnicodeValue = Literal["nfc", "nfkc"]
SpeechTask = Literal["transcribe", "translate"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
FrozenPart = Literal["none", "feature-encoder", "encoder"]
CtcFrozenPart = Literal["none", "feature-encoder", "encoder", "all-but-adapter"]


@dataclass(frozen=True, slots=True)
class RecipeKey:
    """A key with its option.

    Attributes:
        key: `section.key`; `*.key` is the key of each data section that the command line names.
        option: The option's name; `aliases` are its other names.
        metavar: Placeholder of the value in `--help`; empty: the choices of `type`.
        type: What the option's value is converted to.
        default: Of the schema, shown in `--help`; None: not set.
        kinds: The kinds of recipe, and so the commands, that have it.
    """

    key: str
    option: str
    help: str
    metavar: str = ""
    type: Any = str
    default: Any = None
    panel: str | None = None
    aliases: tuple[str, ...] = ()
    kinds: tuple[str, ...] = (CTC_KIND, SEQ2SEQ_KIND)

    @property
    def parameter(self) -> str:
        """The name of the command's parameter."""
        return self.option.removeprefix("--").replace("-", "_")


def _of_sections(
    key: str, sections: tuple[str, ...], help: str, metavar: str, type: Any = str
) -> Iterator[RecipeKey]:
    """An option per data section; `{of}` in the help says which data."""
    for section in sections:
        text = help.format(of=f" of the {SECTION_NAMES[section]} data")
        yield RecipeKey(f"{section}.{key}", f"--{section}-{key}", text, metavar, type, panel="Data")


_SPLIT = "Split{of}, or several joined with +."
_LIMIT = "Use only the first N utterances{of}."
_CTC, _SEQ2SEQ = (CTC_KIND,), (SEQ2SEQ_KIND,)
# fmt: off
RECIPE_KEYS: tuple[RecipeKey, ...] = (
    RecipeKey("train.data", "--train", "Training data.", "DATA", list[str]),
    RecipeKey("eval.data", "--eval", "Evaluation data, which selects the checkpoint that is kept.",
              "DATA", list[str]),
    RecipeKey("test.data", "--test", "Test data, scored once at the end.", "DATA", list[str]),
    RecipeKey("model", "--model", "Hub id, model or run folder, demo, or scratch (random weights).",
              "MODEL", default="facebook/wav2vec2-base", aliases=("-m",), kinds=_CTC),
    RecipeKey("model", "--model", "Whisper or encoder-decoder: Hub id, model or run folder.",
              "MODEL", default="openai/whisper-small", aliases=("-m",), kinds=_SEQ2SEQ),

    *_of_sections("split", ("train", "eval", "test"), _SPLIT, "NAME"),
    RecipeKey("*.config", "--config", "Configuration of a Hub dataset.", "NAME", panel="Data"),
    RecipeKey("*.text_column", "--text-column", "Column that contains the transcripts.", "NAME",
              panel="Data"),
    *_of_sections("limit", ("train", "eval"), _LIMIT, "N", int),
    RecipeKey("batching.max_seconds", "--max-seconds",
              "Longest training utterance, in seconds; longer ones are skipped and reported.",
              "S", float, 30.0, panel="Data"),
    RecipeKey("batching.min_seconds", "--min-seconds",
              "Shortest training utterance, in seconds; shorter ones are skipped and reported.",
              "S", float, 0.0, panel="Data"),
    RecipeKey("text.strip_chars", "--strip-chars", "Remove exactly these characters from the text.",
              "CHARS", default="", panel="Data"),
    RecipeKey("text.case", "--case", "Letter case of the text.", "", LetterCase, "keep",
              panel="Data"),
    RecipeKey("text.unicode", "--unicode", "Unicode normal form of the text.", "", UnicodeValue,
              "nfc", panel="Data"),

    RecipeKey("vocab", "--vocab",
              "auto (the model's, if it was fine-tuned), model, data, or a folder written by "
              "gaudi-asr vocab.", "WHICH", default="auto", panel="Model", kinds=_CTC),
    RecipeKey("language", "--language", "Language adapter to load and train (MMS).", "CODE",
              panel="Model", kinds=_CTC),
    RecipeKey("language", "--language", "Language of the speech, such as hindi or hi (Whisper).",
              "NAME", panel="Model", kinds=_SEQ2SEQ),
    RecipeKey("task", "--task",
              "Transcribe, or translate into English (Whisper); transcribe where a language is "
              "given.", "", SpeechTask, panel="Model", kinds=_SEQ2SEQ),
    RecipeKey("freeze", "--freeze",
              "Weights to freeze: none, feature-encoder, encoder or all-but-adapter.", "PART",
              CtcFrozenPart, "feature-encoder", panel="Model", kinds=_CTC),
    RecipeKey("freeze", "--freeze", "Weights to freeze: none, feature-encoder or encoder.", "PART",
              FrozenPart, "none", panel="Model", kinds=_SEQ2SEQ),
    RecipeKey("network.mask_time_prob", "--spec-augment",
              "SpecAugment: share of frames to mask; the model's own without it.", "SHARE", float,
              panel="Model"),
    RecipeKey("lora.rank", "--lora-rank",
              "Rank of LoRA updates to train instead of all weights (extra lora).", "N", int,
              panel="Model", kinds=_SEQ2SEQ),
    RecipeKey("generation.max_tokens", "--max-tokens",
              "Maximum generated tokens when scoring; the model's own limit without it.", "N", int,
              panel="Model", kinds=_SEQ2SEQ),
    RecipeKey("generation.beams", "--beam-size",
              "Beam size when scoring; 1 is greedy, 0 the model's own.", "N", int, 1,
              panel="Model", aliases=("--beams", "--beam-width"), kinds=_SEQ2SEQ),
    RecipeKey("decoding.beam_size", "--beam-size",
              "Beam size when scoring; 1 is greedy, with a language model or hotwords 100.", "N",
              int, panel="Model", aliases=("--beams", "--beam-width"), kinds=_CTC),
    RecipeKey("decoding.lm", "--lm", "Language model when scoring: an ARPA file, also .gz.",
              "FILE|FOLDER", panel="Model", kinds=_CTC),
    RecipeKey("decoding.lm_weight", "--lm-weight", "Weight of the language model (0.5).", "X",
              float, panel="Model", kinds=_CTC),
    RecipeKey("decoding.word_bonus", "--word-bonus", "Added for each word (1.5 with --lm).", "X",
              float, panel="Model", kinds=_CTC),
    RecipeKey("decoding.hotwords", "--hotwords", "Words and phrases to prefer when scoring.",
              "A,B|FILE", panel="Model", kinds=_CTC),
    RecipeKey("decoding.hotword_weight", "--hotword-weight", "Added for each hotword (8).", "X",
              float, panel="Model", kinds=_CTC),

    RecipeKey("epochs", "--epochs", "Passes over the training data.", "N", float, 3.0,
              panel="Training"),
    RecipeKey("max_steps", "--max-steps", "Total training steps; takes precedence over epochs.",
              "N", int, panel="Training"),
    RecipeKey("optimizer.learning_rate", "--lr", "Peak learning rate.", "RATE", float, 3.0e-4,
              panel="Training"),
    RecipeKey("optimizer.warmup", "--warmup",
              "Warm-up steps of the learning rate, or a share of all steps such as 10%.", "N|%",
              default="10%", panel="Training"),
    RecipeKey("batching.batch_seconds", "--batch-seconds",
              "Maximum padded audio per batch, in seconds.", "S", float, 120.0, panel="Training"),
    RecipeKey("batching.batch", "--batch",
              "Utterances per batch, instead of a limit in seconds.", "N", int, panel="Training"),
    RecipeKey("batching.accumulate", "--accumulate", "Gradient accumulation steps.", "N", int, 1,
              panel="Training"),
    RecipeKey("batching.buckets", "--buckets",
              "Number of length buckets, whose edges minimise padding.", "N", int, 8,
              panel="Training"),
    RecipeKey("evaluation.patience", "--patience",
              "Early stopping: evaluations without a better word error rate.", "N", int,
              panel="Training"),

    RecipeKey("dtype", "--dtype", "auto is bf16 where the hardware computes it natively.", "",
              Precision, "auto", panel="Machine"),
    RecipeKey("seed", "--seed", "Random seed.", "N", int, 42, panel="Machine"),
)
# fmt: on


def keys_of(kind: str) -> tuple[RecipeKey, ...]:
    """Return the keys that recipes of this kind have options for, in the order of `--help`."""
    return tuple(record for record in RECIPE_KEYS if kind in record.kinds)


def describe_key(key: str, kind: str = "") -> str:
    """Return what a key means.

    Args:
        key: As in `RECIPE_KEYS`; `*.split` and `*.limit` describe that key of any data section.
        kind: Of the recipe, where kinds differ.

    Raises:
        KeyError: No option sets it.
    """
    general = {"*.split": _SPLIT, "*.limit": _LIMIT}
    if key in general:
        return general[key].format(of="")
    for record in RECIPE_KEYS:
        if record.key == key and (not kind or kind in record.kinds):
            return record.help
    raise KeyError(key)
