"""Characters that an old script would also have removed from the text of this data."""

from __future__ import annotations

from gaudi_asr_cli.core.data.measure import Measured
from gaudi_asr_cli.core.events import Noticed, Observer
from gaudi_asr_cli.core.legacy.characters import count_unnamed_removals
from gaudi_asr_cli.core.recipes.schema import TrainingRecipe
from gaudi_asr_cli.core.workflows.finetune.job import Splits


def report_legacy_removals(
    pattern: str | None, recipe: TrainingRecipe, splits: Splits, observe: Observer
) -> None:
    """Report with counts which characters the script's pattern matches besides the named ones."""
    if pattern is None:
        return
    splits_used = [one for one in (splits.train, splits.eval) if one is not None]
    texts = [text for split in splits_used for text in _texts(split)]
    counts = count_unnamed_removals(pattern, recipe.text.strip_chars, texts)
    if not counts:
        observe(
            Noticed("The old script would have removed nothing else from the text of this data.")
        )
        return
    shown = ", ".join(f"{character} {count:,}x" for character, count in counts.items())
    observe(
        Noticed(
            f"The old script would also have removed from the text of this data: {shown}. "
            "They are kept.",
            remedy="Name those to remove with --strip-chars.",
        )
    )


def _texts(split: Measured) -> list[str]:
    return [one.text for one in split.utterances if one.text is not None]
