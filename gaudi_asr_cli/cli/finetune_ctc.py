"""`gaudi-asr finetune-ctc`: fine-tune a CTC model on transcribed speech."""

from typing import Any

import typer

from gaudi_asr_cli.cli.parsing import TrainingCommand, parsed_by
from gaudi_asr_cli.cli.training_options import training_command
from gaudi_asr_cli.core.recipes.keys import CTC_KIND


class FinetuneCtcCommand(TrainingCommand):
    """The command, which also accepts command lines of run_speech_recognition_ctc.py."""

    old_script = "ctc"


@parsed_by(FinetuneCtcCommand)
@training_command(CTC_KIND)
def command(context: typer.Context, **given: Any) -> None:
    """Train a CTC model on transcribed speech, evaluate it, and keep the best checkpoint.

    Without options it trains the demo: a small model from random weights, on synthetic speech, in
    minutes. Any other field of transformers' TrainingArguments is an option too, such as
    --save-steps 20. A value of the recipe replaces a default shown below; an option replaces both.
    """
    from gaudi_asr_cli.cli.training_run import run_training

    run_training(context, CTC_KIND)
