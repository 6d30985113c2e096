"""The model card: training data, word error rate, usage."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_asr_cli.core.records import Score

CARD_TITLES = {"finetune-ctc": "A CTC model", "finetune-seq2seq": "An encoder-decoder model"}
TAGS = {"finetune-ctc": "ctc", "finetune-seq2seq": "seq2seq"}


def write_card(  # noqa: PLR0913 - a card has many lines, each by name
    *,
    kind: str,
    name: str,
    base: str,
    sources: Sequence[str],
    hours: float,
    steps: int,
    recipe: str,
    scores: dict[str, Score],
) -> str:
    """Return the model card as Markdown with the metadata that model hubs read.

    Args:
        kind: The command that trained it.
        name: Name of the run.
        base: The model that was fine-tuned, or `scratch`.
        sources: Training data.
        hours: Hours of training data.
        steps: Optimiser steps.
        recipe: The resolved recipe as YAML.
        scores: Scores by name of the split.
    """
    rows = [
        f"| {split} | {score.wer:.2%} ({score.wer_low:.2%}-{score.wer_high:.2%}) | {score.cer:.2%} "
        f"| {score.utterances} of {score.utterances_total} | {score.normalizer} |"
        for split, score in scores.items()
    ]
    rate = next((score.rate_name for score in scores.values()), "WER")
    table = [
        f"| data | {rate} (95 % interval) | CER | utterances | normaliser |",
        "|---|---|---|---|---|",
        *rows,
    ]
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: automatic-speech-recognition",
        f"tags: [{TAGS[kind]}, gaudi-asr]",
        *([] if base == "scratch" else [f"base_model: {base}"]),
        "---",
        f"# {name}",
        "",
        f"{CARD_TITLES[kind]} trained for {steps} steps on {hours:.2f} hours "
        f"({', '.join(sources)}), "
        + ("from random weights." if base == "scratch" else f"from {base}."),
        "",
        *(table if rows else ["It was not scored."]),
        "",
        "```",
        "gaudi-asr infer --model THIS_FOLDER file.wav",
        "```",
        "",
        "Made with this recipe:",
        "",
        "```yaml",
        recipe.rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"
