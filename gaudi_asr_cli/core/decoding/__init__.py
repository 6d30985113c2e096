"""CTC decoders: a new one is a file that defines a `DecoderSpec`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.registry import Registry

if TYPE_CHECKING:
    from gaudi_asr_cli.core.decoding.base import Decoder, DecoderSpec
    from gaudi_asr_cli.core.records import Vocabulary

DECODERS: Registry[DecoderSpec] = Registry(
    "decoder",
    {
        "greedy": "gaudi_asr_cli.core.decoding.greedy:GREEDY",
        "beam": "gaudi_asr_cli.core.decoding.beam:BEAM",
    },
)
"""Value of `--decoder` -> its record."""

DEFAULT_DECODER = "greedy"
BEAM_DECODER = "beam"
"""The decoder of a beam size, a language model or hotwords."""


def make_decoder(name: str, vocabulary: Vocabulary, **options: Any) -> Decoder:
    """Make the decoder of that name; an option that is None or False is left out.

    Raises:
        UsageError: The name is unknown, or the decoder does not take an option that is given.
    """
    spec = DECODERS.find(name)
    given = {
        option: value
        for option, value in options.items()
        # Not `in`: a weight of 0 equals False.
        if value is not None and value is not False
    }
    unknown = [option for option in given if option not in spec.options]
    if unknown:
        raise UsageError(
            f"The decoder {name} does not take the option {unknown[0]!r}.",
            remedy=f"It takes {', '.join(spec.options) or 'no option'}; choose another --decoder, "
            "or leave the option out.",
        )
    return spec.make(vocabulary, **given)
