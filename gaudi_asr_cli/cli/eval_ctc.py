"""`gaudi-asr eval-ctc`: the word error rate of a CTC model."""

from typing import Annotated

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli.parsing import KebabCommand, parsed_by
from gaudi_asr_cli.cli.several_devices import open_one_of
from gaudi_asr_cli.core.decoding import DEFAULT_DECODER
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.errors import DataError, UsageError


class EvalCtcCommand(KebabCommand):
    """The command, which also takes the words of run_speech_recognition_ctc.py --do_eval."""

    old_script = "ctc"


@parsed_by(EvalCtcCommand)
def command(  # noqa: PLR0913 - a parameter is an option
    context: typer.Context,
    data: options.DataOption,
    model_argument: Annotated[
        str | None, typer.Argument(metavar="MODEL", show_default=False, help="The same as --model.")
    ] = None,
    model: options.OptionalModel = None,
    split: options.Split = None,
    config: options.Config = None,
    text_column: options.TextColumn = None,
    limit: options.LimitOption = None,
    in_place: options.InPlaceOption = None,
    strip_chars: options.StripChars = "",
    case: options.Case = options.CaseName.KEEP,
    unicode: options.Unicode = options.UnicodeName.NFC,
    normalizer: options.NormalizerOption = options.NormalizerName.BASIC,
    language: options.ScoredLanguage = None,
    decoder: options.DecoderOption = DEFAULT_DECODER,
    vad: options.Vad = options.VadName.AUTO,
    beams: options.Beams = None,
    lm: options.LanguageModel = None,
    lm_weight: options.LmWeight = None,
    word_bonus: options.WordBonus = None,
    hotwords: options.Hotwords = None,
    hotword_weight: options.HotwordWeight = None,
    tune_lm: Annotated[
        list[str] | None,
        typer.Option(
            "--tune-lm",
            rich_help_panel=options.MODEL,
            metavar="DEV",
            show_default=False,
            help="Choose the weights of --lm on this data first; they go to decoding.yaml.",
        ),
    ] = None,
    cards: options.Cards = 1,
    device: options.DeviceOption = AUTO,
    hpu_mode: options.HpuMode = options.HpuModeName.AUTO,
    dtype: options.DtypeOption = options.DtypeName.AUTO,
    int8: options.Int8 = False,
    seed: options.Seed = 42,
    run: options.Run = None,
    recipe: options.RecipeOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Score MODEL on DATA: word error rate, its interval, and what went wrong.

    Nothing is left out silently; each utterance stands in predictions.jsonl of the run folder.
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
            one_model(model_argument, options.typed(context, "model_argument", "model")),
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
            kind="ctc",
            dtype=fitting_parameters(context, opened)["dtype"].value,
            timestamps="none",
            int8=int8,
            decoder=decoder,
            vad=vad.value,
            beams=beams,
            lm=lm,
            lm_weight=lm_weight,
            word_bonus=word_bonus,
            hotwords=() if hotwords is None else read_hotwords(hotwords),
            hotword_weight=hotword_weight,
        ),
        run=run,
        cards=cards,
        device_name=device,
        hpu_mode=hpu_mode.value,
        limit=limit,
        seed=seed,
        tune_lm=tuple(tune_lm or ()),
    )
    with opened_view(quiet=quiet) as observe:
        report = evaluate(request, opened, observe)
    if json:
        show_not_scored(report)
    show_result(report, show_evaluation, json=json)
    if report.broken:
        raise typer.Exit(DataError.exit_code)


def one_model(
    argument: str | None,
    option: str | None,
    example: str = "gaudi-asr eval-ctc demo --data FOLDER",
) -> str:
    """The model, which may be given either way."""
    models = {model for model in (argument, option) if model is not None}
    if len(models) != 1:
        given = "Two models were named" if models else "No model was named"
        raise UsageError(f"{given}.", remedy=f"For example: {example}")
    return models.pop()
