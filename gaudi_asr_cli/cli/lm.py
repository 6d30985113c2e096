"""`gaudi-asr lm`: a language model from text."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.core.errors import UsageError


class LmUnitName(str, Enum):
    WORD = "word"
    CHARACTER = "character"


def command(  # noqa: PLR0913 - a parameter is an option
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT|DATA",
            show_default=False,
            help="Text file (.txt, .gz) with a sentence on each line, or data with transcripts.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            show_default=False,
            help="The ARPA file to write; compressed if it ends in .gz.",
        ),
    ],
    order: Annotated[
        int, typer.Option("--order", metavar="N", help="Length of the longest n-grams.")
    ] = 3,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            "--held-out",
            metavar="TEXT|DATA",
            show_default=False,
            help="Text whose perplexity is measured; may be repeated.",
        ),
    ] = None,
    unit: Annotated[
        LmUnitName,
        typer.Option(
            "--unit",
            rich_help_panel=options.MODEL,
            help="Characters suit languages without spaces.",
        ),
    ] = LmUnitName.WORD,
    min_count: Annotated[
        int,
        typer.Option(
            "--min-count",
            min=1,
            rich_help_panel=options.MODEL,
            metavar="N",
            help="Rarer words become <unk>.",
        ),
    ] = 1,
    prune: Annotated[
        str,
        typer.Option(
            "--prune",
            rich_help_panel=options.MODEL,
            metavar="N,N,...",
            show_default=False,
            help="Fewest occurrences of an n-gram that is kept, for order 2, 3 and so on.",
        ),
    ] = "",
    split: options.Split = None,
    config: options.Config = None,
    text_column: options.TextColumn = None,
    strip_chars: options.StripChars = "",
    case: options.Case = options.CaseName.KEEP,
    unicode: options.Unicode = options.UnicodeName.NFC,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            metavar=options.NO_VALUE,
            rich_help_panel=options.OUTPUT,
            help="Replace the file if it exists.",
        ),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Estimate a language model of TEXT for --lm: interpolated modified Kneser-Ney, as ARPA."""
    from gaudi_asr_cli.core.data.sources import ReadOptions
    from gaudi_asr_cli.core.text.rules import TextRules
    from gaudi_asr_cli.core.workflows.lm import LmRequest, make_language_model
    from gaudi_asr_cli.ui.live import opened_view
    from gaudi_asr_cli.ui.lm import show_lm
    from gaudi_asr_cli.ui.results import show_result

    request = LmRequest(
        sources=tuple(sources),
        out=out,
        order=order,
        unit=unit.value,
        read=ReadOptions(split=split, config=config, text_column=text_column),
        rules=TextRules(strip_chars=strip_chars, case=case.value, unicode=unicode.value),
        min_count=min_count,
        prune=_parse_counts(prune),
        held_out=tuple(held_out or ()),
        overwrite=overwrite,
    )
    with opened_view(quiet=quiet) as observe:
        report = make_language_model(request, observe)
    show_result(report, show_lm, json=json)


def _parse_counts(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdecimal() for part in parts):
        raise UsageError(
            f"--prune {text}: these are no counts.",
            remedy="Give whole numbers between commas, such as --prune 1,2.",
        )
    return tuple(map(int, parts))
