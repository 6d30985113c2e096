"""Sequential decoding of long MP3 files.

Every other format can be read from any position. An MP3 frame needs bits of the frames before it,
so a decoder that starts in the middle is wrong for a moment, and libmpg123 warns about it on
standard error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.data.audio import LOSS_TOLERANCE_S, LoadedAudio
from gaudi_asr_cli.core.data.decoded import LOWEST_RATE_HZ
from gaudi_asr_cli.core.data.paths import shorten_path
from gaudi_asr_cli.core.data.raw import RAW_SUFFIXES
from gaudi_asr_cli.core.data.unreadable import file_errors
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

BLOCK_S = 60


def is_mp3(span: AudioSpan) -> bool:
    """Return whether the span is a whole MP3 file that `stream_mp3` can read."""
    import soundfile

    whole = span.row is None and span.start_s == 0 and span.duration_s is None
    if not whole or span.raw is not None or span.path.suffix.lower() in RAW_SUFFIXES:
        return False
    try:
        # As bytes: soundfile rejects a str that is not UTF-8.
        info = soundfile.info(os.fsencode(span.path))
    except (RuntimeError, OSError):
        # LibsndfileError is a RuntimeError; loading the file reports what is wrong with it.
        return False
    return str(info.format) == "MP3" and int(info.samplerate) >= LOWEST_RATE_HZ


def stream_mp3(span: AudioSpan, *, channel: int | None = None) -> Iterator[LoadedAudio]:
    """Yield what `load_audio` would return, in blocks of about a minute.

    The last block has the seconds that the header declares and the file lacks.

    Raises:
        DataError: There is no such channel, or reading the file fails.
    """
    with file_errors(shorten_path(span.path)):
        yield from _stream(span, channel)


def _stream(span: AudioSpan, channel: int | None) -> Iterator[LoadedAudio]:
    import soundfile

    class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            # In a seekable file, soundfile seeks to the current position after every block.
            return False

    with ForwardFile(os.fsencode(span.path)) as file:
        declared_s = file.frames / file.samplerate
        if channel is not None and not 0 <= channel < file.channels:
            raise DataError(
                f"{span.path}: there is no channel {channel}, the file has {file.channels}.",
                remedy=f"Channels are counted from 0: choose 0 to {file.channels - 1}, or none.",
            )
        read = 0
        for block in _resample(_read_mono(file, channel), int(file.samplerate)):
            read += len(block)
            yield LoadedAudio(block)
    lost_s = declared_s - read / SAMPLE_RATE_HZ
    yield LoadedAudio(np.zeros(0, np.float32), lost_s if lost_s > LOSS_TOLERANCE_S else 0.0)


def _read_mono(file: Any, channel: int | None) -> Iterator[Samples]:
    """Yield blocks (T,) at the file's sample rate: the mean of all channels, or one of them."""
    while len(samples := _read_block(file)):
        yield samples.mean(axis=1, dtype=np.float32) if channel is None else samples[:, channel]


def _read_block(file: Any) -> Samples:
    """Read the next samples (T, C); none at the end, or where decoding fails."""
    try:
        block: Samples = file.read(BLOCK_S * file.samplerate, dtype="float32", always_2d=True)
    except RuntimeError:
        # libsndfile cannot go on; the rest is counted as lost.
        return np.zeros((0, file.channels), dtype=np.float32)
    return block


def _resample(blocks: Iterator[Samples], rate_hz: int) -> Iterator[Samples]:
    """Resample the blocks to 16 kHz; the filter keeps its state between blocks."""
    if rate_hz == SAMPLE_RATE_HZ:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
