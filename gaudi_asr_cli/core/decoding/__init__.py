"""From what a network says to transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.records import Transcript, Utterance, Vocabulary


class Decoder(Protocol):
    """Anything that turns a row of what a network says into a transcript.

    Which kind of output it takes (`Emissions`, `Generated`) is that of the model it is used with.
    """

    def decode(self, output: Any, index: int, utterance: Utterance) -> Transcript:
        """The transcript of row `index` of the batch."""
        ...

    def condense(self, output: Any, index: int) -> Any:
        """What `spell` needs of row `index`: little enough to keep for hours of sound."""
        ...

    def spell(self, parts: Sequence[Any], utterance: Utterance) -> Transcript:
        """The transcript of what was condensed, in the order of the frames."""
        ...


class DecoderMaker(Protocol):
    """Makes a decoder for a vocabulary; `characters` are timed too where that is wanted."""

    def __call__(self, vocabulary: Vocabulary, *, characters: bool = False) -> Decoder: ...


DECODERS: dict[str, DecoderMaker] = {"greedy": GreedyDecoder}
