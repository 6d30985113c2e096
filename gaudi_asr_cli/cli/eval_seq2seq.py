"""`gaudi-asr eval-seq2seq`: the word error rate of a model that writes with a decoder."""

from enum import Enum
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli.decoding_options import decoding_options
from gaudi_asr_cli.cli.eval_ctc import one_model
from gaudi_asr_cli.cli.parsing import KebabCommand, parsed_by
from gaudi_asr_cli.cli.several_devices import open_one_of
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.errors import DataError

EXAMPLE = "gaudi-asr eval-seq2seq openai/whisper-tiny --data FOLDER"


class EvalSeq2SeqCommand(KebabCommand):
    """The command, which also takes the words of run_speech_recognition_seq2seq.py --do_eval."""

    old_script = "seq2seq"


class ScoredTimestampsName(str, Enum):
    NONE = "none"
    WORD = "word"


ScoredTimestamps = Annotated[
    ScoredTimestampsName,
    typer.Option(
        "--timestamps",
        rich_help_panel=options.DECODING,
        help="word: generate as infer does, with times and confidences of words for the report.",
    ),
]


@parsed_by(EvalSeq2SeqCommand)
def command(  # noqa: PLR0913 - a parameter is an option
    context: typer.Context,
    data: options.DataOption,
    model_argument: Annotated[
        str | None, typer.Argument(metavar="MODEL", show_default=False, help="The same as --model.")
    ] = None,
    model: options.OptionalSeq2SeqModel = None,
    split: options.Split = None,
    config: options.Config = None,
    text_column: options.TextColumn = None,
    limit: options.LimitOption = None,
    in_place: options.InPlaceOption = None,
    strip_chars: options.StripChars = "",
    case: options.Case = options.CaseName.KEEP,
    unicode: options.Unicode = options.UnicodeName.NFC,
    normalizer: options.NormalizerOption = options.NormalizerName.BASIC,
    language: options.SpokenLanguage = None,
    task: options.TaskOption = None,
    max_tokens: options.MaxTokens = None,
    beams: options.Beams = 1,
    long: options.Long = options.LongName.AUTO,
    batch: options.WrittenTogether = None,
    temperature: options.Temperature = None,
    compression_ratio_threshold: options.CompressionRatioThreshold = 2.4,
    logprob_threshold: options.LogprobThreshold = -1.0,
    no_speech_threshold: options.NoSpeechThreshold = 0.6,
    best_of: options.BestOf = 5,
    initial_prompt: options.InitialPrompt = None,
    hotwords: options.Hotwords = None,
    timestamps: ScoredTimestamps = ScoredTimestampsName.NONE,
    condition_on_previous_text: options.ConditionOnPreviousText = False,
    vad: options.Vad = options.VadName.AUTO,
    cards: options.Cards = 1,
    device: options.DeviceOption = AUTO,
    hpu_mode: options.HpuMode = options.HpuModeName.AUTO,
    dtype: options.DtypeOption = options.DtypeName.AUTO,
    seed: options.Seed = 42,
    run: options.Run = None,
    recipe: options.RecipeOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Score MODEL (Whisper, speech encoder-decoder) on DATA: word error rate, and what went wrong.

    Nothing is left out silently: texts that did not end or turn round and round are listed.
    """
    from gaudi_asr_cli.cli.old_commands import fitting_parameters
    from gaudi_asr_cli.core.data.sources import ReadOptions
    from gaudi_asr_cli.core.inference.options import InferenceOptions
    from gaudi_asr_cli.core.recipes.in_place import Reading, place_reading
    from gaudi_asr_cli.core.text.rules import TextRules
    from gaudi_asr_cli.core.workflows.evaluation import EvalRequest, evaluate
    from gaudi_asr_cli.ui.live import opened_view
    from gaudi_asr_cli.ui.results import show_result
    from gaudi_asr_cli.ui.score import show_evaluation, show_not_scored

    opened = open_one_of(device, hpu_mode.value, cards)
    # Only now: it imports torch, which must not happen before a Gaudi's environment is set.
    from gaudi_asr_cli.core.decoding.scorer_setup import read_hotwords

    reading = place_reading(
        Reading(
            one_model(model_argument, options.typed(context, "model_argument", "model"), EXAMPLE),
            tuple(data),
            ReadOptions(split=split, config=config, text_column=text_column, language=language),
        ),
        in_place or (),
    )
    request = EvalRequest(
        model=str(reading.model),
        data=reading.data,
        read=reading.read,
        normalizer=normalizer.value,
        rules=TextRules(strip_chars=strip_chars, case=case.value, unicode=unicode.value),
        language=language,
        options=InferenceOptions(
            kind="seq2seq",
            dtype=fitting_parameters(context, opened)["dtype"].value,
            timestamps=timestamps.value,
            task=None if task is None else task.value,
            max_tokens=max_tokens,
            beams=beams,
            hotwords=() if hotwords is None else read_hotwords(hotwords),
            long=long.value,
            batch_size=batch,
            vad=vad.value,
            **decoding_options(context.params),
        ),
        run=run,
        cards=cards,
        device_name=device,
        hpu_mode=hpu_mode.value,
        limit=limit,
        seed=seed,
        command="eval-seq2seq",
    )
    with opened_view(quiet=quiet) as observe:
        report = evaluate(request, opened, observe)
    if json:
        show_not_scored(report)
    show_result(report, show_evaluation, json=json)
    if report.broken:
        raise typer.Exit(DataError.exit_code)
