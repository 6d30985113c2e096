"""Rows that cannot be used: the utterance carries the reason, and the other rows are read."""

from __future__ import annotations

from pathlib import Path

from gaudi_asr_cli.core.records import AudioSpan, Utterance


class RowError(Exception):
    """One row of a list cannot be used; the message gives the reason, without naming the row."""


def reject_row(
    origin: str, reason: object, span: AudioSpan, name: str = "", text: str | None = None
) -> Utterance:
    """Return an utterance in place of a row that cannot be used.

    Args:
        origin: The list and the line.
        reason: What is wrong with the row.
        span: The audio of the row, or the list where the row names none.
        name: The utterance's id; the file's name by default.
        text: The transcript of the row, which is counted for a vocabulary nevertheless.
    """
    return Utterance(
        make_printable(name or span.path.stem),
        span,
        # Not with lone surrogates: their escapes would be counted as characters.
        text=text if text is None or make_printable(text) == text else None,
        origin=origin,
        rejection=make_printable(f"{origin}: {reason}"),
    )


def reject_unprintable(value: str, what: str) -> str:
    """Return `value`, unless it contains a lone surrogate, which cannot be written to a file.

    Raises:
        RowError: It contains one.
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        code = f"\\u{ord(value[error.start]):04x}"
        raise RowError(
            f"{what} holds {code}, half of a character (a lone surrogate); write the row again"
        ) from error
    return value


def make_printable(text: str) -> str:
    """Return `text` with lone surrogates written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def find_printable_path(path: Path) -> Path:
    """Return a path that can be shown in messages and written to files."""
    return Path(make_printable(str(path)).replace("\0", "\\0"))
