"""`gaudi-asr finetune-ctc`: from speech to a CTC model and its word error rate."""

from typing import Annotated

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli import training_options as training

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


def command(  # noqa: PLR0913 - a parameter is an option, most of them a key of the recipe
    context: typer.Context,
    recipe: Recipe = None,
    train: training.Train = None,
    eval_data: training.Eval = None,
    test: training.Test = None,
    model: training.Model = None,
    set_: Set = None,
    train_split: training.TrainSplit = None,
    eval_split: training.EvalSplit = None,
    test_split: training.TestSplit = None,
    config: training.Config = None,
    text_column: training.TextColumn = None,
    train_limit: training.TrainLimit = None,
    eval_limit: training.EvalLimit = None,
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
    from gaudi_asr_cli.core.workflows.finetune import finetune, plan_finetune
    from gaudi_asr_cli.core.workflows.opening import FinetuneRequest
    from gaudi_asr_cli.ui.live import opened_view
    from gaudi_asr_cli.ui.results import show_result
    from gaudi_asr_cli.ui.training import show_finetune, show_plan

    # First: a Gaudi's software must be imported before transformers.
    opened = open_device(device.value, hpu_mode=hpu_mode.value)
    extra = trainer_settings(context.args, context)
    settings = (*training.settings_of(context.params), *extra, *(set_ or ()))
    request = FinetuneRequest(recipe=recipe, settings=settings, run=run, resume=resume)
    if dry_run:
        with opened_view(quiet=quiet) as observe:
            plan = plan_finetune(request, opened, observe)
        show_result(plan, show_plan, json=json)
        return
    with opened_view(quiet=quiet) as observe:
        report = finetune(request, opened, observe)
    show_result(report, show_finetune, json=json)
