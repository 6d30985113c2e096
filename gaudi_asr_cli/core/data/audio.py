"""Load audio: any format, sample rate and channel count to 16 kHz mono float32.

soundfile is tried first (fast, seeks to the sample); FFmpeg decodes what soundfile rejects or
decodes only in part. Of a damaged file the decodable part is returned, with the seconds lost.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.data.cells import read_cell
from gaudi_asr_cli.core.data.decoded import LOWEST_RATE_HZ, Decoded, find_end_s
from gaudi_asr_cli.core.data.ffmpeg import decode_with_ffmpeg, read_total_s_with_ffmpeg
from gaudi_asr_cli.core.data.headers import read_declared_s
from gaudi_asr_cli.core.data.paths import find_path_problem, shorten_path
from gaudi_asr_cli.core.data.raw import ENCODINGS, RAW_SUFFIXES
from gaudi_asr_cli.core.data.unreadable import file_errors
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, RawFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOSS_TOLERANCE_S = 0.1
"""Headers of mp3 and ogg are exact to a few frames of 26 ms; less than this is not a loss."""

_BUFFER_BYTES = 65_536
_BLOCK_FRAMES = 2**22


@dataclass(frozen=True, slots=True)
class LoadedAudio:
    """Audio at 16 kHz: `samples` is float32 (T,), mono.

    `lost_s` is how many seconds the header or the span declares and the file no longer holds.
    """

    samples: NDArray[np.float32]
    lost_s: float = 0.0


def load_audio(span: AudioSpan, *, channel: int | None = None) -> LoadedAudio:
    """Load only `span`, mixed down to mono (or one `channel`, counted from 0), at 16 kHz.

    Raises:
        DataError: The file is missing, empty, not audio, or nothing of the span can be decoded.
            Any other exception while reading becomes a DataError of the file too.
    """
    with file_errors(_name_of(span)):
        return _load(span, channel)


def _load(span: AudioSpan, channel: int | None) -> LoadedAudio:
    source = _Source.find(span)
    decoded = _decode(source, span)
    mono = _mix_down(decoded.samples, channel, source)
    if not np.isfinite(mono).all():
        raise DataError(
            f"{source.name}: some samples are not finite numbers.",
            remedy="The file is damaged: remove it from the data, or create it again.",
        )
    if decoded.rate_hz < LOWEST_RATE_HZ:
        raise DataError(
            f"{source.name}: the header declares {decoded.rate_hz} samples per second, too few "
            "for speech.",
            remedy="The header is damaged: remove the file from the data, or create it again.",
        )
    samples = _resample(mono, decoded.rate_hz)
    if len(samples) == 0:
        raise _no_audio(source, span, decoded.total_s)
    lost_s = _declared_end_s(source, span, decoded) - span.start_s - decoded.duration_s
    return LoadedAudio(samples, lost_s if lost_s > LOSS_TOLERANCE_S else 0.0)


def read_duration_s(span: AudioSpan) -> float:
    """Return the seconds that `span` covers, from the file's header alone: nothing is decoded.

    Raises:
        DataError: The file is missing, empty or not audio, or the span begins after its end.
            Any other exception while reading becomes a DataError of the file too.
    """
    with file_errors(_name_of(span)):
        total_s = _read_total_s(span)
        left_s = total_s - span.start_s
        if left_s <= 0:
            raise _no_audio(_Source.find(span), span, total_s)
        return left_s if span.duration_s is None else min(left_s, span.duration_s)


def read_total_s(span: AudioSpan) -> float:
    """Return the seconds of the whole file that `span` lies in, from its header.

    Raises:
        DataError: The file is missing, empty or not audio, or reading it fails.
    """
    with file_errors(_name_of(span)):
        return _read_total_s(span)


def _read_total_s(span: AudioSpan) -> float:
    source = _Source.find(span)
    total_s = _read_total_s_with_soundfile(source)
    if total_s is None and not source.may_be_headerless:
        with source.open() as file:
            total_s = read_total_s_with_ffmpeg(file)
    if total_s is None:
        raise _unreadable(source)
    return total_s


def read_rate_hz(span: AudioSpan) -> int:
    """Return the sample rate of the file that `span` lies in, from its header.

    Raises:
        DataError: The file is missing or empty, or libsndfile cannot read it.
    """
    import soundfile

    source = _Source.find(span)
    try:
        with source.open() as raw, soundfile.SoundFile(raw) as file:
            return int(file.samplerate)
    except (RuntimeError, ValueError) as error:
        raise _unreadable(source) from error


class _ForgivingFile(io.BufferedReader):
    """A file in which seeking to an impossible offset, as damaged headers ask for, goes to its end.

    A decoder would print an OSError raised while it reads, and go on: the error is kept in
    `failure` instead. Decoders look at `name`: soundfile reads no header of a file called `.raw`,
    and FFmpeg rejects a name that is not UTF-8.
    """

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(io.FileIO(path), _BUFFER_BYTES)
        self.failure: OSError | None = None
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return super().seek(0, io.SEEK_END)

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except OSError as error:
            self.failure = error
            return b""

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            return 0


class _ForgivingBytes(io.BytesIO):
    """The same for the bytes of a table's cell."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return super().seek(0, io.SEEK_END)


