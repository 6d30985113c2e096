"""Training labels of encoder-decoder models: target token ids and decoder inputs.

The decoder learns to predict token i from the start token and the tokens before i. So labels never
hold the start token itself: a tokenizer that prepends it (BART's `<s>`, which is also the decoder
start token) would train the model to generate it again, and every text would begin with two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.errors import DataError, RecipeError
from gaudi_asr_cli.core.models.seq2seq.generation import (
    Generation,
    is_multilingual,
    resolve_generation,
)
from gaudi_asr_cli.core.models.seq2seq.model import Seq2SeqModel

if TYPE_CHECKING:
    import torch

IGNORED_LABEL = -100

TOKENISATION_REMEDY = (
    "Fold the case if that is enough (--case lower), remove characters with --strip-chars, or use "
    "a model for this language."
)

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages that Whisper writes without spaces, including the one before the first word."""


@dataclass(frozen=True, slots=True)
class Labeller:
    """Encodes transcripts as labels for one model.

    `prompt` follows the start token and precedes every text: Whisper's language and task. With
    `plain` the tokenizer adds no special tokens of its own.
    """

    tokenizer: Any
    start: int
    end: int
    prompt: tuple[int, ...] = ()
    plain: bool = False
    space: str = ""

    def label(self, text: str) -> tuple[int, ...]:
        """Return prompt, text and end token, without the start token; empty for an empty text."""
        if not text:
            return ()
        tokens: list[int] = self.tokenizer(self.space + text, add_special_tokens=not self.plain)[
            "input_ids"
        ]
        if tokens and tokens[0] == self.start:
            tokens = tokens[1:]
        # Some tokenizers (GPT-2) add no end token, and the model would never learn to stop.
        return (*self.prompt, *tokens, *(() if tokens[-1:] == [self.end] else (self.end,)))

    def count_unknown(self, text: str) -> tuple[int, int]:
        """Return the number of unknown tokens and of all tokens in a text."""
        tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        unknown = self.tokenizer.unk_token_id
        # Whisper's unknown token is its end token, which no text contains.
        return (0 if unknown is None else tokens.count(unknown)), len(tokens)


@dataclass(frozen=True, slots=True)
class TokenisationCount:
    """Counts of all and of unknown tokens, and the texts that hold unknown ones."""

    unknown: int
    tokens: int
    texts: tuple[str, ...]


def count_tokenisation(labeller: Labeller, texts: Sequence[str]) -> TokenisationCount:
    """Count the tokens of texts that the tokenizer cannot represent."""
    counts = [labeller.count_unknown(text) for text in texts]
    return TokenisationCount(
        unknown=sum(unknown for unknown, _ in counts),
        tokens=sum(tokens for _, tokens in counts),
        texts=tuple(text for text, (one, _) in zip(texts, counts, strict=True) if one),
    )


def open_labeller(model: Seq2SeqModel, generation_config: Generation) -> Labeller:
    """Return the labeller of a model for a language and a task.

    Raises:
        DataError: It names no token that texts start with.
        RecipeError: A multilingual model needs a language.
        UsageError: The model does not support the language or the task.
    """
    settings, config = model.settings, model.network.config
    start = _first(settings.decoder_start_token_id, getattr(config, "decoder_start_token_id", None))
    if start is None:
        raise DataError(
            f"{model.name} does not say which token its texts start with.",
            remedy="Add decoder_start_token_id to its generation_config.json, as the model had it.",
        )
    end = _first(
        settings.eos_token_id, getattr(config, "eos_token_id", None), model.tokenizer.eos_token_id
    )
    end = end[0] if isinstance(end, list) else end
    if not model.is_whisper:
        return Labeller(model.tokenizer, start, end)
    resolved = resolve_training_generation(model, generation_config)
    return Labeller(
        model.tokenizer,
        start,
        end,
        prompt=whisper_prompt(resolved, settings),
        plain=True,
        space="" if resolved.language in {f"<|{code}|>" for code in UNSPACED} else " ",
    )


def whisper_prompt(resolved: Generation, settings: Any) -> tuple[int, ...]:
    """Return the ids between Whisper's start token and its text: language, task, no timestamps."""
    prompt = []
    if resolved.language is not None:
        prompt = [settings.lang_to_id[resolved.language], settings.task_to_id[resolved.task]]
    no_timestamps = getattr(settings, "no_timestamps_token_id", None)
    return (*prompt, *(() if no_timestamps is None else (no_timestamps,)))


def resolve_training_generation(model: Seq2SeqModel, generation_config: Generation) -> Generation:
    """Resolve language and task to the tokens of the model.

    Raises:
        RecipeError: A multilingual Whisper needs a language: its labels would otherwise lack the
            language token that inference puts into the prompt.
        UsageError: The model does not support the language or the task.
    """
    settings = model.settings
    language = generation_config.language or getattr(settings, "language", None)
    requested = replace(generation_config, language=language)
    resolved = resolve_generation(requested, settings, model.name)
    if resolved.language is None and model.is_whisper and is_multilingual(settings):
        raise RecipeError(
            f"{model.name} is multilingual, so fine-tuning needs the language of the data.",
            remedy="Pass --language, such as --language hindi.",
        )
    return resolved


def store_generation(model: Seq2SeqModel, generation_config: Generation) -> None:
    """Set language and task of a Whisper in its generation configuration, to be saved with it.

    Raises:
        RecipeError: See `resolve_training_generation`.
        UsageError: See `resolve_training_generation`.
    """
    if not model.is_whisper:
        return
    resolved = resolve_training_generation(model, generation_config)
    if resolved.language is not None:
        model.settings.language, model.settings.task = resolved.language, resolved.task


def shift_right(labels: torch.Tensor, start: int, pad_id: int) -> torch.Tensor:
    """Return the decoder inputs (B, L) for labels (B, L): the start, then all labels but the last.

    Args:
        labels: int64, padded with `IGNORED_LABEL`.
        start: The decoder start token.
        pad_id: The padding token, which replaces ignored labels.
    """
    import torch

    first = torch.full_like(labels[:, :1], start)
    inputs = torch.cat([first, labels[:, :-1]], dim=1)
    return inputs.masked_fill(inputs == IGNORED_LABEL, pad_id)


def _first(*tokens: Any) -> Any:
    return next((token for token in tokens if token is not None), None)
