"""Decoding of network outputs into transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.records import Transcript, Utterance, Vocabulary


class Decoder(Protocol):
    """Turns a row of a network's output into a transcript.

    The kind of output (`Emissions`, `Generated`) is that of the model it is used with.
    """

    def decode(self, output: Any, index: int, utterance: Utterance) -> Transcript:
        """Decode row `index` of the batch."""
        ...

    def condense(self, output: Any, index: int) -> Any:
        """Reduce row `index` to what `assemble` needs: small enough to keep for hours of audio."""
        ...

    def assemble(self, parts: Sequence[Any], utterance: Utterance) -> Transcript:
        """Assemble the transcript of condensed parts, in the order of their frames."""
        ...


class DecoderMaker(Protocol):
    """Makes a decoder for a vocabulary; with `characters`, they are timed as well."""

    def __call__(self, vocabulary: Vocabulary, *, characters: bool = False) -> Decoder: ...


DECODERS: dict[str, DecoderMaker] = {"greedy": GreedyDecoder}