def _name_of(span: AudioSpan) -> str:
    row = "" if span.row is None else f", row {span.row}"
    return f"{shorten_path(span.path)}{row}"


@dataclass(frozen=True, slots=True)
class _Source:
    """Encoded audio: a file, or the bytes of a cell; errors call it `name`."""

    name: str
    path: Path | None
    data: bytes = b""
    raw: RawFormat | None = None

    @classmethod
    def find(cls, span: AudioSpan) -> _Source:
        name = _name_of(span)
        if span.row is None:
            return cls._check(name, span.path, span.raw)
        cell = read_cell(span)
        if isinstance(cell, Path):
            return cls._check(f"{name} ({shorten_path(cell)})", cell)
        return cls(name, None, cell)

    @classmethod
    def _check(cls, name: str, path: Path, raw: RawFormat | None = None) -> _Source:
        # A directory or a named pipe would hang or confuse the decoders.
        problem = find_path_problem(path)
        if problem is not None:
            raise DataError(
                f"{name}: {problem}",
                remedy="Check the path (relative paths start at the list that contains them) and "
                "its permissions; download an empty file again, or remove it from the data.",
            )
        return cls(name, path, raw=raw)

    @property
    def may_be_headerless(self) -> bool:
        """Whether it has no header, or a suffix of files without one."""
        if self.raw is not None:
            return True
        return self.path is not None and self.path.suffix.lower() in RAW_SUFFIXES

    @contextmanager
    def open(self, name: str | None = None) -> Iterator[IO[bytes]]:
        """Open it for a decoder under `name`, by default a name with its suffix."""
        if self.path is None:
            yield _ForgivingBytes(self.data)
            return
        suffix = self.path.suffix if self.path.suffix.isascii() else ""
        with _ForgivingFile(self.path, name or f"audio{suffix}") as file:
            yield file
            if file.failure is not None:
                raise file.failure

    @contextmanager
    def open_soundfile(self) -> Iterator[Any]:
        """Open it with libsndfile.

        Raises:
            RuntimeError: libsndfile cannot read it.
        """
        import soundfile

        with (
            self.open("audio") as encoded,
            soundfile.SoundFile(encoded, **self._arguments()) as file,
        ):
            # Raw quiet samples resemble the first bytes of an MP3 frame.
            if self.raw is None and self.may_be_headerless and file.format == "MP3":
                raise RuntimeError("samples, not MP3 frames")
            yield file

    def _arguments(self) -> dict[str, Any]:
        if self.raw is None:
            return {}
        subtype, endian = ENCODINGS[self.raw.encoding]
        return {
            "format": "RAW",
            "samplerate": self.raw.rate_hz,
            "channels": self.raw.channels,
            "subtype": subtype,
            "endian": endian,
        }


def _decode(source: _Source, span: AudioSpan) -> Decoded:
    """Decode with soundfile; where it fails or falls short, with FFmpeg too; return the longer."""
    first = _decode_with_soundfile(source, span)
    if first is not None and (source.raw is not None or not _falls_short(first, span)):
        return first
    if source.may_be_headerless:
        raise _unreadable(source)
    with source.open() as file:
        second = decode_with_ffmpeg(file, span)
    found = [decoded for decoded in (first, second) if decoded is not None]
    if not found:
        raise _unreadable(source)
    return max(found, key=lambda decoded: decoded.duration_s)


