"""The package speaks the field's terms: docs/glossary.md says which, and which words are banned."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BANNED = (
    *("hear", "hears", "heard", "hearing", "listen", "listens", "listener", "listening", "ear"),
    *("scribe", "author", "spelt", "spelling", "mend", "mends", "told", "naught", "whoever"),
    *("made up", "models that write", "passed over"),
)
ALLOWED: dict[str, str] = {
    '_JSON_KEYS = {"skipped": "passed_over"}': "a key of the JSON of infer, which stays",
}
WORDS = re.compile(rf"\b({'|'.join(map(re.escape, BANNED))})\b")


def find_banned(text: str) -> list[str]:
    """Return the banned words of a text; identifiers are split at underscores and capitals."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", text)
    return WORDS.findall(" ".join(apart.lower().split()))


def banned_lines():
    files = [
        *ROOT.glob("gaudi_asr_cli/**/*.py"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("recipes/**/*.yaml"),
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    ]
    for file in sorted(files):
        if file.name == "glossary.md":  # it names them
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            for word in find_banned(line):
                if line.strip() not in ALLOWED:
                    yield f"{file.relative_to(ROOT)}:{number}: {word}: {line.strip()}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class BatchListener:", ["listener"]),
        ("def is_heard_alone(one):", ["heard"]),
        ("Models that  write with a decoder", ["models that write"]),
        ("a year, the heart, foretold, clearing", []),
    ],
)
def test_a_planted_word_is_found_in_names_and_sentences(text, words):
    assert find_banned(text) == words


def test_no_banned_word_stands_in_code_help_or_docs():
    assert list(banned_lines()) == []


def test_the_list_of_exceptions_is_short_and_needed():
    lines = {
        line.strip()
        for file in ROOT.glob("gaudi_asr_cli/**/*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
    }

    assert len(ALLOWED) <= 15
    assert set(ALLOWED) <= lines
