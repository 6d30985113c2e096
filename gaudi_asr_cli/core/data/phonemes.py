"""Transcripts as phonemes: what a recogniser of phonemes learns and is scored on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from gaudi_asr_cli.core.data.espeak import open_espeak, read_espeak_version
from gaudi_asr_cli.core.records import Utterance


def pronounce_texts(
    utterances: Iterable[Utterance], language: str, clean: Callable[[str], str]
) -> tuple[Utterance, ...]:
    """The utterances with the phonemes of their cleaned text, separated by spaces, as their text.

    Args:
        utterances: Those without text stay so.
        language: espeak-ng's name of it, such as `tr`.
        clean: Takes out of the text what is not to be spoken.

    Raises:
        DataError: espeak-ng does not know the language.
        MachineError: The `demo` extra, which holds espeak-ng, is not installed.
    """
    with open_espeak() as espeak:

        def pronounce(text: str) -> str:
            return " ".join(espeak.pronounce(clean(text), language))

        return tuple(
            one if one.text is None else replace(one, text=pronounce(one.text))
            for one in utterances
        )


def label_phonemes(language: str) -> str:
    """What stands for the normaliser of a phoneme error rate: `phonemes tr, espeak-ng 0.2.4`."""
    return f"phonemes {language}, espeak-ng {read_espeak_version()}"
