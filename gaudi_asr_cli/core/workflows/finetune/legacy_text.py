"""What an old script would have taken out of this data's text besides the characters named."""

from __future__ import annotations

from gaudi_asr_cli.core.data.measure import Measured
from gaudi_asr_cli.core.events import Noticed, Observer
from gaudi_asr_cli.core.legacy.characters import count_unnamed_removals
from gaudi_asr_cli.core.recipes.schema import TrainingRecipe
from gaudi_asr_cli.core.workflows.finetune.job import Splits


def report_formerly_removed(
    pattern: str | None, recipe: TrainingRecipe, splits: Splits, observe: Observer
) -> None:
    """Say it with counts, if there was such a pattern and it took anything."""
    if pattern is None:
        return
    learnt = [one for one in (splits.train, splits.eval) if one is not None]
    texts = [text for split in learnt for text in _texts(split)]
    counts = count_unnamed_removals(pattern, recipe.text.strip_chars, texts)
    if not counts:
        observe(Noticed("The old script would have removed nothing else from this data's text."))
        return
    shown = ", ".join(f"{character} {count:,}x" for character, count in counts.items())
    observe(
        Noticed(
            f"The old script would also have removed from this data's text: {shown}. They stay.",
            remedy="Name those that shall go with --strip-chars.",
        )
    )


def _texts(split: Measured) -> list[str]:
    return [one.text for one in split.utterances if one.text is not None]
