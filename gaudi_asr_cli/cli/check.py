"""`gaudi-asr check`: is this data trainable with this model?"""

from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.core.devices import AUTO

Evaluation = Annotated[
    list[str] | None,
    typer.Option(
        "--eval",
        rich_help_panel=options.DATA,
        metavar="DATA",
        show_default=False,
        help="Data to evaluate on, to be looked through for what both share; may be repeated.",
    ),
]
EvalSplit = Annotated[
    str | None,
    typer.Option(
        "--eval-split",
        rich_help_panel=options.DATA,
        metavar="NAME",
        show_default=False,
        help="Split of --eval; the data's own names without it.",
    ),
]
Vocab = Annotated[
    Path | None,
    typer.Option(
        "--vocab",
        rich_help_panel=options.MODEL,
        metavar="DIR",
        show_default=False,
        help="A folder that vocab wrote, instead of the model's vocabulary.",
    ),
]
Sample = Annotated[
    int,
    typer.Option(
        "--sample",
        rich_help_panel=options.DATA,
        metavar="N",
        min=0,
        help="Decode the sound of N utterances; headers and texts are read of all.",
    ),
]
Align = Annotated[
    bool,
    typer.Option(
        "--align",
        metavar=options.NO_VALUE,
        rich_help_panel=options.ALIGNMENT,
        help="Align all texts to their audio with --model, and list the worst fits.",
    ),
]
AlignModel = Annotated[
    str | None,
    typer.Option(
        "--align-model",
        rich_help_panel=options.ALIGNMENT,
        metavar="MODEL",
        show_default=False,
        help="Trained CTC model to align with, instead of --model.",
    ),
]
Worst = Annotated[
    int,
    typer.Option(
        "--worst",
        rich_help_panel=options.ALIGNMENT,
        metavar="N",
        min=1,
        help="Number of worst fits that are listed.",
    ),
]


def command(  # noqa: PLR0913 - a parameter is an option
    data: options.DataArgument,
    model: options.OptionalModel = None,
    split: options.Split = None,
    config: options.Config = None,
    text_column: options.TextColumn = None,
    evaluation: Evaluation = None,
    eval_split: EvalSplit = None,
    strip_chars: options.StripChars = "",
    case: options.Case = options.CaseName.KEEP,
    unicode: options.Unicode = options.UnicodeName.NFC,
    sample: Sample = 200,
    vocab: Vocab = None,
    align: Align = False,
    align_model: AlignModel = None,
    worst: Worst = 20,
    device: options.DeviceOption = AUTO,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check whether DATA can be trained on with MODEL; exit code 4 where something stops it.

    Frames against labels (or tokens against the limits of a model that writes), unknown characters,
    empty text, silence, clipping, 8 kHz recordings, and what training and evaluation share; with
    --align also texts that do not fit their audio.
    """
    opened = None
    if align or align_model:
        from gaudi_asr_cli.core.devices import open_device
        from gaudi_asr_cli.core.runtime import configure

        opened = open_device(device)
        configure(opened)
    # Only now: a Gaudi's environment is set before torch is imported.
    from gaudi_asr_cli.core.data.sources import ReadOptions
    from gaudi_asr_cli.core.text.rules import TextRules
    from gaudi_asr_cli.core.workflows.check.run import CheckRequest, check
    from gaudi_asr_cli.ui.check import show_check
    from gaudi_asr_cli.ui.live import opened_view
    from gaudi_asr_cli.ui.results import show_result

    request = CheckRequest(
        train=tuple(data),
        evaluation=tuple(evaluation or ()),
        read_train=ReadOptions(split=split, config=config, text_column=text_column),
        read_evaluation=ReadOptions(split=eval_split, config=config, text_column=text_column),
        model=model,
        vocabulary=vocab,
        rules=TextRules(strip_chars=strip_chars, case=case.value, unicode=unicode.value),
        sample=sample,
        align_model=align_model or model,
        worst=worst,
    )
    with opened_view(quiet=quiet) as observe:
        report = check(request, observe, opened)
    show_result(report, show_check, json=json)
    raise typer.Exit(report.exit_code)
