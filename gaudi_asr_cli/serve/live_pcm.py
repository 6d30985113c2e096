"""PCM of a live stream: bytes in any pieces to float32 samples at 16 kHz."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LIVE_ENCODINGS = {"s16le": ("<i2", 1 / 32768), "f32le": ("<f4", 1.0)}
"""Encodings of samples: NumPy's name of the type, and the factor to full scale."""


class PcmReader:
    """Decodes mono PCM that comes in pieces, which may end inside a sample, and resamples it."""

    def __init__(self, encoding: str, rate_hz: int) -> None:
        kind, self._scale = LIVE_ENCODINGS[encoding]
        self._type = np.dtype(kind)
        self._rest = b""
        self._resampler = None
        if rate_hz != SAMPLE_RATE_HZ:
            # Here, not above: most streams come at 16 kHz.
            import soxr

            self._resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")

    def read(self, data: bytes) -> Samples:
        """Return the samples (T,) that the next bytes complete."""
        data = self._rest + data
        whole = len(data) - len(data) % self._type.itemsize
        self._rest = data[whole:]
        return self._resample(self._decode(data[:whole]), last=False)

    def finish(self) -> Samples:
        """Return the last samples (T,), which the resampler still holds."""
        return self._resample(np.zeros(0, np.float32), last=True)

    def _decode(self, data: bytes) -> Samples:
        samples = np.frombuffer(data, self._type).astype(np.float32)
        # A float may be anything; what is no number is silence.
        np.nan_to_num(samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        scaled: Samples = np.clip(samples * np.float32(self._scale), -1, 1)
        return scaled

    def _resample(self, samples: Samples, *, last: bool) -> Samples:
        if self._resampler is None:
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples, last=last)
        return resampled
