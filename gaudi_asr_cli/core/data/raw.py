"""Headerless audio: samples whose rate and format the user must give."""

from __future__ import annotations

from difflib import get_close_matches

from gaudi_asr_cli.core.data.decoded import LOWEST_RATE_HZ
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.records import RawFormat

RAW_SUFFIXES = frozenset(
    {
        *(".raw", ".pcm", ".sln", ".sln16", ".sw", ".s8", ".u8", ".ub"),
        *(".s16", ".s16le", ".s16be", ".s24", ".s24le", ".s32", ".s32le", ".f32", ".f32le"),
        *(".ul", ".ulaw", ".mulaw", ".ulw", ".al", ".alaw"),
    }
)
"""Suffixes of headerless files; if such a file has a header nevertheless, the header is used."""

ENCODINGS = {
    "s16le": ("PCM_16", "LITTLE"),
    "s16be": ("PCM_16", "BIG"),
    "s24le": ("PCM_24", "LITTLE"),
    "s32le": ("PCM_32", "LITTLE"),
    "f32le": ("FLOAT", "LITTLE"),
    "u8": ("PCM_U8", "FILE"),
    "mulaw": ("ULAW", "FILE"),
    "alaw": ("ALAW", "FILE"),
}
"""FORMAT of `--raw` -> libsndfile's subtype and byte order."""

HIGHEST_RATE_HZ = 768_000
MAX_CHANNELS = 64


def parse_raw_format(word: str) -> RawFormat:
    """Read `RATE:FORMAT` or `RATE:FORMAT:CHANNELS`.

    Raises:
        UsageError: It is not of that form, or one of the values makes no sense.
    """
    rate, _, rest = word.partition(":")
    encoding, _, channels = rest.partition(":")
    problem = (
        _find_number_problem("RATE", rate, LOWEST_RATE_HZ, HIGHEST_RATE_HZ)
        or _find_encoding_problem(encoding)
        or _find_number_problem("CHANNELS", channels or "1", 1, MAX_CHANNELS)
    )
    if problem is not None:
        raise UsageError(
            f"--raw {word}: {problem}",
            remedy="Give RATE:FORMAT or RATE:FORMAT:CHANNELS, for example 8000:s16le or "
            f"44100:f32le:2; formats are {', '.join(ENCODINGS)}.",
        )
    return RawFormat(int(rate), encoding, int(channels or 1))


def _find_number_problem(name: str, word: str, lowest: int, highest: int) -> str | None:
    # The limit on digits spares converting an absurdly long number.
    if word.isascii() and word.isdecimal() and len(word) < 10 and lowest <= int(word) <= highest:
        return None
    return f"{name} is '{word}', not a whole number from {lowest:,} to {highest:,}."


def _find_encoding_problem(word: str) -> str | None:
    if word in ENCODINGS:
        return None
    near = get_close_matches(word, ENCODINGS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"there is no FORMAT '{word}'.{hint}"
