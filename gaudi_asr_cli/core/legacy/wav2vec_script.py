"""Habana's wav2vec.py as today's bench: LibriSpeech test-clean, heard by the trained model."""

from __future__ import annotations

from itertools import pairwise

from gaudi_asr_cli.core.legacy.translating import Draft, OldNotice, Spell, Translation

NAME = "wav2vec.py"
MARKS = frozenset({"use_graphs", "dev_clean_ds", "data_path", "multi_thread", "graph_async"})
"""Flags that only the script spelt so, with underscores."""
SHORT_MARKS = frozenset({"-dt", "-g"})

SHORT = {
    "-dt": "--dtype", "-l": "--limit", "-r": "--repeat", "-b": "--buckets", "-a": "--accuracy",
    "-p": "--perf", "-g": "--graph_async",
}  # fmt: skip
"""Its short spellings. Its -m 0 or 1 is --multi_thread, any other today's --model."""

BASE, LARGE = "facebook/wav2vec2-base-960h", "facebook/wav2vec2-large-960h-lv60-self"
TEST_CLEAN = ("openslr/librispeech_asr", "clean", "test")
DUMMY = ("hf-internal-testing/librispeech_asr_dummy", "clean", "validation")
"""Data set, configuration, split. The second has 73 utterances of dev-clean."""


def expand_short(words: list[str]) -> list[str]:
    """Long spellings instead of the script's short ones."""
    spelt = [SHORT.get(word, word) for word in words]
    for place, (word, value) in enumerate(pairwise(spelt)):
        if word == "-m" and value in {"0", "1"}:
            spelt[place] = "--multi_thread"
    return spelt


def translate_wav2vec(draft: Draft, spell: Spell) -> Translation:
    """The whole command.

    Raises:
        UsageError: A value is of the wrong kind.
    """
    given = draft.given
    large = given.is_true("large")
    options = ["--model", LARGE if large else BASE, *(["--large"] if large else [])]
    options += _data_options(draft)
    for name, default in (("dtype", "fp32"), ("buckets", "0"), ("limit", "0"), ("repeat", "1")):
        options += [f"--{name}", given.values.get(name, default)]
    # The script ran in the mode that has graphs, which was the only one; elsewhere it is no matter.
    options += ["--bucket-rule", "quantile", "--hpu-mode", "lazy"]
    options.append("--graphs" if given.is_true("use_graphs") else "--no-graphs")
    options += [f"--{name}" for name in ("accuracy", "perf", "profile") if given.is_true(name)]
    return Translation(
        script=NAME,
        settings={},
        options=tuple(options),
        rest=given.rest,
        notices=(*draft.notices(spell), *_unasked(draft)),
        trains=False,
    )


def _data_options(draft: Draft) -> list[str]:
    folder = draft.given.values.get("data_path")
    if folder is not None:
        return ["--data", folder]
    name, config, split = DUMMY if draft.given.is_true("dev_clean_ds") else TEST_CLEAN
    return ["--data", name, "--config", config, "--split", split]


def _unasked(draft: Draft) -> tuple[OldNotice, ...]:
    """What the script did without a flag."""
    model = LARGE if draft.given.is_true("large") else BASE
    return (
        OldNotice(
            "",
            "set",
            f"as the script had it: {model} hears LibriSpeech, so both must be within reach; "
            "bench --graphs hears synthetic speech without either",
        ),
        OldNotice(
            "",
            "set",
            "several utterances are heard at once where the device gains from it; the script "
            "heard one at a time, as --batch-seconds 0.1 does",
        ),
    )
