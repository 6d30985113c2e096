"""What the user should know of how text is decoded, before it is."""

from __future__ import annotations

from gaudi_asr_cli.core.decoding.scorer_setup import LM_FOLDER, has_language_model
from gaudi_asr_cli.core.events import Noticed, Observer
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import Recognizer
from gaudi_asr_cli.core.models.folder import find_model


def note_decoding(
    model: str, recognizer: Recognizer, options: InferenceOptions, observe: Observer
) -> None:
    """Report what does not fit, and a language model of the model's folder that is not used."""
    for note in recognizer.notes:
        observe(Noticed(note))
    if options.lm is not None:
        return
    folder = find_model(model, kind=None).path
    if has_language_model(folder):
        observe(
            Noticed(
                f"{model} comes with a language model ({LM_FOLDER}/), which is not used.",
                remedy=f"Pass --lm {folder} to decode with it.",
            )
        )
