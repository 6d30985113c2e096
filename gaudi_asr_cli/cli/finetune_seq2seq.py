"""`gaudi-asr finetune-seq2seq`: a model that hears and writes, on speech of your own."""

import typer

from gaudi_asr_cli.cli import cards as many
from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli import training_options as training
from gaudi_asr_cli.cli.parsing import TrainingCommand
from gaudi_asr_cli.core.devices import AUTO


class FinetuneSeq2SeqCommand(TrainingCommand):
    """The command, which also takes the words of run_speech_recognition_seq2seq.py."""

    old_script = "seq2seq"


def command(  # noqa: PLR0913 - a parameter is an option, most of them a key of the recipe
    context: typer.Context,
    recipe: training.Recipe = None,
    train: training.Train = None,
    eval_data: training.Eval = None,
    test: training.Test = None,
    model: training.WriterModel = None,
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
    language: training.Spoken = None,
    task: training.Task = None,
    freeze: training.FreezeHalf = None,
    spec_augment: training.SpecAugment = None,
    lora_rank: training.LoraRank = None,
    max_tokens: training.MaxTokens = None,
    beams: training.Beams = None,
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
    """Fine-tune a Whisper or an encoder-decoder, score what it writes, keep the best weights.

    Texts over the model's limit are refused before the first step, and listed. Any other field of
    transformers' TrainingArguments is an option too, such as --gradient-checkpointing.
    """
    from gaudi_asr_cli.cli.training_run import run_training

    run_training(context, "finetune-seq2seq")