def _falls_short(decoded: Decoded, span: AudioSpan) -> bool:
    total_s = decoded.total_s or 0.0
    wanted_s = min(find_end_s(span, total_s), total_s) - span.start_s
    return wanted_s - decoded.duration_s > LOSS_TOLERANCE_S


def _decode_with_soundfile(source: _Source, span: AudioSpan) -> Decoded | None:
    """Decode the span with libsndfile; None where it cannot read the file."""
    try:
        with source.open_soundfile() as file:
            rate_hz, total_frames = int(file.samplerate), int(file.frames)
            start = min(round(span.start_s * rate_hz), total_frames)
            end_s = find_end_s(span, total_frames / rate_hz)
            stop = min(round(min(end_s * rate_hz, total_frames)), total_frames)
            file.seek(start)
            samples = _read_frames(file, stop - start)
    except (RuntimeError, ValueError):
        # LibsndfileError is a RuntimeError; FFmpeg is tried next, and its failure is an error.
        return None
    return Decoded(samples, rate_hz, total_frames / rate_hz)


def _read_frames(file: Any, frames: int) -> NDArray[np.float32]:
    """Read up to `frames` frames, as float32 (T, C)."""
    # In blocks: a damaged header may declare more frames than there is memory for.
    blocks = [np.zeros((0, file.channels), dtype=np.float32)]
    while frames > 0 and len(
        block := file.read(min(frames, _BLOCK_FRAMES), dtype="float32", always_2d=True)
    ):
        blocks.append(block)
        frames -= len(block)
    return blocks[1] if len(blocks) == 2 else np.concatenate(blocks)


def _read_total_s_with_soundfile(source: _Source) -> float | None:
    try:
        with source.open_soundfile() as file:
            return float(file.frames / file.samplerate)
    except (RuntimeError, ValueError):
        return None


def _declared_end_s(source: _Source, span: AudioSpan, decoded: Decoded) -> float:
    """Return where the span should end: as declared by the span, or by the file's header."""
    end_s = find_end_s(span, decoded.total_s)
    if end_s != float("inf"):
        return end_s
    if source.raw is not None:
        return decoded.total_s or 0.0
    with source.open() as file:
        declared_s = read_declared_s(file)
    return max(declared_s or 0.0, decoded.total_s or 0.0)


def _mix_down(
    samples: NDArray[np.float32], channel: int | None, source: _Source
) -> NDArray[np.float32]:
    """Reduce (T, C) to (T,): the mean of all channels, or one of them."""
    channels = samples.shape[1]
    if channel is None:
        return samples[:, 0] if channels == 1 else samples.mean(axis=1, dtype=np.float32)
    if not 0 <= channel < channels:
        raise DataError(
            f"{source.name}: there is no channel {channel}, the file has {channels}.",
            remedy=f"Channels are counted from 0: choose 0 to {channels - 1}, or none to mix.",
        )
    return samples[:, channel]


def _resample(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    if rate_hz == SAMPLE_RATE_HZ:
        return np.ascontiguousarray(samples)
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    return resampled


def _unreadable(source: _Source) -> DataError:
    if source.may_be_headerless:
        return DataError(
            f"{source.name}: samples without a header, so rate and format are unknown; "
            "infer --raw RATE:FORMAT reads such files (--raw 8000:s16le, for example).",
            remedy="Give rate and format with --raw, or convert the file to flac or wav.",
        )
    return DataError(
        f"{source.name}: neither libsndfile nor FFmpeg finds audio in it.",
        remedy="Check that it is a complete audio file; remove it from the data, or convert it to "
        "flac.",
    )


def _no_audio(source: _Source, span: AudioSpan, total_s: float | None) -> DataError:
    where = f" from {span.start_s:.2f} s on" if span.start_s else ""
    length = "" if total_s is None else f"; the file is {total_s:.2f} s long"
    return DataError(
        f"{source.name}: there is no audio{where}{length}.",
        remedy="Remove it from the data, or correct the start and duration of its row.",
    )
