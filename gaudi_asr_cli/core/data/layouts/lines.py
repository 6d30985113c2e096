"""Lines of a text file with their numbers, for error messages."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from gaudi_asr_cli.core.errors import DataError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of every line that is not blank, without its line end.

    Raises:
        DataError: The file cannot be read, or a line is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = _decode(raw, path, number).rstrip("\r\n")
                if number == 1 and "\r" in line:
                    raise _old_line_ends(path)
                if line.strip():
                    yield number, line
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}.", remedy="Check the path and its permissions."
        ) from error


def _old_line_ends(path: Path) -> DataError:
    return DataError(
        f"{path}, line 1: its lines end with a carriage return alone, as on old Macs.",
        remedy="Convert the file, for example: tr '\\r' '\\n' < OLD > NEW",
    )


def _decode(raw: bytes, path: Path, number: int) -> str:
    if number == 1 and (raw.startswith(_UTF_16) or raw.count(0) > len(raw) // 4):
        raise DataError(
            f"{path}: this looks like UTF-16, not UTF-8.",
            remedy="Convert the file, for example: iconv -f utf-16 -t utf-8 OLD > NEW "
            "(utf-16le or utf-16be where it begins without a byte order mark)",
        )
    try:
        # Excel and PowerShell write a byte order mark at the start.
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}: this is not UTF-8 ({error.reason}).",
            remedy="Convert the file, for example: iconv -f latin1 -t utf-8 OLD > NEW",
        ) from error
