"""The interface of all decoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gaudi_asr_cli.core.records import Transcript, Utterance


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


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """A CTC decoder of the registry.

    Args:
        make: Makes the decoder of a vocabulary; keyword arguments are its options.
        options: Names of the options that it takes, as `characters`: time characters too.
    """

    make: Callable[..., Decoder]
    options: tuple[str, ...] = ()
