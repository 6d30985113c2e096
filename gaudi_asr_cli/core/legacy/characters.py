"""The characters that `--chars_to_ignore` removed through an unescaped regular expression."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence

_PRINTABLE = "".join(map(chr, range(33, 127)))


def named_characters(items: Sequence[str]) -> str:
    """Return the named characters, each once, in order; spaces were never removed."""
    return "".join(dict.fromkeys("".join(items).replace(" ", "")))


def script_pattern(items: Sequence[str]) -> str:
    """Return the scripts' character class, in which `! - ;` is the range from `!` to `;`."""
    return f"[{''.join(items).replace(' ', '')}]"


def count_unnamed_removals(pattern: str, named: str, texts: Iterable[str]) -> dict[str, int]:
    """Count the characters of `texts` that the script would have removed without naming them.

    Args:
        pattern: The result of `script_pattern`.
        named: The result of `named_characters`: what is removed here.
        texts: Transcripts as they are in the data.

    Returns:
        Character -> count, the most frequent first; empty where the pattern is not a valid regular
        expression (the script then stopped with an error).
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    removed = _matching(pattern, "".join(counts))
    unnamed = {character: counts[character] for character in removed if character not in named}
    return dict(sorted(unnamed.items(), key=lambda item: (-item[1], item[0])))


def unnamed_ascii_removals(pattern: str, named: str) -> str:
    """Return the printable ASCII characters that the pattern matches but the flag does not name."""
    matching = _matching(pattern, _PRINTABLE)
    return "".join(character for character in matching if character not in named)


def _matching(pattern: str, characters: str) -> str:
    try:
        with warnings.catch_warnings():
            # Python warns that `[[` and `--` in a class may change their meaning.
            warnings.simplefilter("ignore")
            found = re.findall(pattern, characters)
    except re.error:
        return ""
    return "".join(found)
