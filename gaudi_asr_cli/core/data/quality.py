"""Audio quality checks: silence, clipping, telephone bandwidth, and copies between splits."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gaudi_asr_cli.core.data.audio import load_audio, read_rate_hz
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Utterance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

Item = TypeVar("Item")

SILENCE_DBFS = -55.0
"""A clip whose loudest 25 ms are below this contains room noise at most."""

CLIPPED_SHARE = 0.001
"""A peak may reach full scale; one sample in a thousand there means that the clip is clipped."""

FULL_SCALE = 0.99
"""Less than 1: resampling and lossy codecs smooth the edges of clipped waveforms."""

UPSAMPLED_DROP_DB = 35.0
"""Between the largest drop seen in wideband speech (31 dB, a radio recording of 1961) and that of
95 % of telephone-rate clips resampled to 16 kHz with soxr (35 to 76 dB as wav, more as mp3)."""

_LOUDNESS_WINDOW_SAMPLES = SAMPLE_RATE_HZ * 25 // 1000
_SPECTRUM_SAMPLES = 1024
_BELOW_4_KHZ = (2500.0, 3600.0)
_ABOVE_4_KHZ = (4400.0, 7600.0)
_QUIETEST = 1e-10


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """Measurements of one clip at 16 kHz.

    `band_drop_db` is the drop in level at 4 kHz, None where the clip is too short or silent;
    `file_rate_hz` is the sample rate in the header, None where it does not say.
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
        """Whether the header of the file gives a sample rate below 16 kHz."""
        return self.file_rate_hz is not None and self.file_rate_hz < SAMPLE_RATE_HZ

    @property
    def upsampled(self) -> bool:
        """Whether the band above 4 kHz is empty despite the sample rate: upsampled from 8 kHz."""
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
    """Return the level of the loudest 25 ms of `samples` (T,) in dBFS; -200 for digital silence."""
    window = min(_LOUDNESS_WINDOW_SAMPLES, len(samples))
    if window == 0:
        return 20 * float(np.log10(_QUIETEST))
    whole = len(samples) // window * window
    powers = np.square(samples[:whole], dtype=np.float64).reshape(-1, window).mean(axis=1)
    return 20 * float(np.log10(max(float(np.sqrt(powers.max())), _QUIETEST)))


def measure_clipped_share(samples: NDArray[np.float32]) -> float:
    """Return the share of `samples` (T,) at full scale."""
    return float(np.mean(np.abs(samples) >= FULL_SCALE)) if len(samples) else 0.0


def measure_band_drop_db(samples: NDArray[np.float32]) -> float | None:
    """Return how much weaker the band above 4 kHz is than the one below it, per hertz, in dB.

    In speech the drop is -12 to 31 dB, since fricatives reach beyond 4 kHz. A recording made at
    8 kHz has only rounding noise there, whatever rate it is stored at. None for under 64 ms.
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
    """Return at most `number` items, evenly spaced, the first and the last included."""
    if len(items) <= number:
        return tuple(items)
    return tuple(items[int(index)] for index in np.linspace(0, len(items) - 1, max(number, 0)))


def find_shared_audio(
    train: Iterable[Utterance], evaluation: Sequence[Utterance]
) -> tuple[SharedAudio, ...]:
    """Return evaluation utterances that are also in training: the same span, or equal samples.

    Only utterances of equal text and duration are decoded and compared, so almost nothing is
    decoded where the splits are clean. A file that cannot be decoded is no copy.
    """
    candidates: dict[tuple[object, ...], list[Utterance]] = defaultdict(list)
    for utterance in train:
        candidates[_span_key(utterance.audio)].append(utterance)
        candidates[_text_and_length(utterance)].append(utterance)
    hash_once = cache(_hash_samples)
    shared: list[SharedAudio] = []
    for utterance in evaluation:
        same_span = candidates.get(_span_key(utterance.audio), [])
        similar = candidates.get(_text_and_length(utterance), [])
        same_samples = (other for other in similar if _are_copies(other, utterance, hash_once))
        copy = next(chain(same_span, same_samples), None)
        if copy is not None:
            shared.append(SharedAudio(copy, utterance))
    return tuple(shared)


def _span_key(span: AudioSpan) -> tuple[object, ...]:
    return span.path.absolute(), span.start_s, span.row


def _text_and_length(utterance: Utterance) -> tuple[object, ...]:
    """Return what copies share before anything is decoded: text, and length in milliseconds."""
    return utterance.text, round((utterance.audio.duration_s or 0.0) * 1000)


def _are_copies(
    one: Utterance, other: Utterance, hash_once: Callable[[AudioSpan], str | None]
) -> bool:
    digest = hash_once(one.audio)
    return digest is not None and digest == hash_once(other.audio)


def _hash_samples(span: AudioSpan) -> str | None:
    try:
        samples = load_audio(span).samples
    except DataError:
        # Of no use in a search for copies; `inspect_audio` reports it.
        return None
    return hashlib.sha256(samples.tobytes()).hexdigest()


def _read_rate_hz(span: AudioSpan) -> int | None:
    """Return the rate in the header of a file or cell; None where it does not say."""
    try:
        return read_rate_hz(span) or None
    except (DataError, OSError):
        return None
