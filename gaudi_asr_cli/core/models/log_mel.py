"""Whisper's log-mel spectrum, as its feature extractor makes it, of only as much as is sound.

Windows are 30 s long whatever was said. What is silent behind the sound has a constant spectrum,
so nobody needs to transform it.
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
"""log10 of the least power that is told from none."""
RANGE = 8.0
"""Powers of ten below the loudest place that are heard."""


@dataclass(frozen=True, slots=True)
class LogMel:
    """From samples to a window of features. See `Frontend`.

    `filters` is float32 (M, n_fft / 2 + 1); `window_samples` is how much sound a window holds.
    """

    filters: Tensor
    n_fft: int
    hop_samples: int
    window_samples: int
    settings: Mapping[str, Any]

    @property
    def window_frames(self) -> int:
        return self.window_samples // self.hop_samples

    def prepare(self, batch: AudioBatch) -> dict[str, torch.Tensor]:
        """`input_features` float32 (B, M, 3000) of samples (B, T); what is beyond 30 s is cut."""
        import torch

        windows = []
        for row, length in enumerate(batch.lengths):
            sound = batch.samples[row, : min(int(length), self.window_samples)]
            spectrum = self.spectrum(sound, whole=len(sound) == self.window_samples)
            windows.append(self.fill_window(scale(spectrum, float(spectrum.max())), spectrum.max()))
        return {"input_features": torch.stack(windows)}

    def spectrum(self, sound: NDArray[np.float32], *, whole: bool = True) -> Tensor:
        """Powers on a scale of ten, float32 (M, F), of a sound (T,), not yet scaled.

        Args:
            sound: Samples.
            whole: The sound ends here, mirrored as torch does; otherwise silence follows it.
        """
        half = self.n_fft // 2
        padded = sound
        if not whole:
            frames = min(-(-(len(sound) + self.n_fft) // self.hop_samples), self.window_frames)
            padded = np.pad(sound, (0, frames * self.hop_samples - len(sound)))
        return self._transform(np.pad(padded, (half, half), mode="reflect"))[:, :-1]

    def stream(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Tensor]:
        """The `spectrum` (M, f) of a sound that comes in blocks (T,), stretch by stretch."""
        half = self.n_fft // 2
        held, started = np.zeros(0, np.float32), False
        for block in blocks:
            held = np.concatenate([held, block])
            if not started and len(held) > self.n_fft:
                held, started = np.concatenate([held[half:0:-1], held]), True
            frames = (len(held) - self.n_fft - half) // self.hop_samples
            # What the end is mirrored from stays behind.
            if started and frames > 0:
                yield self._transform(held[: (frames - 1) * self.hop_samples + self.n_fft])
                held = held[frames * self.hop_samples :]
        if not started:
            padded = np.pad(held, (0, max(0, self.n_fft - len(held))))
            yield self.spectrum(padded)[:, : max(1, len(held) // self.hop_samples)]
            return
        yield self._transform(np.concatenate([held, held[-2 : -2 - half : -1]]))[:, :-1]

    def _transform(self, samples: NDArray[np.float32]) -> Tensor:
        """Powers (M, F) of the stretches of `n_fft` that begin at every hop of samples (T,)."""
        import torch

        turned = torch.stft(
            torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)),
            self.n_fft,
            self.hop_samples,
            window=torch.hann_window(self.n_fft),
            center=False,
            return_complex=True,
        )
        power = turned.abs().square_()
        return torch.clamp(self.filters @ power, min=1e-10).log10()

    def fill_window(self, scaled: Tensor, loudest: Tensor | float) -> Tensor:
        """The window (M, 3000) that begins with these scaled features (M, F) and is then silent."""
        import torch

        silence = (max(SILENCE, float(loudest) - RANGE) + 4.0) / 4.0
        missing = self.window_frames - scaled.shape[1]
        return torch.nn.functional.pad(scaled, (0, missing), value=silence)


def scale(spectrum: Tensor, loudest: float) -> Tensor:
    """The spectrum (M, F), no place more than `RANGE` below the loudest, between -1 and 1."""
    return (spectrum.clamp(min=loudest - RANGE) + 4.0) / 4.0


def open_log_mel(settings: Mapping[str, Any]) -> LogMel:
    """What these settings of a `WhisperFeatureExtractor` describe."""
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
