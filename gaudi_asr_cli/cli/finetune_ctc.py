"""`gaudi-asr finetune-ctc`: from speech to a CTC model and its word error rate."""

from typing import Annotated

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli import training_options as training
from gaudi_asr_cli.cli.old_commands import fitting_parameters, former_pattern
from gaudi_asr_cli.cli.parsing import TrainingCommand

Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        metavar="NAME|FILE",
        show_default=False,
        help="What to train and how; gaudi-asr recipes lists those that there are.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Any key of the recipe, such as trainer.save_steps=20; may be repeated.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        rich_help_panel=options.OUTPUT,
        metavar=options.NO_VALUE,
        help="Go on with the run in --run DIR.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=options.OUTPUT,
        metavar=options.NO_VALUE,
        help="Show the plan and do no work.",
    ),
]
NoTrain = Annotated[
    bool,
    typer.Option(
        "--no-train",
        metavar=options.NO_VALUE,
        help="Only score --model on --eval, as eval-ctc does.",
    ),
]


class FinetuneCtcCommand(TrainingCommand):
    """The command, which also takes the words of run_speech_recognition_ctc.py."""

    old_script = "ctc"


def command(  # noqa: PLR0913 - a parameter is an option, most of them a key of the recipe
    context: typer.Context,
    recipe: Recipe = None,
    train: training.Train = None,
    eval_data: training.Eval = None,
    test: training.Test = None,
    model: training.Model = None,
    set_: Set = None,
    no_train: NoTrain = False,
    train_split: training.TrainSplit = None,
    eval_split: training.EvalSplit = None,
    test_split: training.TestSplit = None,
    config: training.Config = None,
    text_column: training.TextColumn = None,
    train_limit: training.TrainLimit = None,
    eval_limit: training.EvalLimit = None,
    in_place: options.InPlace = None,
    max_seconds: training.MaxSeconds = None,
    min_seconds: training.MinSeconds = None,
    strip_chars: training.StripChars = None,
    case: training.Case = None,
    unicode: training.Unicode = None,
    vocab: training.Vocab = None,
    language: training.Language = None,
    freeze: training.Freeze = None,
    spec_augment: training.SpecAugment = None,
    epochs: training.Epochs = None,
    max_steps: training.MaxSteps = None,
    lr: training.LearningRate = None,
    warmup: training.Warmup = None,
    batch_seconds: training.BatchSeconds = None,
    batch: training.Batch = None,
    accumulate: training.Accumulate = None,
    buckets: training.Buckets = None,
    patience: training.Patience = None,
    device: options.Device = options.DeviceName.AUTO,
    hpu_mode: options.HpuMode = options.HpuModeName.AUTO,
    dtype: training.Dtype = None,
    seed: training.Seed = None,
    run: options.Run = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a CTC model on speech with text, score it, and keep the best weights.

    Bare, it trains the demo: spoken numbers made on the spot, from random weights, in minutes.
    Any other field of transformers' TrainingArguments is an option too, such as --save-steps 20.
    """
    from gaudi_asr_cli.cli.passthrough import trainer_settings
    from gaudi_asr_cli.core.devices import open_device
    from gaudi_asr_cli.core.recipes.in_place import read_in_place
    from gaudi_asr_cli.core.workflows.finetune import finetune, plan_finetune
    from gaudi_asr_cli.core.workflows.opening import FinetuneRequest
    from gaudi_asr_cli.core.workflows.score_recipe import score_recipe
    from gaudi_asr_cli.ui.live import opened_view
    from gaudi_asr_cli.ui.results import show_result
    from gaudi_asr_cli.ui.score import show_evaluation
    from gaudi_asr_cli.ui.training import show_finetune, show_plan

    # First: a Gaudi's software must be imported before transformers.
    opened = open_device(device.value, hpu_mode=hpu_mode.value)
    extra = trainer_settings(context.args, context)
    parameters = fitting_parameters(context, opened)
    settings = (*training.settings_of(parameters), *extra, *(set_ or ()))
    request = FinetuneRequest(
        recipe=recipe,
        settings=settings,
        in_place=read_in_place(in_place or ()),
        run=run,
        resume=resume,
        former_pattern=former_pattern(context),
    )
    if no_train:
        with opened_view(quiet=quiet) as observe:
            score = score_recipe(request, opened, observe)
        show_result(score, show_evaluation, json=json)
        return
    if dry_run:
        with opened_view(quiet=quiet) as observe:
            plan = plan_finetune(request, opened, observe)
        show_result(plan, show_plan, json=json)
        return
    with opened_view(quiet=quiet) as observe:
        report = finetune(request, opened, observe)
    show_result(report, show_finetune, json=json)
