"""What `--chars_to_ignore` removed: the scripts made a regular expression of it, unescaped."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence

_PRINTABLE = "".join(map(chr, range(33, 127)))


def named_characters(items: Sequence[str]) -> str:
    """The characters that are named, each once, in order; spaces never were removed."""
    return "".join(dict.fromkeys("".join(items).replace(" ", "")))


def script_pattern(items: Sequence[str]) -> str:
    """The character class that the scripts made: `! - ;` became the range from ! to ;."""
    return f"[{''.join(items).replace(' ', '')}]"


def count_formerly_removed(pattern: str, named: str, texts: Iterable[str]) -> dict[str, int]:
    """How often the script would have removed characters of `texts` that nobody named.

    Args:
        pattern: Of `script_pattern`.
        named: Of `named_characters`: what is removed today.
        texts: Transcripts as they stand in the data.

    Returns:
        Character -> count, commonest first; empty where the pattern is no valid expression (the
        script stopped with an error then).
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    removed = _matching(pattern, "".join(counts))
    besides = {one: counts[one] for one in removed if one not in named}
    return dict(sorted(besides.items(), key=lambda item: (-item[1], item[0])))


def removed_besides(pattern: str, named: str) -> str:
    """Printable ASCII characters that the pattern takes though nobody named them."""
    return "".join(one for one in _matching(pattern, _PRINTABLE) if one not in named)


def _matching(pattern: str, characters: str) -> str:
    try:
        with warnings.catch_warnings():
            # `[[` and `--` in a class warn of a meaning that they may get one day.
            warnings.simplefilter("ignore")
            found = re.findall(pattern, characters)
    except re.error:
        return ""
    return "".join(found)
