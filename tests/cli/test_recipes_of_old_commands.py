"""A recipe for a published command has the settings of its translated legacy command."""

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
"""Legacy command -> recipe for it."""
DIFFERENT = {
    # Few buckets, and batches that fill a Gaudi: the training data is the same.
    "batching.buckets",
}
DIFFERENT_IN = {
    # A fine-tuned head keeps its vocabulary of capital letters.
    "ctc-librispeech-ipu": {"vocab", "text.case"},
    # Only CUDA supports fp16.
    "ctc-common-voice-gpu": {"dtype"},
    "ctc-common-voice-8-gpus": {"dtype"},
    # DeepSpeed's own configuration sets the precision.
    "ctc-librispeech-8-hpus-deepspeed": {"dtype"},
    # The folder of the warm-started model, and its generation configuration.
    "seq2seq-librispeech-gpu": {"dtype", "model"},
    "seq2seq-librispeech-8-gpus": {"dtype", "model", "generation.max_tokens", "generation.beams"},
}
ABOUT = {"name", "requires", "published", "trainer", "train", "eval", "test"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_the_settings_of_the_published_command(name):
    (command,) = [old for old in read_commands() if old.id == name]
    imported = run_here("import-command", command.command, "--json")
    translated = json.loads(imported.stdout)["recipe"]

    recipe = load_recipe(RECIPES[name], ["train.data=_"]).model_dump(mode="json")

    assert set(differing(recipe, translated)) <= DIFFERENT | DIFFERENT_IN.get(name, set())


def differing(ours, theirs, prefix=""):
    for key in ours.keys() - (ABOUT if not prefix else set()):
        mine, other = ours[key], theirs.get(key)
        if isinstance(mine, dict) and isinstance(other, dict):
            yield from differing(mine, other, f"{prefix}{key}.")
        elif comparable(key, mine) != comparable(key, other):
            yield prefix + key


def comparable(key, value):
    """Return a value as text, with the characters to strip in any order."""
    return sorted(value) if key == "strip_chars" else str(value)
