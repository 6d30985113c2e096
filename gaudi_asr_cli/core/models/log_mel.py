"""Whisper's log-mel spectrogram, equal to its feature extractor's, computed for the audio only.

Windows are always 30 s long. The padding after the audio has a constant spectrum, which is filled
in without a transform.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

SILENCE = -10.0
"""log10 of the power floor."""
RANGE = 8.0
"""Dynamic range below the maximum, in powers of ten."""
DEFAULTS = {
    "feature_size": 80,
    "sampling_rate": SAMPLE_RATE_HZ,
    "hop_length": 160,
    "chunk_length": 30,
    "n_fft": 400,
}
"""Settings of a `WhisperFeatureExtractor` and their defaults."""
LARGEST = {**dict.fromkeys(DEFAULTS, 100_000), "feature_size": 1_024, "n_fft": 1 << 14}
"""Sizes beyond these are of no model, and would take the machine's memory."""
HIGHEST_HZ = 8000.0
LINEAR_HZ, LINEAR_MELS = 1000.0, 15.0
"""Slaney's mel scale is linear up to here."""


WINDOW_FILL, FILL_OF_SILENCE = "window_fill", "silence"
"""Key and value in preprocessor_config.json of a model that was trained here: its windows were
filled with the features of silence."""


@dataclass(frozen=True, slots=True)
class LogMel:
    """Computes log-mel windows from samples. See `Frontend`.

    `filters` is float32 (M, n_fft / 2 + 1); `window_samples` is the length of a window, which is
    filled with the features of silence, as in transformers, or with zeros, as in openai-whisper.
    """

    filters: Tensor
    n_fft: int
    hop_samples: int
    window_samples: int
    settings: Mapping[str, Any]
    fills_with_zeros: bool = False

    @property
    def expects_silence(self) -> bool:
        """Whether the model was trained on windows filled with the features of silence."""
        return self.settings.get(WINDOW_FILL) == FILL_OF_SILENCE

    @property
    def window_frames(self) -> int:
        """Return the length of a window in mel frames."""
        return self.window_samples // self.hop_samples

    def prepare(self, batch: AudioBatch) -> dict[str, torch.Tensor]:
        """Return `input_features` float32 (B, M, 3000) of samples (B, T), truncated to 30 s."""
        import torch

        windows = []
        for row, length in enumerate(batch.lengths):
            samples = batch.samples[row, : min(int(length), self.window_samples)]
            spectrum = self.spectrum(samples, whole=len(samples) == self.window_samples)
            scaled = scale(spectrum, float(spectrum.max()))
            if self.fills_with_zeros:
                scaled = scaled[:, : max(1, len(samples) // self.hop_samples)]
            windows.append(self.fill_window(scaled, spectrum.max()))
        return {"input_features": torch.stack(windows)}

    def spectrum(self, samples: NDArray[np.float32], *, whole: bool = True) -> Tensor:
        """Return log10 mel powers, float32 (M, F), of samples (T,), not yet scaled.

        Args:
            samples: Samples (T,) of a clip.
            whole: Pad the end by reflection, as torch does; otherwise silence follows the clip.
        """
        half = self.n_fft // 2
        padded = samples
        if not whole:
            frames = min(-(-(len(samples) + self.n_fft) // self.hop_samples), self.window_frames)
            padded = np.pad(samples, (0, frames * self.hop_samples - len(samples)))
        return self._transform(np.pad(padded, (half, half), mode="reflect"))[:, :-1]

    def stream(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Tensor]:
        """Yield the `spectrum` (M, f) of audio that arrives in blocks (T,), piece by piece."""
        half = self.n_fft // 2
        pending, started = np.zeros(0, np.float32), False
        for block in blocks:
            pending = np.concatenate([pending, block])
            if not started and len(pending) > self.n_fft:
                pending, started = np.concatenate([pending[half:0:-1], pending]), True
            frames = (len(pending) - self.n_fft - half) // self.hop_samples
            # Enough samples are kept to reflect them at the end.
            if started and frames > 0:
                yield self._transform(pending[: (frames - 1) * self.hop_samples + self.n_fft])
                pending = pending[frames * self.hop_samples :]
        if not started:
            padded = np.pad(pending, (0, max(0, self.n_fft - len(pending))))
            yield self.spectrum(padded)[:, : max(1, len(pending) // self.hop_samples)]
            return
        yield self._transform(np.concatenate([pending, pending[-2 : -2 - half : -1]]))[:, :-1]

    def _transform(self, samples: NDArray[np.float32]) -> Tensor:
        """Return log10 mel powers (M, F), one frame of `n_fft` samples per hop of samples (T,)."""
        import torch

        spectrum = torch.stft(
            torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)),
            self.n_fft,
            self.hop_samples,
            window=torch.hann_window(self.n_fft),
            center=False,
            return_complex=True,
        )
        # Four times as fast as the square of `abs`, which avoids overflow.
        power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)  # (n_fft / 2 + 1, F)
        return torch.clamp(self.filters @ power, min=1e-10).log10()

    def fill_window(self, scaled: Tensor, loudest: Tensor | float) -> Tensor:
        """Pad scaled features (M, F) to a window (M, 3000)."""
        import torch

        silence = (max(SILENCE, float(loudest) - RANGE) + 4.0) / 4.0
        if self.fills_with_zeros:
            silence = 0.0
        missing = self.window_frames - scaled.shape[1]
        return torch.nn.functional.pad(scaled, (0, missing), value=silence)


def scale(spectrum: Tensor, loudest: float) -> Tensor:
    """Clamp the spectrum (M, F) to `RANGE` below the maximum, and scale it to about -1 to 1."""
    return (spectrum.clamp(min=loudest - RANGE) + 4.0) / 4.0


def open_log_mel(settings: Mapping[str, Any]) -> LogMel:
    """Build the log-mel transform for the settings of a `WhisperFeatureExtractor`.

    Raises:
        DataError: A setting is not a positive number, or an absurd one.
    """
    import torch

    chosen = {name: _read_size(settings, name, default) for name, default in DEFAULTS.items()}
    rate_hz, n_fft = chosen["sampling_rate"], chosen["n_fft"]
    filters = mel_filters(chosen["feature_size"], n_fft, rate_hz)
    return LogMel(
        filters=torch.from_numpy(filters).float().contiguous(),
        n_fft=n_fft,
        hop_samples=chosen["hop_length"],
        window_samples=chosen["chunk_length"] * rate_hz,
        settings=settings,
    )


def _read_size(settings: Mapping[str, Any], name: str, default: int) -> int:
    value = settings.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(
            f"preprocessor_config.json: {name} is {value!r}, not a positive integer.",
            remedy="Copy or download the model again.",
        )
    if value > LARGEST[name]:
        raise DataError(
            f"preprocessor_config.json: {name} is {str(value)[:40]}, more than the {LARGEST[name]} "
            "that any model has.",
            remedy="Copy or download the model again.",
        )
    return value


def mel_filters(count: int, n_fft: int, rate_hz: int) -> NDArray[np.float64]:
    """Return Slaney's mel filters (count, n_fft / 2 + 1) up to 8 kHz, each of the same area."""
    mels = np.linspace(0.0, _to_mel(HIGHEST_HZ), count + 2)
    edges_hz = _to_hertz(mels)  # (count + 2,)
    bins_hz = np.linspace(0, rate_hz // 2, n_fft // 2 + 1)
    widths, distances = np.diff(edges_hz), edges_hz[:, None] - bins_hz[None, :]
    rising = -distances[:-2] / widths[:-1, None]
    falling = distances[2:] / widths[1:, None]
    areas = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return np.maximum(0.0, np.minimum(rising, falling)) * areas[:, None]


def _to_mel(frequency_hz: float) -> float:
    """Return mels: linear below 1 kHz, logarithmic above."""
    if frequency_hz < LINEAR_HZ:
        return 3.0 * frequency_hz / 200.0
    return float(LINEAR_MELS + np.log(frequency_hz / LINEAR_HZ) * (27.0 / np.log(6.4)))


def _to_hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = LINEAR_HZ * np.exp((np.log(6.4) / 27.0) * (mels - LINEAR_MELS))
    return np.where(mels >= LINEAR_MELS, logarithmic, 200.0 * mels / 3.0)
