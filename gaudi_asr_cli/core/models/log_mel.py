"""Whisper's log-mel spectrogram, equal to its feature extractor's, computed for the audio only.

Windows are always 30 s long. The padding after the audio has a constant spectrum, which is filled
in without a transform.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.records import AudioBatch

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

SILENCE = -10.0
"""log10 of the power floor."""
RANGE = 8.0
"""Dynamic range below the maximum, in powers of ten."""


@dataclass(frozen=True, slots=True)
class LogMel:
    """Computes log-mel windows from samples. See `Frontend`.

    `filters` is float32 (M, n_fft / 2 + 1); `window_samples` is the length of a window.
    """

    filters: Tensor
    n_fft: int
    hop_samples: int
    window_samples: int
    settings: Mapping[str, Any]

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
            windows.append(self.fill_window(scale(spectrum, float(spectrum.max())), spectrum.max()))
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
        power = spectrum.abs().square_()  # (n_fft / 2 + 1, F)
        return torch.clamp(self.filters @ power, min=1e-10).log10()

    def fill_window(self, scaled: Tensor, loudest: Tensor | float) -> Tensor:
        """Pad scaled features (M, F) with silence to a window (M, 3000)."""
        import torch

        silence = (max(SILENCE, float(loudest) - RANGE) + 4.0) / 4.0
        missing = self.window_frames - scaled.shape[1]
        return torch.nn.functional.pad(scaled, (0, missing), value=silence)


def scale(spectrum: Tensor, loudest: float) -> Tensor:
    """Clamp the spectrum (M, F) to `RANGE` below the maximum, and scale it to about -1 to 1."""
    return (spectrum.clamp(min=loudest - RANGE) + 4.0) / 4.0


def open_log_mel(settings: Mapping[str, Any]) -> LogMel:
    """Build the log-mel transform for the settings of a `WhisperFeatureExtractor`."""
    import torch
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor.from_dict(dict(settings))
    return LogMel(
        filters=torch.from_numpy(extractor.mel_filters).float().T.contiguous(),
        n_fft=extractor.n_fft,
        hop_samples=extractor.hop_length,
        window_samples=extractor.n_samples,
        settings=settings,
    )
