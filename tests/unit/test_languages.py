"""Names of languages: those of transformers' Whisper."""

from gaudi_asr_cli.core.languages import CODES_BY_NAME


def test_the_names_and_codes_are_those_of_transformers():
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    assert CODES_BY_NAME == TO_LANGUAGE_CODE
