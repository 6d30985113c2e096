"""Is this sound worth training on? Silence, clipping, telephone bandwidth, and copies."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.raw import RAW_SUFFIXES
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Utterance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

Item = TypeVar("Item")

SILENCE_DBFS = -55.0
"""A clip whose loudest 25 ms stay below this holds room noise at most."""

CLIPPED_SHARE = 0.001
"""A peak may touch full scale; one sample in a thousand there is a recording cut off."""

FULL_SCALE = 0.99
"""Less than 1: resampling and lossy codecs round the corners of clipped waves."""

UPSAMPLED_DROP_DB = 35.0
"""Between the sharpest fall seen in wideband speech (31 dB, a radio recording of 1961) and that of
95 % of telephone-rate clips brought to 16 kHz with soxr (35 to 76 dB as wav, more as mp3)."""

_LOUDNESS_WINDOW_SAMPLES = SAMPLE_RATE_HZ * 25 // 1000
_SPECTRUM_SAMPLES = 1024
_BELOW_4_KHZ = (2500.0, 3600.0)
_ABOVE_4_KHZ = (4400.0, 7600.0)
_QUIETEST = 1e-10


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What was heard in one clip at 16 kHz.

    `band_drop_db` is how far the level falls at 4 kHz, None where the clip is too short or silent;
    `file_rate_hz` is what the file's header says, None where only FFmpeg can read it.
    """

    loudest_dbfs: float
    clipped_share: float
    band_drop_db: float | None
    file_rate_hz: int | None

    @property
    def silent(self) -> bool:
        return self.loudest_dbfs < SILENCE_DBFS

    @property
    def clipped(self) -> bool:
        return self.clipped_share > CLIPPED_SHARE

    @property
    def low_rate(self) -> bool:
        """The file itself is below 16 kHz, and says so."""
        return self.file_rate_hz is not None and self.file_rate_hz < SAMPLE_RATE_HZ

    @property
    def upsampled(self) -> bool:
        """Its rate promises a band above 4 kHz that is empty: an 8 kHz recording made larger."""
        drop_db = self.band_drop_db
        return drop_db is not None and drop_db > UPSAMPLED_DROP_DB and not self.low_rate


@dataclass(frozen=True, slots=True)
class SharedAudio:
    """The same recording in training and in evaluation."""

    train: Utterance
    evaluation: Utterance


def inspect_audio(utterance: Utterance) -> AudioFacts:
    """Decode one utterance and measure it.

    Raises:
        DataError: The file cannot be decoded; the error names it.
    """
    samples = load_audio(utterance.audio).samples
    loudest_dbfs = measure_loudest_dbfs(samples)
    return AudioFacts(
        loudest_dbfs=loudest_dbfs,
        clipped_share=measure_clipped_share(samples),
        band_drop_db=measure_band_drop_db(samples) if loudest_dbfs >= SILENCE_DBFS else None,
        file_rate_hz=_read_rate_hz(utterance.audio),
    )


def measure_loudest_dbfs(samples: NDArray[np.float32]) -> float:
    """Level of the loudest 25 ms of `samples` (T,), in dB below full scale; -200 for no sound."""
    window = min(_LOUDNESS_WINDOW_SAMPLES, len(samples))
    if window == 0:
        return 20 * float(np.log10(_QUIETEST))
    whole = len(samples) // window * window
    powers = np.square(samples[:whole], dtype=np.float64).reshape(-1, window).mean(axis=1)
    return 20 * float(np.log10(max(float(np.sqrt(powers.max())), _QUIETEST)))


def measure_clipped_share(samples: NDArray[np.float32]) -> float:
    """Share of `samples` (T,) at full scale."""
    return float(np.mean(np.abs(samples) >= FULL_SCALE)) if len(samples) else 0.0


def measure_band_drop_db(samples: NDArray[np.float32]) -> float | None:
    """How much weaker the band above 4 kHz is than the one below it, per hertz, in dB.

    Speech falls by -12 to 31 dB there, since its hisses reach beyond 4 kHz. A recording at 8 kHz
    has nothing above but rounding, at whatever rate it is stored. None for under 64 ms.
    """
    if len(samples) < _SPECTRUM_SAMPLES:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(samples, _SPECTRUM_SAMPLES)
    weighted = windows[:: _SPECTRUM_SAMPLES // 2] * np.hanning(_SPECTRUM_SAMPLES)
    power = np.square(np.abs(np.fft.rfft(weighted))).mean(axis=0)
    frequencies_hz = np.fft.rfftfreq(_SPECTRUM_SAMPLES, 1 / SAMPLE_RATE_HZ)

    def level(band_hz: tuple[float, float]) -> float:
        inside = (frequencies_hz >= band_hz[0]) & (frequencies_hz <= band_hz[1])
        return max(float(power[inside].mean()), _QUIETEST**2)

    return 10 * float(np.log10(level(_BELOW_4_KHZ) / level(_ABOVE_4_KHZ)))


def pick_evenly(items: Sequence[Item], number: int) -> tuple[Item, ...]:
    """At most `number` items, spread over the whole sequence, first and last among them."""
    if len(items) <= number:
        return tuple(items)
    return tuple(items[int(place)] for place in np.linspace(0, len(items) - 1, max(number, 0)))


def find_shared_audio(
    train: Iterable[Utterance], evaluation: Sequence[Utterance]
) -> tuple[SharedAudio, ...]:
    """Evaluation utterances that were also trained on: the same place in a file, or its samples.

    Only utterances of equal text and duration are decoded and compared, so this reads next to
    nothing where the splits are clean. A file that cannot be decoded equals none.
    """
    twins: dict[tuple[object, ...], list[Utterance]] = defaultdict(list)
    for utterance in train:
        twins[_place(utterance.audio)].append(utterance)
        twins[_outline(utterance)].append(utterance)
    hash_once = cache(_hash_samples)
    shared: list[SharedAudio] = []
    for utterance in evaluation:
        same_place = twins.get(_place(utterance.audio), [])
        look_alike = twins.get(_outline(utterance), [])
        transcribed_alike = (one for one in look_alike if _are_copies(one, utterance, hash_once))
        copy = next(chain(same_place, transcribed_alike), None)
        if copy is not None:
            shared.append(SharedAudio(copy, utterance))
    return tuple(shared)


def _place(span: AudioSpan) -> tuple[object, ...]:
    return span.path.absolute(), span.start_s, span.row


def _outline(utterance: Utterance) -> tuple[object, ...]:
    """What copies have in common before anything is decoded: text, and length in milliseconds."""
    return utterance.text, round((utterance.audio.duration_s or 0.0) * 1000)


def _are_copies(
    one: Utterance, other: Utterance, hash_once: Callable[[AudioSpan], str | None]
) -> bool:
    heard = hash_once(one.audio)
    return heard is not None and heard == hash_once(other.audio)


def _hash_samples(span: AudioSpan) -> str | None:
    try:
        samples = load_audio(span).samples
    except DataError:
        # Whoever looks for copies has no use for it; `inspect_audio` is where it is reported.
        return None
    return hashlib.sha256(samples.tobytes()).hexdigest()


def _read_rate_hz(span: AudioSpan) -> int | None:
    """The rate in a plain file's header; None for a cell of a table and for FFmpeg's formats."""
    import soundfile

    if span.row is not None or span.path.suffix.lower() in RAW_SUFFIXES:
        return None
    try:
        return int(soundfile.info(os.fsencode(span.path)).samplerate)
    except (RuntimeError, ValueError):
        return None
