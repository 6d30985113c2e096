"""`gaudi-asr infer`: what was said in files."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli.decoding_options import decoding_options
from gaudi_asr_cli.cli.several_devices import open_one_of
from gaudi_asr_cli.core.decoding import DEFAULT_DECODER
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.formats import FORMATS


class TimestampsName(str, Enum):
    WORD = "word"
    CHAR = "char"
    NONE = "none"


ALL_FORMATS = "all"
EACH_CHANNEL = "each"

Files = Annotated[
    list[str] | None,
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
        help="Format of the text; may be repeated with --out-dir, or all of them.",
        **options.name_settings("format", [*FORMATS, ALL_FORMATS]),
    ),
]
OutDir = Annotated[
    Path | None,
    typer.Option(
        "--out-dir",
        rich_help_panel=options.OUTPUT,
        metavar="DIR",
        show_default=False,
        help="A folder that gets files of each input, in the tree of the inputs, and a journal.",
    ),
]


def _flag(name: str, help: str, panel: str = options.OUTPUT, *more: str) -> Any:
    return typer.Option(name, *more, rich_help_panel=panel, metavar=options.NO_VALUE, help=help)


Resume = Annotated[
    bool, _flag("--resume", "Skip what is done in --out-dir and unchanged, failures too.")
]
RetryFailed = Annotated[bool, _flag("--retry-failed", "Resume, and try failed inputs again.")]
Overwrite = Annotated[
    bool, _flag("--overwrite", "Transcribe everything again and replace files in --out-dir.")
]
FilesFrom = Annotated[
    str | None,
    typer.Option(
        "--files-from",
        rich_help_panel=options.DATA,
        metavar="LIST",
        show_default=False,
        help="Files and folders to transcribe as well, a name on each line; - is standard input.",
    ),
]
Null = Annotated[
    bool, _flag("--null", "Names in LIST end with NUL, as of find -print0.", options.DATA, "-0")
]
MaxLineWidth = Annotated[
    int | None,
    typer.Option(
        "--max-line-width",
        rich_help_panel=options.OUTPUT,
        metavar="N",
        min=1,
        show_default=False,
        help="Columns of a line of subtitles (42).",
    ),
]
MaxLineCount = Annotated[
    int | None,
    typer.Option(
        "--max-line-count",
        rich_help_panel=options.OUTPUT,
        metavar="N",
        min=1,
        show_default=False,
        help="Lines of a subtitle (2).",
    ),
]
HighlightWords = Annotated[
    bool, _flag("--highlight-words", "Underline each word of subtitles while it is spoken.")
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


def _check_channel(value: str | None) -> str | None:
    if value is None or value == EACH_CHANNEL or (value.isascii() and value.isdecimal()):
        return value
    raise typer.BadParameter(f"'{value}' is neither a number from 0 nor '{EACH_CHANNEL}'.")


Channel = Annotated[
    str | None,
    typer.Option(
        "--channel",
        rich_help_panel=options.DATA,
        metavar="N|each",
        show_default=False,
        callback=_check_channel,
        help="Channel to transcribe, from 0, or each on its own (default: downmix to mono).",
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
    files: Files = None,
    model: options.Model = "facebook/wav2vec2-base-960h",
    files_from: FilesFrom = None,
    null: Null = False,
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
    cards: options.Cards = 1,
    device: options.DeviceOption = AUTO,
    hpu_mode: options.HpuMode = options.HpuModeName.AUTO,
    dtype: options.DtypeOption = options.DtypeName.AUTO,
    int8: options.Int8 = False,
    seed: options.Seed = 42,
    check_batching: CheckBatching = 0,
    formats: Formats = None,
    out_dir: OutDir = None,
    resume: Resume = False,
    retry_failed: RetryFailed = False,
    overwrite: Overwrite = False,
    max_line_width: MaxLineWidth = None,
    max_line_count: MaxLineCount = None,
    highlight_words: HighlightWords = False,
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
    _check_usage(context.params)
    from gaudi_asr_cli.ui.messages import show_loading

    if not quiet:
        show_loading(model)
    # First: a Gaudi's software reads its environment when torch is imported, and who lacks a device
    # should not wait for all the rest.
    opened = open_one_of(device, hpu_mode.value, cards)
    from gaudi_asr_cli.core.decoding.scorer_setup import read_hotwords
    from gaudi_asr_cli.core.formats.cues import DEFAULT_STYLE, CueStyle
    from gaudi_asr_cli.core.inference.file_lists import read_file_list
    from gaudi_asr_cli.core.inference.options import InferenceOptions
    from gaudi_asr_cli.core.workflows.infer import InferRequest, infer
    from gaudi_asr_cli.core.workflows.infer_job.folder import OutputRequest
    from gaudi_asr_cli.ui.inference_view import opened_inference_view
    from gaudi_asr_cli.ui.transcripts import check_formats, show_failures, transcript_observer

    stdin = None if sys.stdin is None else sys.stdin.buffer
    chosen = _choose_formats(formats, json=json)
    style = CueStyle(
        max_line_width or DEFAULT_STYLE.line_characters,
        max_line_count or DEFAULT_STYLE.lines,
        highlight_words,
    )
    check_formats(chosen, timestamps=timestamps.value, style=style)
    # Word times are computed only if a format shows them.
    timeless = not any(FORMATS[name].uses_word_times for name in chosen)
    outputs = (
        None
        if out_dir is None
        else OutputRequest(out_dir, chosen, style, resume, retry_failed, overwrite)
    )
    request = InferRequest(
        sources=tuple(files or ()),
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
        channel=int(channel) if channel and channel != EACH_CHANNEL else None,
        each_channel=channel == EACH_CHANNEL,
        track=track,
        check_batching=check_batching,
        stdin=stdin,
        raw=raw_format,
        listed=() if files_from is None else read_file_list(files_from, stdin, null=null),
        outputs=outputs,
        cards=cards,
        device_name=device,
        hpu_mode=hpu_mode.value,
    )
    write = (
        transcript_observer(
            formats=chosen,
            out_dir=None,
            language=language,
            timestamps=timestamps.value,
            style=style,
        )
        if outputs is None
        else show_failures
    )
    with opened_inference_view(write, quiet=quiet) as view:
        report = infer(replace(request, follows=view.follows), opened, view.observe)
    raise typer.Exit(report.exit_code)


def _choose_formats(formats: Sequence[str] | None, *, json: bool) -> tuple[str, ...]:
    """Return the formats, each once; `--json` is JSON lines and nothing else."""
    if json:
        return ("jsonl",)
    chosen = [*FORMATS] if ALL_FORMATS in (formats or ()) else (formats or ["txt"])
    return tuple(dict.fromkeys(chosen))


def _check_usage(given: Mapping[str, Any]) -> None:
    """Check which options stand together, before anything is loaded.

    Raises:
        UsageError: They do not; the message names them.
    """
    if not given["files"] and given["files_from"] is None:
        raise UsageError(
            "There is nothing to transcribe.", remedy="Name files or folders, or --files-from LIST."
        )
    if given["null"] and given["files_from"] is None:
        raise UsageError("--null is for --files-from LIST.", remedy="Leave --null out.")
    if given["files_from"] == "-" and "-" in (given["files"] or ()):
        raise UsageError(
            "Standard input is either audio or a list of files.",
            remedy="Leave - out, or write the list to a file.",
        )
    how = [name for name in ("resume", "retry_failed", "overwrite") if given[name]]
    if how and given["out_dir"] is None:
        raise UsageError(
            f"--{how[0].replace('_', '-')} is about the files of an earlier run.",
            remedy="Name their folder with --out-dir.",
        )
    if given["overwrite"] and len(how) > 1:
        raise UsageError(
            f"--overwrite transcribes everything again, --{how[0].replace('_', '-')} does not.",
            remedy="Choose one of them.",
        )
