"""From a place in a file to sound: any format, rate and channel count to 16 kHz mono float32.

soundfile reads first (fast, seeks to the sample); FFmpeg reads what soundfile refuses and what it
gives up on. A damaged file yields what is left, and says how much is lost.
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
from gaudi_asr_cli.core.data.headers import read_promised_s
from gaudi_asr_cli.core.data.paths import find_path_problem, shorten_path
from gaudi_asr_cli.core.data.raw import ENCODINGS, RAW_SUFFIXES
from gaudi_asr_cli.core.data.unreadable import file_errors
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, RawFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOSS_TOLERANCE_S = 0.1
"""Headers of mp3 and ogg are honest to a few frames of 26 ms; less than this is not a loss."""

_BUFFER_BYTES = 65_536
_BLOCK_FRAMES = 2**22


@dataclass(frozen=True, slots=True)
class LoadedAudio:
    """Sound at 16 kHz: `samples` is float32 (T,), mono.

    `lost_s` is what the header or the span promised and the file no longer holds, in seconds.
    """

    samples: NDArray[np.float32]
    lost_s: float = 0.0


def load_audio(span: AudioSpan, *, channel: int | None = None) -> LoadedAudio:
    """Read only `span`, mixed down to mono (or one `channel`, counted from 0), at 16 kHz.

    Raises:
        DataError: The file is missing, empty, not audio, or nothing of the span can be decoded;
            whatever else goes wrong is the file's error too.
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
            remedy="The file is damaged: take it out of the data, or write it anew.",
        )
    if decoded.rate_hz < LOWEST_RATE_HZ:
        raise DataError(
            f"{source.name}: the header says {decoded.rate_hz} samples a second, too few for "
            "speech.",
            remedy="The header is damaged: take the file out of the data, or write it anew.",
        )
    samples = _resample(mono, decoded.rate_hz)
    if len(samples) == 0:
        raise _no_audio(source, span, decoded.total_s)
    lost_s = _promised_end_s(source, span, decoded) - span.start_s - decoded.duration_s
    return LoadedAudio(samples, lost_s if lost_s > LOSS_TOLERANCE_S else 0.0)


def read_duration_s(span: AudioSpan) -> float:
    """Seconds that `span` covers, from the file's header alone: no sound is decoded.

    Raises:
        DataError: The file is missing, empty or not audio, or the span begins after its end;
            whatever else goes wrong is the file's error too.
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
        DataError: The file is missing, empty or not audio; whatever else goes wrong is its error.
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
    """Return the samples a second of the file that `span` lies in, from its header.

    Raises:
        DataError: The file is missing or empty, or libsndfile does not read it.
    """
    import soundfile

    source = _Source.find(span)
    try:
        with source.open() as raw, soundfile.SoundFile(raw) as file:
            return int(file.samplerate)
    except (RuntimeError, ValueError) as error:
        raise _unreadable(source) from error


class _ForgivingFile(io.BufferedReader):
    """A file whose damaged header may send a decoder to any place: a wild one is its end.

    What the system raises while a decoder reads would be printed by the decoder and forgotten: it
    is kept in `failure`. `name` is what decoders go by: soundfile takes no header for one called
    `.raw`, and FFmpeg no name that is not UTF-8.
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
    """The same for bytes that are a cell of a table."""

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
    """Encoded audio: a file, or the bytes of a cell; `name` is what errors call it."""

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
                remedy="Check the path (relative ones start at the list that names them) and who "
                "may read it; fetch an empty file again, or take it out of the data.",
            )
        return cls(name, path, raw=raw)

    @property
    def may_be_headerless(self) -> bool:
        """Whether it has no header, or is called as files without one are."""
        if self.raw is not None:
            return True
        return self.path is not None and self.path.suffix.lower() in RAW_SUFFIXES

    @contextmanager
    def open(self, name: str | None = None) -> Iterator[IO[bytes]]:
        """Open it for a decoder, as `name`, or as a name of its suffix."""
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
            RuntimeError: libsndfile refuses.
        """
        import soundfile

        with (
            self.open("audio") as encoded,
            soundfile.SoundFile(encoded, **self._arguments()) as file,
        ):
            # Quiet samples look like the first bytes of an MP3 frame.
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
    """What soundfile reads; where it refuses or falls short, FFmpeg too, and the longer counts."""
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
    """What libsndfile reads of the span; None where it refuses."""
    try:
        with source.open_soundfile() as file:
            rate_hz, total_frames = int(file.samplerate), int(file.frames)
            start = min(round(span.start_s * rate_hz), total_frames)
            end_s = find_end_s(span, total_frames / rate_hz)
            stop = min(round(min(end_s * rate_hz, total_frames)), total_frames)
            file.seek(start)
            samples = _read_frames(file, stop - start)
    except (RuntimeError, ValueError):
        # LibsndfileError is a RuntimeError; FFmpeg has its turn next, and then an error names it.
        return None
    return Decoded(samples, rate_hz, total_frames / rate_hz)


def _read_frames(file: Any, frames: int) -> NDArray[np.float32]:
    """Up to `frames` frames, as float32 (T, C)."""
    # In blocks: a damaged header may promise more frames than there is memory for.
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


def _promised_end_s(source: _Source, span: AudioSpan, decoded: Decoded) -> float:
    """Where the span should have ended: as declared, or with what the file's header promised."""
    end_s = find_end_s(span, decoded.total_s)
    if end_s != float("inf"):
        return end_s
    if source.raw is not None:
        return decoded.total_s or 0.0
    with source.open() as file:
        promised_s = read_promised_s(file)
    return max(promised_s or 0.0, decoded.total_s or 0.0)


def _mix_down(
    samples: NDArray[np.float32], channel: int | None, source: _Source
) -> NDArray[np.float32]:
    """(T, C) to (T,): the mean of all channels, or one of them."""
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
            f"{source.name}: samples without a header, which do not say what they are; "
            "infer --raw RATE:FORMAT reads such files (--raw 8000:s16le, for example).",
            remedy="Say what they are with --raw, or convert the file to flac or wav.",
        )
    return DataError(
        f"{source.name}: neither libsndfile nor FFmpeg finds sound in it.",
        remedy="Is it an audio file, and whole? Take it out of the data, or convert it to flac.",
    )


def _no_audio(source: _Source, span: AudioSpan, total_s: float | None) -> DataError:
    where = f" from {span.start_s:.2f} s on" if span.start_s else ""
    length = "" if total_s is None else f"; the file is {total_s:.2f} s long"
    return DataError(
        f"{source.name}: there is no sound{where}{length}.",
        remedy="Take it out of the data, or mend the start and duration that name it.",
    )
