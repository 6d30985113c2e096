"""`gaudi-asr infer`: what was said in files."""

import sys
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli.decoding_options import decoding_options
from gaudi_asr_cli.core.decoding import DEFAULT_DECODER
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.formats import FORMATS


class TimestampsName(str, Enum):
    WORD = "word"
    CHAR = "char"
    NONE = "none"


Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE",
        show_default=False,
        help="Audio file, folder, glob, or - for standard input.",
    ),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        rich_help_panel=options.OUTPUT,
        show_default=False,
        help="Format of the text; may be repeated with --out-dir.",
        **options.name_settings("format", [*FORMATS]),
    ),
]
OutDir = Annotated[
    Path | None,
    typer.Option(
        "--out-dir",
        rich_help_panel=options.OUTPUT,
        metavar="DIR",
        show_default=False,
        help="A new folder that gets a file for each sound and format.",
    ),
]
Timestamps = Annotated[
    TimestampsName,
    typer.Option(
        "--timestamps",
        rich_help_panel=options.OUTPUT,
        help="Times of words; with char, in JSON, of their characters too.",
    ),
]
NBest = Annotated[
    int,
    typer.Option(
        "--n-best",
        rich_help_panel=options.OUTPUT,
        metavar="N",
        min=1,
        help="Best texts of a CTC model for each utterance, in JSON.",
    ),
]
Channel = Annotated[
    int | None,
    typer.Option(
        "--channel",
        rich_help_panel=options.DATA,
        metavar="N",
        min=0,
        show_default=False,
        help="Channel to transcribe, from 0 (default: downmix to mono).",
    ),
]
Track = Annotated[
    int | None,
    typer.Option(
        "--track",
        rich_help_panel=options.DATA,
        metavar="N",
        min=0,
        show_default=False,
        help="Audio track of a video, from 0 (default: that of --language, else the file's own).",
    ),
]

Raw = Annotated[
    str | None,
    typer.Option(
        "--raw",
        rich_help_panel=options.DATA,
        metavar="RATE:FORMAT",
        show_default=False,
        help="Samples in files without a header: 8000:s16le, 44100:f32le:2 (channels).",
    ),
]

CheckBatching = Annotated[
    int,
    typer.Option(
        "--check-batching",
        rich_help_panel=options.MACHINE,
        metavar="N",
        min=0,
        show_default=False,
        help="First compare the text of N files alone and in batches.",
    ),
]


def command(  # noqa: PLR0913 - a parameter is an option
    context: typer.Context,
    files: Files,
    model: options.Model = "facebook/wav2vec2-base-960h",
    channel: Channel = None,
    track: Track = None,
    raw: Raw = None,
    language: options.Language = None,
    decoder: options.DecoderOption = DEFAULT_DECODER,
    beams: options.Beams = None,
    lm: options.LanguageModel = None,
    lm_weight: options.LmWeight = None,
    word_bonus: options.WordBonus = None,
    hotwords: options.Hotwords = None,
    hotword_weight: options.HotwordWeight = None,
    task: options.TaskOption = None,
    max_tokens: options.MaxTokens = None,
    long: options.Long = options.LongName.AUTO,
    batch: options.WrittenTogether = None,
    temperature: options.Temperature = None,
    compression_ratio_threshold: options.CompressionRatioThreshold = 2.4,
    logprob_threshold: options.LogprobThreshold = -1.0,
    no_speech_threshold: options.NoSpeechThreshold = 0.6,
    best_of: options.BestOf = 5,
    initial_prompt: options.InitialPrompt = None,
    condition_on_previous_text: options.ConditionOnPreviousText = False,
    vad: options.Vad = options.VadName.AUTO,
    device: options.DeviceOption = AUTO,
    hpu_mode: options.HpuMode = options.HpuModeName.AUTO,
    dtype: options.DtypeOption = options.DtypeName.AUTO,
    int8: options.Int8 = False,
    seed: options.Seed = 42,
    check_batching: CheckBatching = 0,
    formats: Formats = None,
    out_dir: OutDir = None,
    timestamps: Timestamps = TimestampsName.WORD,
    n_best: NBest = 1,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Transcribe audio: the text of one file, or path, tab and text of several.

    A file that cannot be read never stops the others; the exit code is then 4.
    """
    from gaudi_asr_cli.core.data.raw import parse_raw_format

    raw_format = None if raw is None else parse_raw_format(raw)
    from gaudi_asr_cli.ui.messages import show_loading

    if not quiet:
        show_loading(model)
    # Here, not above: torch takes a second to import, and `--help` should not wait for it.
    from gaudi_asr_cli.core.devices import open_device
    from gaudi_asr_cli.core.runtime import configure

    # First: a Gaudi's software reads its environment when torch is imported, and who lacks a device
    # should not wait for all the rest.
    opened = open_device(device, hpu_mode=hpu_mode.value)
    configure(opened)
    from gaudi_asr_cli.core.decoding.scorer_setup import read_hotwords
    from gaudi_asr_cli.core.inference.options import InferenceOptions
    from gaudi_asr_cli.core.workflows.infer import InferRequest, infer
    from gaudi_asr_cli.ui.inference_view import opened_inference_view
    from gaudi_asr_cli.ui.transcripts import transcript_observer

    chosen = ("jsonl",) if json else tuple(formats or ("txt",))
    # Word times are computed only if a format shows them.
    timeless = not any(FORMATS[name].uses_word_times for name in chosen)
    request = InferRequest(
        sources=tuple(files),
        model=model,
        options=InferenceOptions(
            dtype=dtype.value,
            language=language,
            timestamps="none" if timeless else timestamps.value,
            int8=int8,
            decoder=decoder,
            lm=lm,
            lm_weight=lm_weight,
            word_bonus=word_bonus,
            hotwords=() if hotwords is None else read_hotwords(hotwords),
            hotword_weight=hotword_weight,
            n_best=n_best,
            task=None if task is None else task.value,
            max_tokens=max_tokens,
            beams=beams,
            long=long.value,
            batch_size=batch,
            vad=vad.value,
            **decoding_options(context.params),
        ),
        channel=channel,
        track=track,
        check_batching=check_batching,
        stdin=None if sys.stdin is None else sys.stdin.buffer,
        raw=raw_format,
    )
    write = transcript_observer(
        formats=chosen, out_dir=out_dir, language=language, timestamps=timestamps.value
    )
    with opened_inference_view(write, quiet=quiet) as view:
        report = infer(replace(request, follows=view.follows), opened, view.observe)
    raise typer.Exit(report.exit_code)
