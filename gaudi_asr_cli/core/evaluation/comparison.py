"""How a reference and a hypothesis are compared: normalisation, its label, and the unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from gaudi_asr_cli.core.records import Unit
from gaudi_asr_cli.core.text.casing import Casing, casing_of
from gaudi_asr_cli.core.text.normalizers import follows_language, label_normalizer, open_normalizer
from gaudi_asr_cli.core.text.rules import TextRules


@dataclass(frozen=True, slots=True)
class TextComparison:
    """The normalisation of both texts, its label, and the unit that errors are counted in.

    `normalizer` and `rules` are what `normalize` consists of, for notes on the texts.
    """

    normalize: Callable[[str], str]
    label: str
    unit: Unit = "word"
    normalizer: str = "none"
    rules: TextRules = field(default_factory=TextRules)


def plan_comparison(
    normalizer: str, rules: TextRules | None = None, language: str | None = None
) -> TextComparison:
    """Plan the comparison of words.

    Args:
        normalizer: Name of a normaliser, such as `basic`.
        rules: Applied to both texts before it.
        language: Its case rules are used where the texts are folded.

    Raises:
        UsageError: There is no such normaliser.
    """
    given = TextRules() if rules is None else rules
    rules = replace(given, language=_find_casing(normalizer, given, language))
    normalize = open_normalizer(normalizer, rules.language)
    return TextComparison(
        normalize=_after(rules, normalize),
        label=_label(normalizer, rules),
        normalizer=normalizer,
        rules=rules,
    )


def compare_phonemes(label: str) -> TextComparison:
    """Return the comparison of phonemes separated by spaces, which are not normalised."""
    return TextComparison(open_normalizer("none"), label, "phoneme")


def _after(rules: TextRules, normalize: Callable[[str], str]) -> Callable[[str], str]:
    if replace(rules, language=None) == TextRules():
        return normalize
    return lambda text: normalize(rules.clean(text))


def _find_casing(normalizer: str, rules: TextRules, language: str | None) -> Casing | None:
    """Return the case rules of the language, if the texts are folded at all."""
    folds = rules.case != "keep" or follows_language(normalizer)
    return casing_of(language or rules.language) if folds else None


def _label(normalizer: str, rules: TextRules) -> str:
    """Return name and version of the normaliser, and the rules applied before it."""
    label = label_normalizer(normalizer)
    default = TextRules()
    changed = [
        f"{name}={value!r}"
        for name, value in asdict(rules).items()
        if value != getattr(default, name)
    ]
    return " ".join([label, *changed])
