"""`gaudi-asr vocab`: from transcripts to a vocabulary."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.core.errors import UsageError

_SPACE, _UNKNOWN, _BLANK = "|", "[UNK]", "[PAD]"


class UnitName(str, Enum):
    CHARACTER = "character"
    PHONEME = "phoneme"


def command(  # noqa: PLR0913 - a parameter is an option
    data: options.DataArgument,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            show_default=False,
            help="A new folder for the tokenizer and processor files.",
        ),
    ],
    split: options.Split = None,
    config: options.Config = None,
    text_column: options.TextColumn = None,
    strip_chars: options.StripChars = "",
    case: options.Case = options.CaseName.KEEP,
    unicode: options.Unicode = options.UnicodeName.NFC,
    min_count: Annotated[
        int,
        typer.Option(
            "--min-count",
            min=1,
            rich_help_panel=options.MODEL,
            metavar="N",
            help="Rarer characters become the unknown token.",
        ),
    ] = 1,
    word_delimiter_token: Annotated[
        str,
        typer.Option(
            "--word-delimiter-token",
            rich_help_panel=options.MODEL,
            metavar="TOKEN",
            help="Stands for a space.",
        ),
    ] = _SPACE,
    unk_token: Annotated[
        str,
        typer.Option(
            "--unk-token",
            rich_help_panel=options.MODEL,
            metavar="TOKEN",
            help="Stands for characters that are not kept.",
        ),
    ] = _UNKNOWN,
    pad_token: Annotated[
        str,
        typer.Option(
            "--pad-token",
            rich_help_panel=options.MODEL,
            metavar="TOKEN",
            help="Padding, which is the blank of CTC.",
        ),
    ] = _BLANK,
    unit: Annotated[
        UnitName,
        typer.Option(
            "--unit", rich_help_panel=options.MODEL, help="Phonemes are espeak-ng's (extra demo)."
        ),
    ] = UnitName.CHARACTER,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            rich_help_panel=options.MODEL,
            metavar="CODE",
            show_default=False,
            help="Whose case (tr, az: I and ı, İ and i), or phonemes, as espeak-ng calls it.",
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a vocabulary of characters or phonemes from the transcripts of DATA.

    Writes tokenizer and processor files that transformers loads, and shows each character,
    how often it occurs, and whether it is kept.
    """
    from gaudi_asr_cli.core.data.sources import ReadOptions
    from gaudi_asr_cli.core.text.rules import TextRules
    from gaudi_asr_cli.core.workflows.vocab import VocabRequest, vocab
    from gaudi_asr_cli.ui.live import opened_view
    from gaudi_asr_cli.ui.results import show_result
    from gaudi_asr_cli.ui.vocab import show_vocab

    request = VocabRequest(
        sources=tuple(data),
        out=out,
        read=ReadOptions(split=split, config=config, text_column=text_column),
        rules=TextRules(
            strip_chars=strip_chars, case=case.value, unicode=unicode.value, language=language
        ),
        min_count=min_count,
        word_delimiter_token=word_delimiter_token,
        unk_token=unk_token,
        pad_token=pad_token,
        phonemes_of=_phonemes_of(unit, language),
    )
    with opened_view(quiet=quiet) as observe:
        report = vocab(request, observe)
    show_result(report, show_vocab, json=json)


def _phonemes_of(unit: UnitName, language: str | None) -> str | None:
    if unit is not UnitName.PHONEME:
        return None
    if language is None:
        raise UsageError(
            "--unit phoneme needs --language.",
            remedy="For example: gaudi-asr vocab DATA --unit phoneme --language tr --out DIR",
        )
    return language
