"""Datasets that were removed from the hub or renamed, and their replacements."""

from __future__ import annotations

from fnmatch import fnmatchcase

_COMMON_VOICE = (
    "The hub's copies of Common Voice were emptied. Download the language's release from "
    "https://datacollective.mozillafoundation.org, unpack it, and give its folder: "
    "commonvoice:DIR/LANGUAGE#train"
)

MOVED_IDS = {
    "librispeech_asr": "It is now openslr/librispeech_asr, with --config clean or other.",
    "common_voice": _COMMON_VOICE,
    "mozilla-foundation/*": _COMMON_VOICE,
    "legacy-datasets/common_voice": _COMMON_VOICE,
    "multilingual_librispeech": "It is now facebook/multilingual_librispeech, with --config "
    "german, dutch, french, spanish, italian, portuguese or polish.",
    "timit_asr": "TIMIT was never free: get LDC93S1 from https://catalog.ldc.upenn.edu/LDC93S1 "
    "and give a manifest or table of it.",
}
"""Pattern of the id -> what to use instead."""

RENAMED_IDS = {
    "librispeech_asr": "openslr/librispeech_asr",
    "multilingual_librispeech": "facebook/multilingual_librispeech",
}
"""Renamed datasets that kept their configurations and splits."""


def find_replacement(name: str) -> str | None:
    """Return what to use in place of the dataset `name`; None where it is not known to be gone."""
    advice = (text for pattern, text in MOVED_IDS.items() if fnmatchcase(name, pattern))
    return next(advice, None)
