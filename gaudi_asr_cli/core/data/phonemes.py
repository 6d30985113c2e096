"""Transcripts as phonemes, the labels and references of phoneme recognition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from gaudi_asr_cli.core.data.espeak import open_espeak, read_espeak_version
from gaudi_asr_cli.core.records import Utterance


def pronounce_texts(
    utterances: Iterable[Utterance], language: str, clean: Callable[[str], str]
) -> tuple[Utterance, ...]:
    """Replace the text of each utterance by its phonemes, separated by spaces.

    Args:
        utterances: Utterances; those without text are left unchanged.
        language: espeak-ng's code of the language, such as `tr`.
        clean: Applied to the text first; removes what is not spoken.

    Raises:
        DataError: espeak-ng does not know the language.
        MachineError: The `demo` extra, which installs espeak-ng, is missing.
    """
    with open_espeak() as espeak:

        def pronounce(text: str) -> str:
            return " ".join(espeak.pronounce(clean(text), language))

        return tuple(
            utterance
            if utterance.text is None
            else replace(utterance, text=pronounce(utterance.text))
            for utterance in utterances
        )


def label_phonemes(language: str) -> str:
    """Return the normaliser label of a phoneme error rate: `phonemes tr, espeak-ng 0.2.4`."""
    return f"phonemes {language}, espeak-ng {read_espeak_version()}"
