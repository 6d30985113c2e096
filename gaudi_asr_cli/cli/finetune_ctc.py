"""`gaudi-asr finetune-ctc`: from speech to a CTC model and its word error rate."""

import typer

from gaudi_asr_cli.cli import cards as many
from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli import training_options as training
from gaudi_asr_cli.cli.parsing import TrainingCommand
from gaudi_asr_cli.core.devices import AUTO


class FinetuneCtcCommand(TrainingCommand):
    """The command, which also takes the words of run_speech_recognition_ctc.py."""

    old_script = "ctc"


def command(  # noqa: PLR0913 - a parameter is an option, most of them a key of the recipe
    context: typer.Context,
    recipe: training.Recipe = None,
    train: training.Train = None,
    eval_data: training.Eval = None,
    test: training.Test = None,
    model: training.Model = None,
    set_: training.Set = None,
    no_train: training.NoTrain = False,
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
    cards: many.Cards = 1,
    nodes: many.Nodes = 1,
    node_rank: many.NodeRank = 0,
    master: many.Master = None,
    hostfile: many.Hostfile = None,
    launcher: many.Launcher = many.LauncherName.AUTO,
    max_restarts: many.MaxRestarts = 0,
    deepspeed: many.DeepSpeed = None,
    device: options.Device = AUTO,
    hpu_mode: options.HpuMode = options.HpuModeName.AUTO,
    dtype: training.Dtype = None,
    seed: training.Seed = None,
    run: options.Run = None,
    resume: training.Resume = False,
    dry_run: training.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a CTC model on speech with text, score it, and keep the best weights.

    Bare, it trains the demo: spoken numbers made on the spot, from random weights, in minutes.
    Any other field of transformers' TrainingArguments is an option too, such as --save-steps 20.
    """
    from gaudi_asr_cli.cli.training_run import run_training

    run_training(context, "finetune-ctc")
