"""`gaudi-asr align`: when each word of a known text was said."""

from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.errors import UsageError

ALIGN_FORMATS = ("json", "ctm", "TextGrid", "srt")


def command(  # noqa: PLR0913 - a parameter is an option
    source: Annotated[
        str,
        typer.Argument(
            metavar="AUDIO|DATA",
            show_default=False,
            help="An audio file, or data with transcripts.",
        ),
    ],
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT", show_default=False, help="Text of the audio file, or a file of it."
        ),
    ] = None,
    model: options.Model = "facebook/wav2vec2-base-960h",
    output_format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            rich_help_panel=options.OUTPUT,
            help="Format of the result; json is a line for each utterance.",
            **options.name_settings("format", ALIGN_FORMATS),
        ),
    ] = "json",
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "--out-dir",
            rich_help_panel=options.OUTPUT,
            metavar="DIR",
            show_default=False,
            help="A new folder that gets a file for each utterance.",
        ),
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            "--segments",
            rich_help_panel=options.OUTPUT,
            metavar="FILE",
            show_default=False,
            help="Cut long recordings at pauses; the manifest of the segments.",
        ),
    ] = None,
    split: options.Split = None,
    config: options.Config = None,
    text_column: options.TextColumn = None,
    language: options.Language = None,
    device: options.DeviceOption = AUTO,
    hpu_mode: options.HpuMode = options.HpuModeName.AUTO,
    dtype: options.DtypeOption = options.DtypeName.AUTO,
    quiet: options.Quiet = False,
) -> None:
    """Align a known text to its audio: times and scores of words and characters.

    The score of an utterance is 0 where the text is what a CTC model recognises, and lower the
    worse it fits; that of a word is a probability. The worst utterances are listed.
    """
    from gaudi_asr_cli.core.data.sources import ReadOptions
    from gaudi_asr_cli.core.devices import open_device
    from gaudi_asr_cli.core.inference.options import InferenceOptions
    from gaudi_asr_cli.core.runtime import configure
    from gaudi_asr_cli.core.workflows.align import AlignRequest, align_texts
    from gaudi_asr_cli.ui.align import print_alignments, show_misfit, show_worst_fits
    from gaudi_asr_cli.ui.inference_view import opened_inference_view
    from gaudi_asr_cli.ui.transcripts import transcript_observer

    if out_dir is not None and output_format == "json":
        raise UsageError(
            "--out-dir is for formats of one document for each file; json is a line for each.",
            remedy="Send standard output to a file, or add --format TextGrid, srt or ctm.",
        )
    opened = open_device(device, hpu_mode=hpu_mode.value)
    configure(opened)
    request = AlignRequest(
        source=source,
        text=text,
        model=model,
        read=ReadOptions(split=split, config=config, text_column=text_column),
        options=InferenceOptions(kind="ctc", dtype=dtype.value, language=language),
        segments=segments,
    )
    writes_lines = output_format == "json"
    write = (
        show_misfit
        if writes_lines
        else transcript_observer(
            formats=(output_format,), out_dir=out_dir, language=language, timestamps="char"
        )
    )
    with opened_inference_view(write, quiet=quiet) as view:
        report = align_texts(request, opened, view.observe)
    if writes_lines:
        print_alignments(report)
    if not quiet:
        show_worst_fits(report)
    raise typer.Exit(report.exit_code)
