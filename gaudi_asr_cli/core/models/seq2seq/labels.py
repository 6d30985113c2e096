"""The token ids that a decoder is taught to write for a text, and what it is shown meanwhile.

A decoder learns to write token i after it was shown the start and the tokens before i. So labels
never hold the start token itself: a tokenizer that puts one in front (BART's `<s>`, which is also
where the decoder starts) would teach the model to write it again, and every text would then begin
with two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.errors import RecipeError
from gaudi_asr_cli.core.models.seq2seq.generation import Generation, is_multilingual, settle
from gaudi_asr_cli.core.models.seq2seq.model import Seq2SeqModel

if TYPE_CHECKING:
    import torch

IGNORED_LABEL = -100

TOKENISATION_REMEDY = (
    "Fold the case if that is all (--case lower), strip characters with --strip-chars, or take a "
    "model for this language."
)

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages that Whisper writes without spaces, not even one before the first word."""


@dataclass(frozen=True, slots=True)
class Labeller:
    """How texts become labels for one model.

    `prompt` stands before every text, behind the start: language and task of a Whisper. `plain`
    tokenizers are asked for the text alone, the others put their own tokens around it.
    """

    tokenizer: Any
    start: int
    end: int
    prompt: tuple[int, ...] = ()
    plain: bool = False
    space: str = ""

    def label(self, text: str) -> tuple[int, ...]:
        """Prompt, text and end, without the start; empty for an empty text."""
        if not text:
            return ()
        tokens: list[int] = self.tokenizer(self.space + text, add_special_tokens=not self.plain)[
            "input_ids"
        ]
        if tokens and tokens[0] == self.start:
            tokens = tokens[1:]
        # Some tokenizers (GPT-2) do not end a text, and its model would never learn to.
        return (*self.prompt, *tokens, *(() if tokens[-1:] == [self.end] else (self.end,)))

    def count_unknown(self, text: str) -> tuple[int, int]:
        """How many tokens of a text are the unknown one, of how many."""
        tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        unknown = self.tokenizer.unk_token_id
        # Whisper calls its end unknown, which no text is spelt with.
        return (0 if unknown is None else tokens.count(unknown)), len(tokens)


@dataclass(frozen=True, slots=True)
class TokenisationCount:
    """How many `tokens` texts are of, how many are the `unknown` one, and which `texts` hold it."""

    unknown: int
    tokens: int
    texts: tuple[str, ...]


def count_tokenisation(labeller: Labeller, texts: Sequence[str]) -> TokenisationCount:
    """How much of the texts the tokenizer can spell."""
    counts = [labeller.count_unknown(text) for text in texts]
    return TokenisationCount(
        unknown=sum(unknown for unknown, _ in counts),
        tokens=sum(tokens for _, tokens in counts),
        texts=tuple(text for text, (one, _) in zip(texts, counts, strict=True) if one),
    )


def open_labeller(model: Seq2SeqModel, how: Generation) -> Labeller:
    """The labels of this model for that language and task.

    Raises:
        RecipeError: A multilingual model is not told the language.
        UsageError: The model does not know the language or the task.
    """
    settings, config = model.settings, model.network.config
    start = _first(settings.decoder_start_token_id, config.decoder_start_token_id)
    end = _first(settings.eos_token_id, config.eos_token_id, model.tokenizer.eos_token_id)
    end = end[0] if isinstance(end, list) else end
    if not model.is_whisper:
        return Labeller(model.tokenizer, start, end)
    settled = settle_speech(model, how)
    return Labeller(
        model.tokenizer,
        start,
        end,
        prompt=whisper_prompt(settled, settings),
        plain=True,
        space="" if settled.language in {f"<|{code}|>" for code in UNSPACED} else " ",
    )


def whisper_prompt(settled: Generation, settings: Any) -> tuple[int, ...]:
    """What stands between a Whisper's start and its text: language, task, no times."""
    named = []
    if settled.language is not None:
        named = [settings.lang_to_id[settled.language], settings.task_to_id[settled.task]]
    silent = getattr(settings, "no_timestamps_token_id", None)
    return (*named, *(() if silent is None else (silent,)))


def settle_speech(model: Seq2SeqModel, how: Generation) -> Generation:
    """Language and task in the model's words, and kept in its generation configuration.

    Raises:
        RecipeError: A multilingual Whisper is not told what is spoken: its labels would lack the
            language that it is prompted with when it listens.
        UsageError: The model does not know the language or the task.
    """
    settings = model.settings
    own = getattr(settings, "language", None)
    settled = settle(replace(how, language=how.language or own), settings, model.name)
    if settled.language is not None:
        settings.language, settings.task = settled.language, settled.task
    elif model.is_whisper and is_multilingual(settings):
        raise RecipeError(
            f"{model.name} knows many languages and has to be told which one is learnt.",
            remedy="Pass --language, such as --language hindi.",
        )
    return settled


def shift_right(labels: torch.Tensor, start: int, filler: int) -> torch.Tensor:
    """What the decoder is shown (B, L) for labels (B, L): the start, then all labels but the last.

    Args:
        labels: int64, padded with `IGNORED_LABEL`.
        start: The token that the decoder starts with.
        filler: The padding token, in place of ignored labels.
    """
    import torch

    first = torch.full_like(labels[:, :1], start)
    shown = torch.cat([first, labels[:, :-1]], dim=1)
    return shown.masked_fill(shown == IGNORED_LABEL, filler)


def _first(*tokens: Any) -> Any:
    return next((token for token in tokens if token is not None), None)
