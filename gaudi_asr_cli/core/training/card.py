"""The model card: metadata that model hubs read, scores with their intervals, usage, recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.models.folder import is_hub_model
from gaudi_asr_cli.core.records import Score

CARD_TITLES = {"finetune-ctc": "A CTC model", "finetune-seq2seq": "An encoder-decoder model"}
TAGS = {"finetune-ctc": "ctc", "finetune-seq2seq": "seq2seq"}
TASK, TASK_NAME = "automatic-speech-recognition", "Automatic Speech Recognition"
PLACE = "THIS_FOLDER"
"""Stands for the model in the card's example command."""
METRIC_TYPES = {"WER": "wer", "PER": "per"}
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True, slots=True)
class CardSource:
    """A data source on a card: its hub id, or None and the `name` of local data."""

    name: str
    hub_id: str | None = None


@dataclass(frozen=True, slots=True)
class CardSplit:
    """A scored split: where its data is from, and the score."""

    sources: tuple[CardSource, ...]
    score: Score
    config: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says of a run; every number is one of the run.

    Attributes:
        kind: The command that trained the model.
        name: Name of the run.
        base: Hub id of the model that was fine-tuned; None for a local one or random weights.
        from_scratch: Whether the weights were random at the start.
        sources: Training data.
        hours: Hours of training data.
        steps: Optimiser steps.
        recipe: The resolved recipe as YAML, without local paths and secrets.
        splits: Scores by name of the split.
        language: ISO 639 code of the language, if it is known.
        selected_on: Name of the split by whose score the checkpoint was chosen, if any.
    """

    kind: str
    name: str
    base: str | None
    from_scratch: bool
    sources: tuple[CardSource, ...]
    hours: float
    steps: int
    recipe: str
    splits: Mapping[str, CardSplit]
    language: str | None = None
    selected_on: str | None = None


def write_card(facts: CardFacts) -> str:
    """Return the model card of a run as Markdown with metadata."""
    from huggingface_hub import ModelCard, ModelCardData

    results = [result for name, one in facts.splits.items() for result in _results(name, one)]
    data = ModelCardData(
        base_model=facts.base,
        datasets=_hub_ids(facts.sources) or None,
        language=facts.language,
        library_name="transformers",
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=facts.name,
        pipeline_tag=TASK,
        tags=[TAGS[facts.kind], "gaudi-asr"],
        eval_results=results or None,
    )
    if not results:
        # Metadata has a name only for results.
        data.pop("model_name")
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n{_body(facts)}"))


def _hub_ids(sources: Sequence[CardSource]) -> list[str]:
    return list(dict.fromkeys(one.hub_id for one in sources if one.hub_id is not None))


def _results(name: str, split: CardSplit) -> Iterator[Any]:
    """Yield the error rates of a split in percent, as the leaderboards of model hubs have them."""
    from huggingface_hub import EvalResult

    score, ids = split.score, _hub_ids(split.sources)
    named = len(split.sources) == 1 and len(ids) == 1
    place: dict[str, Any] = {
        "task_type": TASK,
        "task_name": TASK_NAME,
        # Metadata requires a type; only a hub id names a data set of the hub.
        "dataset_type": ids[0] if named else "local" if not ids else "several",
        "dataset_name": " + ".join(one.name for one in split.sources),
        "dataset_config": split.config if named else None,
        "dataset_split": split.split or (None if named else name),
    }
    counted = {"normalizer": score.normalizer, "utterances": score.utterances}
    interval = {"low": _percent(score.wer_low), "high": _percent(score.wer_high)}
    yield EvalResult(
        **place,
        metric_type=METRIC_TYPES[score.rate_name],
        metric_name=f"{score.rate_name} (%)",
        metric_value=_percent(score.wer),
        metric_args={"interval_95": interval, **counted},
    )
    yield EvalResult(
        **place,
        metric_type="cer",
        metric_name="CER (%)",
        metric_value=_percent(score.cer),
        metric_args=counted,
    )


def _percent(rate: float) -> float:
    return round(100 * rate, 2)


def _body(facts: CardFacts) -> str:
    start = "from random weights" if facts.from_scratch else f"from {facts.base or 'a local model'}"
    names = ", ".join(one.name for one in facts.sources)
    steps = f"{facts.steps:,} step{'s' if facts.steps != 1 else ''}"
    lines = [
        f"# {facts.name}",
        "",
        f"{CARD_TITLES[facts.kind]} trained for {steps} on {facts.hours:.2f} hours "
        f"({names}), {start}.",
        "",
        *_table(facts),
        "",
        "```",
        f"gaudi-asr infer --model {PLACE} file.wav",
        "```",
        "",
        "Trained with this recipe:",
        "",
        "```yaml",
        facts.recipe.rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _table(facts: CardFacts) -> Iterator[str]:
    if not facts.splits:
        yield "It was not scored."
        return
    rate = next(iter(facts.splits.values())).score.rate_name
    yield f"| data | {rate} (95 % interval) | CER | utterances | normaliser |"
    yield "|---|---|---|---|---|"
    for name, one in facts.splits.items():
        score = one.score
        yield (
            f"| {name} | {score.wer:.2%} ({score.wer_low:.2%}-{score.wer_high:.2%}) "
            f"| {score.cer:.2%} | {score.utterances} of {score.utterances_total} "
            f"| {score.normalizer} |"
        )
    if facts.selected_on in facts.splits:
        yield ""
        yield f"The checkpoint was selected by its score on {facts.selected_on}."


def check_card_values(*, license: str | None, language: str | None) -> None:
    """Check that a licence and a language are identifiers.

    Raises:
        UsageError: One of them is not.
    """
    for option, value, pattern in (
        ("license", license, _LICENSE),
        ("language", language, _LANGUAGE),
    ):
        if value is not None and not pattern.fullmatch(value):
            raise UsageError(
                f"--{option} {value}: not an identifier of a {option}.",
                remedy="Licences are written as huggingface.co/docs/hub/repositories-licenses has "
                "them, such as apache-2.0; languages as ISO 639 codes, such as tr.",
            )


def complete_card(text: str, *, license: str | None = None, language: str | None = None) -> str:
    """Return a card with the licence and the language set, and only hub ids as base models.

    Raises:
        DataError: The card's metadata cannot be read.
        UsageError: The licence or the language is no identifier.
    """
    check_card_values(license=license, language=language)
    card = open_card(text)
    for key, value in (("license", license), ("language", language)):
        if value is not None:
            card.data[key] = value
    base = card.data.get("base_model")
    if base is not None:
        named = base if isinstance(base, list) else [base]
        ids = [one for one in named if isinstance(one, str) and is_hub_model(one)]
        card.data["base_model"] = (ids if isinstance(base, list) else ids[0]) if ids else None
    return str(card)


def open_card(text: str) -> Any:
    """Return a card as huggingface_hub's `ModelCard`.

    Raises:
        DataError: Its metadata is not valid.
    """
    import yaml
    from huggingface_hub import ModelCard

    try:
        return ModelCard(text)
    except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"The metadata of the model card cannot be read: {reason}",
            remedy="Correct the YAML between the lines --- of model/README.md, or delete that file "
            "to publish without a card.",
        ) from error
