"""`gaudi-asr finetune-seq2seq`: fine-tune an encoder-decoder on transcribed speech."""

from typing import Any

import typer

from gaudi_asr_cli.cli.parsing import TrainingCommand, parsed_by
from gaudi_asr_cli.cli.training_options import training_command
from gaudi_asr_cli.core.recipes.keys import SEQ2SEQ_KIND


class FinetuneSeq2SeqCommand(TrainingCommand):
    """The command, which also accepts command lines of run_speech_recognition_seq2seq.py."""

    old_script = "seq2seq"


@parsed_by(FinetuneSeq2SeqCommand)
@training_command(SEQ2SEQ_KIND)
def command(context: typer.Context, **given: Any) -> None:
    """Fine-tune Whisper or another encoder-decoder, evaluate it, and keep the best checkpoint.

    Texts longer than the model's limit are skipped and listed before the first step. Any other
    field of transformers' TrainingArguments is an option too, such as --gradient-checkpointing. A
    value of the recipe replaces a default shown below; an option replaces both.
    """
    from gaudi_asr_cli.cli.training_run import run_training

    run_training(context, SEQ2SEQ_KIND)
