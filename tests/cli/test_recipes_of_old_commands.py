"""A published command says the same as a recipe and as an old command line."""

import json

import pytest
from helpers.old_commands import read_commands
from helpers.run import run_here

from gaudi_asr_cli.core.recipes.loading import load_recipe

RECIPES = {
    "ctc-librispeech-hpu": "ctc-wav2vec2-large-librispeech100",
    "ctc-librispeech-ipu": "ctc-wav2vec2-base-960h-librispeech100",
    "ctc-common-voice-gpu": "ctc-xlsr-53-cv-tr",
    "ctc-common-voice-8-gpus": "ctc-xlsr-53-cv-tr-8gpu",
    "ctc-librispeech-8-hpus": "ctc-wav2vec2-large-librispeech100-8hpu",
    "ctc-librispeech-8-hpus-deepspeed": "ctc-wav2vec2-large-librispeech100-8hpu-deepspeed",
    "seq2seq-librispeech-gpu": "seq2seq-wav2vec2-bart-librispeech100",
    "seq2seq-librispeech-8-gpus": "seq2seq-wav2vec2-bart-librispeech100-8gpu",
    "whisper-small-hpu": "seq2seq-whisper-small-cv-hi",
    "whisper-large-8-hpus": "seq2seq-whisper-large-cv-hi-8hpu",
}
"""An old command -> the recipe of the same."""
OTHERWISE = {
    # Few lengths, and batches that a Gaudi can fill: what is heard and learnt is the same.
    "batching.buckets",
}
OF_ONE = {
    # A trained head keeps its vocabulary, which is of capitals.
    "ctc-librispeech-ipu": {"vocab", "text.case"},
    # fp16 would be refused by every device but one.
    "ctc-common-voice-gpu": {"dtype"},
    "ctc-common-voice-8-gpus": {"dtype"},
    # Its precision stands in DeepSpeed's own configuration.
    "ctc-librispeech-8-hpus-deepspeed": {"dtype"},
    # The folder that the model was made in, and how that model says it writes.
    "seq2seq-librispeech-gpu": {"dtype", "model"},
    "seq2seq-librispeech-8-gpus": {"dtype", "model", "generation.max_tokens", "generation.beams"},
}
ABOUT = {"name", "requires", "published", "trainer", "train", "eval", "test"}


@pytest.mark.parametrize("old", RECIPES)
def test_a_published_command_trains_the_same_as_a_recipe_and_as_it_was_typed(old):
    (command,) = [one for one in read_commands() if one.id == old]
    imported = run_here("import-command", command.command, "--json")
    typed = json.loads(imported.stdout)["recipe"]

    recipe = load_recipe(RECIPES[old], ["train.data=_"]).model_dump(mode="json")

    assert set(differing(recipe, typed)) <= OTHERWISE | OF_ONE.get(old, set())


def differing(ours, theirs, prefix=""):
    for key in ours.keys() - (ABOUT if not prefix else set()):
        mine, other = ours[key], theirs.get(key)
        if isinstance(mine, dict) and isinstance(other, dict):
            yield from differing(mine, other, f"{prefix}{key}.")
        elif plain(key, mine) != plain(key, other):
            yield prefix + key


def plain(key, value):
    """Values as text; characters to strip in any order."""
    return sorted(value) if key == "strip_chars" else str(value)
