"""`create-seq2seq`: an encoder-decoder from two checkpoints, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
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

CHARACTERS_PER_S = 15.0
"""Read English (LibriSpeech has 14.5)."""

LEAST_POSITION_S = 2.0
"""wav2vec 2.0 has 2.56; with 0.64 a decoder of digits stayed at half of its words wrong."""


@dataclass(frozen=True, slots=True)
class CreateReport:
    """What was joined, and whether the two halves run at a like pace.

    `state_s` is the time from one encoder state to the next; `tokens_per_s` what the decoder
    writes of English read at `CHARACTERS_PER_S`.
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
        """What will make learning hard, and what to do about it."""
        if self.states_per_s < self.tokens_per_s:
            yield (
                f"The encoder has {self.states_per_s:.1f} states a second, the decoder writes "
                f"about {self.tokens_per_s:.1f} tokens of read speech: a state has to stand for "
                "several.",
                "Fewer --adapter-layers make more states, twice as many each.",
            )
        if self.position_s is not None and self.position_s < LEAST_POSITION_S:
            yield (
                f"The encoder's positional convolution covers {self.position_s:.2f} s: its states "
                "hardly tell the decoder which came first.",
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
    """Join the two and write model, tokenizer and feature extractor; the folder appears whole.

    Raises:
        UsageError: The folder exists, or cannot be made.
        DataError: One of the two is not what it should be.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    check_request(request)
    refuse_existing(out)
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


def refuse_existing(out: Path) -> None:
    """Say that a folder is taken before anything is loaded.

    Raises:
        UsageError: Something is there already.
    """
    if out.exists():
        raise UsageError(
            f"{out} exists already.", remedy="Name a new folder with --out: nothing is overwritten."
        )


def write_folder(joined: Joined, out: Path) -> None:
    """Write beside the folder first: one that was cut off in the middle is no model."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise UsageError(
            f"{out} cannot be made: {error.strerror}.",
            remedy="Choose a place where you may write with --out.",
        ) from error
    try:
        # mkdtemp lets nobody else in, which a model's folder should.
        unfinished.chmod(0o755)
        save_joined(joined, unfinished)
        unfinished.rename(out)
    finally:
        rmtree(unfinished, ignore_errors=True)
