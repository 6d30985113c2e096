"""Datasets that have left the hub or changed their name, and where their speech is now."""

from __future__ import annotations

from fnmatch import fnmatchcase

_COMMON_VOICE = (
    "The hub's copies of Common Voice were emptied. Download the language's release from "
    "https://datacollective.mozillafoundation.org, unpack it, and give its folder: "
    "commonvoice:DIR/LANGUAGE#train"
)

MOVED_IDS = {
    "librispeech_asr": "Its name is openslr/librispeech_asr now, with --config clean or other.",
    "common_voice": _COMMON_VOICE,
    "mozilla-foundation/*": _COMMON_VOICE,
    "legacy-datasets/common_voice": _COMMON_VOICE,
    "multilingual_librispeech": "Its name is facebook/multilingual_librispeech now, with --config "
    "german, dutch, french, spanish, italian, portuguese or polish.",
    "timit_asr": "TIMIT was never free: get LDC93S1 from https://catalog.ldc.upenn.edu/LDC93S1 "
    "and give a manifest or table of it.",
}
"""Pattern of the id -> what to use instead."""

RENAMED_IDS = {
    "librispeech_asr": "openslr/librispeech_asr",
    "multilingual_librispeech": "facebook/multilingual_librispeech",
}
"""Those whose speech is on the hub under another name, with the same configurations and splits."""


def find_replacement(name: str) -> str | None:
    """What to use in place of the dataset `name`; None where it may well be alive."""
    return next((told for pattern, told in MOVED_IDS.items() if fnmatchcase(name, pattern)), None)
