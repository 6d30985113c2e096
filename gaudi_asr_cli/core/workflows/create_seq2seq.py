"""`create-seq2seq`: build an encoder-decoder from a speech encoder and a text decoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.models.seq2seq.warm_start import (
    Joined,
    WarmStart,
    Weights,
    check_request,
    join,
    save_joined,
)
from gaudi_asr_cli.core.whole_files import open_whole_folder

CHARACTERS_PER_S = 15.0
"""Characters per second of read English (LibriSpeech has 14.5)."""

MIN_POSITION_S = 2.0
"""Least span of the positional convolution: wav2vec 2.0 has 2.56 s; with 0.64 s a decoder of
digits did not get below a WER of 50 %."""


@dataclass(frozen=True, slots=True)
class CreateReport:
    """The new model, and the rates of encoder and decoder.

    `state_s` is the stride of the encoder states in seconds; `tokens_per_s` the tokens per second
    of English read at `CHARACTERS_PER_S`.
    """

    out: Path
    encoder: str
    decoder: str
    weights: tuple[Weights, ...]
    state_s: float
    position_s: float | None
    characters_per_token: float
    max_tokens: int
    beams: int
    tokens: int

    @property
    def states_per_s(self) -> float:
        return 1 / self.state_s

    @property
    def tokens_per_s(self) -> float:
        return CHARACTERS_PER_S / self.characters_per_token

    @property
    def warnings(self) -> Iterator[tuple[str, str]]:
        """Yield (problem, remedy) for everything that makes training hard."""
        if self.states_per_s < self.tokens_per_s:
            yield (
                f"The encoder has {self.states_per_s:.1f} states per second, read speech has "
                f"about {self.tokens_per_s:.1f} tokens per second: a state has to stand for "
                "several tokens.",
                "Use fewer --adapter-layers: each one less doubles the states.",
            )
        if self.position_s is not None and self.position_s < MIN_POSITION_S:
            yield (
                f"The encoder's positional convolution covers {self.position_s:.2f} s: its states "
                "hardly encode their order for the decoder.",
                "Widen it with --position-frames 256.",
            )

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "create-seq2seq/1",
            **asdict(self),
            "out": str(self.out),
            "tokens_per_s": self.tokens_per_s,
            "states_per_s": self.states_per_s,
            "warnings": [message for message, _ in self.warnings],
        }


def create_seq2seq(request: WarmStart, out: Path) -> CreateReport:
    """Join both and write model, tokenizer and feature extractor to a new folder, atomically.

    Raises:
        UsageError: The folder exists, or cannot be created.
        DataError: One of the two is not a model of the required kind.
        UnreachableError: A hub id is neither cached nor reachable.
    """
    check_request(request)
    require_new_folder(out)
    joined = join(request)
    write_folder(joined, out)
    return CreateReport(
        out=out,
        encoder=request.encoder,
        decoder=request.decoder,
        weights=joined.weights,
        state_s=joined.state_s,
        position_s=joined.position_s,
        characters_per_token=joined.characters_per_token,
        max_tokens=joined.network.generation_config.max_length,
        beams=joined.network.generation_config.num_beams,
        tokens=len(joined.tokenizer),
    )


def require_new_folder(out: Path) -> None:
    """Check that the output folder is new, before anything is loaded.

    Raises:
        UsageError: The path exists.
    """
    if out.exists():
        raise UsageError(
            f"{out} exists already.", remedy="Name a new folder with --out: nothing is overwritten."
        )


def write_folder(joined: Joined, out: Path) -> None:
    """Write to a temporary folder next to `out` and rename it, so that `out` is never partial.

    Raises:
        UsageError: The folder cannot be created.
    """
    try:
        with open_whole_folder(out) as unfinished:
            save_joined(joined, unfinished)
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise UsageError(
            f"{out} cannot be created: {error.strerror}.",
            remedy="Choose a folder that you can write to with --out.",
        ) from error
