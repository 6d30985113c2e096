"""How long the audio of a file is, on which clock, and who says so: the one place that decides.

A length comes from the header where the file's bytes confirm it, and is counted otherwise: once
for a file, as long as it does not change.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from gaudi_asr_cli.core.data.containers import FilePlan, PartPlan, plan_file
from gaudi_asr_cli.core.data.containers.base import IMPLAUSIBLE, WHOLE_FILE, Piece
from gaudi_asr_cli.core.data.containers.flac import write_total
from gaudi_asr_cli.core.data.ffmpeg import TrackFacts, count_samples, inspect_with_ffmpeg
from gaudi_asr_cli.core.data.source import PLAIN_NAME, AudioSource, reject_unreadable
from gaudi_asr_cli.core.data.tracks import NoTrackError, describe_tracks, is_language
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, RawFormat

_REMEMBERED = 65_536
_MOST_FRAMES = 1 << 45
"""libsndfile says 2**63 - 1 frames where a header does not know; this is a thousand years."""
_BLOCK_FRAMES = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file that one decoder reads, on the file's clock.

    `pieces` are its bytes, or None for the whole file. `form` is libsndfile's name of its format,
    or "FFmpeg" where libsndfile does not read it; `frames`, its samples per channel, are then 0.
    `steady` is unset where its clock jumps, so that decoding cannot begin in its middle.
    """

    start_s: float
    duration_s: float
    form: str
    pieces: tuple[Piece, ...] | None = None
    frames: int = 0
    rate_hz: int = 0
    steady: bool = True

    @property
    def by_ffmpeg(self) -> bool:
        return self.form == FFMPEG

    @property
    def stop_s(self) -> float:
        return self.start_s + self.duration_s


FFMPEG = "FFmpeg"


@dataclass(frozen=True, slots=True)
class Timeline:
    """The parts of a file, and what is unusual about it in `notes`, without its name.

    `declared_s` is the length that its header declares, where the file may hold less.
    """

    parts: tuple[Part, ...]
    declared_s: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def total_s(self) -> float:
        """Where the audio ends, in seconds from the container's start."""
        return self.parts[-1].stop_s

    @property
    def promised_s(self) -> float:
        """The length that the header declares if that is more than there is, and plausible."""
        if self.declared_s is None or self.declared_s > IMPLAUSIBLE * self.total_s:
            return self.total_s
        return max(self.declared_s, self.total_s)


def find_timeline(source: AudioSource, track: int | str | None = None) -> Timeline:
    """Return the timeline of a file or cell; that of a file is remembered until it changes.

    Args:
        source: The file or cell.
        track: The number of an audio track, or the language by which one is preferred.

    Raises:
        DataError: No decoder finds audio in it, or there is no such track.
    """
    if source.path is None:
        return _build(source, track)
    found = source.path.stat()
    stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
    return _remember(source.name, source.path, source.raw, track, stamp)


@lru_cache(_REMEMBERED)
def _remember(
    name: str, path: Path, raw: RawFormat | None, track: int | str | None, stamp: tuple[int, ...]
) -> Timeline:
    return _build(AudioSource(name, path, raw=raw), track)


def forget_timelines() -> None:
    """Forget the timelines of files: of 50,000 that are read once they would take 40 MB."""
    _remember.cache_clear()


def read_timeline(span: AudioSpan) -> Timeline:
    """Return the timeline of the file or cell that a span lies in.

    Raises:
        DataError: The file is missing, empty or not audio, or there is no such track.
    """
    return find_timeline(AudioSource.find(span), span.track)


def _build(source: AudioSource, track: int | str | None) -> Timeline:
    try:
        # Opened once: on network disks that is most of the time.
        with source.open(PLAIN_NAME) as file:
            return _measure_parts(source, file, track)
    except NoTrackError as error:
        raise DataError(
            f"{source.name}: {error}.",
            remedy="Tracks are counted from 0; without --track, or a column `track` in a list, "
            "the default is read.",
        ) from error


def _plan(source: AudioSource, file: IO[bytes]) -> FilePlan:
    if source.raw is not None:
        return FilePlan((WHOLE_FILE,))
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return plan_file(file, size)


def _measure_parts(source: AudioSource, file: IO[bytes], track: int | str | None) -> Timeline:
    plan = _plan(source, file)
    parts: list[Part] = []
    declared_s, notes = plan.declared_s, [*plan.notes]
    for planned in plan.parts:
        part = _measure_with_soundfile(source, file, planned)
        if part is None:
            facts = _inspect(source, planned, track)
            if facts is None:
                continue
            part = Part(
                0.0,
                facts.total_s,
                FFMPEG,
                planned.pieces,
                rate_hz=facts.rate_hz,
                steady=not facts.jumps,
            )
            declared_s = facts.declared_s if len(plan.parts) == 1 else declared_s
            notes += _describe_track(facts, track)
        elif isinstance(track, int) and track:
            raise NoTrackError(
                f"there is no audio track {track}, the file has {describe_tracks([''])}"
            )
        parts.append(replace(part, start_s=parts[-1].stop_s) if parts else part)
    if not parts:
        raise reject_unreadable(source)
    if len(parts) < len(plan.parts):
        unread = len(plan.parts) - len(parts)
        notes.append(f"{unread} of the {len(plan.parts)} recordings joined in it cannot be read")
    return Timeline(tuple(parts), declared_s, tuple(notes))


def _measure_with_soundfile(source: AudioSource, whole: IO[bytes], plan: PartPlan) -> Part | None:
    """Measure a part with libsndfile; None where it cannot read it, or not on its clock."""
    if not plan.regular:
        return None
    pieces = _count(source, plan.pieces) if plan.counted and plan.pieces else plan.pieces
    try:
        opened = source.read_soundfile(whole) if pieces is None else source.open_soundfile(pieces)
        with opened as file:
            frames, rate_hz, form = int(file.frames), int(file.samplerate), str(file.format)
            if frames > _MOST_FRAMES:
                frames = _count_frames(file)
            if plan.frames is not None:
                frames = min(frames, plan.frames)
    except (RuntimeError, ValueError):
        # LibsndfileError is a RuntimeError; FFmpeg is tried next, and its failure is an error.
        return None
    return Part(0.0, frames / rate_hz, form, pieces, frames, rate_hz)


def _count(source: AudioSource, pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Write the number of samples into the header of a FLAC stream that does not know it."""
    with source.open(pieces=pieces) as file:
        total = count_samples(file)
    first, *rest = pieces
    return (write_total(first, total) if isinstance(first, bytes) else first, *rest)


def _count_frames(file: Any) -> int:
    """Decode everything, and return the number of samples per channel."""
    frames = 0
    while size := len(file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        frames += size
    return frames


def _inspect(source: AudioSource, plan: PartPlan, track: int | str | None) -> TrackFacts | None:
    if source.may_be_headerless:
        return None
    with source.open(pieces=plan.pieces) as file:
        return inspect_with_ffmpeg(file, track)


def _describe_track(facts: TrackFacts, track: int | str | None) -> list[str]:
    notes: list[str] = []
    if facts.jumps:
        notes.append("its clock jumps, so times follow the audio alone after that")
    if len(facts.languages) > 1 and not isinstance(track, int):
        language = facts.languages[facts.track]
        why = f", {track}" if isinstance(track, str) and is_language(language, track) else ""
        notes.append(
            f"it has {describe_tracks(facts.languages)}; track {facts.track}{why} is read "
            "(infer --track N chooses, or a column `track` in a list)"
        )
    return notes
