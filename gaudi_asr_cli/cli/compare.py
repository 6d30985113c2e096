"""`gaudi-asr compare`: is B worse than A?"""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options

TEST = "Test"
_SIDE = "Run folder, predictions.jsonl, or result of bench --save."


class CompareUnitName(str, Enum):
    AUTO = "auto"
    WORD = "word"
    CHARACTER = "character"


class CostsName(str, Enum):
    MINIMAL = "minimal"
    SCLITE = "sclite"


def command(  # noqa: PLR0913 - a parameter is an option
    a: Annotated[
        str, typer.Argument(metavar="A", show_default=False, help=f"What is there now. {_SIDE}")
    ],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B", show_default=False, help="What may be worse: the same kind of thing."
        ),
    ],
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            rich_help_panel=TEST,
            metavar="POINTS",
            help="Increase of the error rate that is acceptable, in percentage points.",
        ),
    ] = 0.0,
    speed_tolerance: Annotated[
        float | None,
        typer.Option(
            "--speed-tolerance",
            rich_help_panel=TEST,
            metavar="PERCENT",
            show_default="5 of benches; of runs speed is not judged",
            help="Loss of RTFx that is acceptable.",
        ),
    ] = None,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            rich_help_panel=options.DATA,
            metavar=options.NO_VALUE,
            help="Compare the utterances that both have, where they differ in that.",
        ),
    ] = False,
    normalizer: Annotated[
        options.NormalizerName | None,
        typer.Option(
            "--normalizer",
            rich_help_panel=options.DATA,
            metavar="NAME",
            show_default="texts as scored",
            help="Normalise the raw texts of both anew: none, basic, basic/1 or whisper-english.",
        ),
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option(
            "--slice",
            rich_help_panel=options.DATA,
            metavar="COLUMN",
            show_default=False,
            help="Also compare by this column of the predictions or the manifest; may be "
            "repeated. Duration and speaker always are.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            rich_help_panel=options.DATA,
            metavar="FILE",
            show_default=False,
            help="JSON lines, CSV or TSV with further columns for --slice.",
        ),
    ] = None,
    unit: Annotated[
        CompareUnitName,
        typer.Option(
            "--unit",
            rich_help_panel=TEST,
            help="What errors are counted in; auto is words, and characters in scripts without "
            "spaces.",
        ),
    ] = CompareUnitName.AUTO,
    costs: Annotated[
        CostsName,
        typer.Option(
            "--costs",
            rich_help_panel=TEST,
            help="Alignment with fewest errors, or with the weights 4, 3, 3 of NIST's sclite.",
        ),
    ] = CostsName.MINIMAL,
    level: Annotated[
        float,
        typer.Option("--level", rich_help_panel=TEST, metavar="SHARE", help="Of the interval."),
    ] = 0.95,
    replicates: Annotated[
        int,
        typer.Option("--replicates", rich_help_panel=TEST, metavar="N", help="Of the bootstrap."),
    ] = 2000,
    seed: options.Seed = 42,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            rich_help_panel=options.OUTPUT,
            metavar="FILE",
            show_default=False,
            help="Write the result as JSON to a new file, also for gaudi-asr report.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Compare B with A on the same utterances; exit code 7 where B is worse.

    A paired bootstrap by speaker and a permutation test, words fixed and broken, slices, speed and
    memory. Other utterances, references or normalisers are refused.
    """
    from gaudi_asr_cli.core.benchmarking.saved import require_new_files, save_result
    from gaudi_asr_cli.core.workflows.compare.run import CompareRequest, compare
    from gaudi_asr_cli.ui.compare import show_comparison_of_sides
    from gaudi_asr_cli.ui.results import show_result

    require_new_files([save])
    report = compare(
        CompareRequest(
            a=a,
            b=b,
            shared=shared,
            normalizer=None if normalizer is None else normalizer.value,
            unit=unit.value,
            costs=costs.value,
            slices=tuple(slices or ()),
            manifest=manifest,
            tolerance=tolerance / 100,
            speed_tolerance=None if speed_tolerance is None else speed_tolerance / 100,
            level=level,
            replicates=replicates,
            seed=seed,
        )
    )
    if save is not None:
        save_result(save, report.to_json())
    show_result(report, show_comparison_of_sides, json=json)
    raise typer.Exit(report.exit_code)
