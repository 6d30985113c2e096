"""Granite Speech 5 CTC: a conformer that predicts tokens halfway, with the weights of its head.

transformers computes its features with torchaudio; here they are computed with torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.models.families import ModelConfig, ModelFamily
from gaudi_asr_cli.core.models.geometry import Convolution, FrameGeometry
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_HOP = Convolution(kernel=160, stride=160)
"""Windows are centred, so that every whole hop of 10 ms has a frame."""
_STACK = Convolution(kernel=1, stride=2)
"""Frames are stacked in pairs, an odd one with one that follows the clip."""
_HALVING = Convolution(kernel=2, stride=2)
_SUBSAMPLING_LAYERS = (0, 1)
_STACKED = 2
_POWER_FLOOR = 1e-10
_SHORTEST_DELTA = 3
_SETTINGS = {
    "num_mel_bins": 80,
    "sampling_rate": SAMPLE_RATE_HZ,
    "n_fft": 512,
    "win_length": 400,
    "hop_length": 160,
    "delta_win_length": 3,
    "logmel_floor_db": 8.0,
}


@dataclass(frozen=True, slots=True)
class GraniteFeatures:
    """Computes what `GraniteSpeech5FeatureExtractor` computes of each clip unbatched.

    Log-mel powers of base 10 and their deltas, two frames in a row. `filters` is float32
    (n_fft / 2 + 1, M); `reach` is how many frames before and after one its delta takes in.
    """

    filters: Tensor
    n_fft: int
    window_samples: int
    hop_samples: int
    reach: int
    floor: float

    def __call__(self, clips: Sequence[NDArray[np.float32]], **_: Any) -> dict[str, Any]:
        """Return `input_features` (B, F, 4 M) of clips (T,), and `attention_mask` (B, F)."""
        rows = [self.extract(clip) for clip in clips]
        width = max(len(row) for row in rows)
        features = np.zeros((len(rows), width, rows[0].shape[1]), np.float32)
        mask = np.zeros((len(rows), width), np.int64)
        for index, row in enumerate(rows):
            features[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return {"input_features": features, "attention_mask": mask}

    def extract(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return features (F, 4 M) of samples (T,)."""
        import torch

        frames = _STACKED * -(-(len(samples) // self.hop_samples) // _STACKED)
        missing = max(0, (frames - 1) * self.hop_samples + 1 - len(samples))
        audio = torch.from_numpy(np.pad(samples, (0, missing)).astype(np.float32))
        spectrum = torch.stft(
            audio,
            self.n_fft,
            self.hop_samples,
            self.window_samples,
            window=torch.hann_window(self.window_samples),
            return_complex=True,
        )
        power = spectrum.abs().square()[:, :frames]  # (n_fft / 2 + 1, 2 F)
        log_mel = (power.T @ self.filters).clamp(min=_POWER_FLOOR).log10()  # (2 F, M)
        scaled = log_mel.clamp(min=float(log_mel.max()) - self.floor) / 4 + 1
        both = torch.cat((scaled, self._deltas(scaled)), dim=1)
        features: NDArray[np.float32] = both.reshape(frames // _STACKED, -1).numpy()
        return features

    def _deltas(self, frames: Tensor) -> Tensor:
        """Return the slope of each bin of frames (F, M) over time."""
        import torch

        count, reach = len(frames), self.reach
        padded = torch.cat((frames[:1].expand(reach, -1), frames, frames[-1:].expand(reach, -1)))
        slopes = torch.zeros_like(frames)
        for distance in range(-reach, reach + 1):
            slopes += distance * padded[reach + distance : reach + distance + count]
        return slopes / (reach * (reach + 1) * (2 * reach + 1) / 3)


def open_granite_features(settings: Mapping[str, Any]) -> GraniteFeatures:
    """Build the feature extraction for the settings of a `GraniteSpeech5FeatureExtractor`.

    Raises:
        ValueError: A setting is no number, or the window of the deltas has no neighbours.
    """
    import torch

    chosen = {name: settings.get(name, default) for name, default in _SETTINGS.items()}
    n_fft, rate_hz = int(chosen["n_fft"]), int(chosen["sampling_rate"])
    if chosen["delta_win_length"] < _SHORTEST_DELTA:
        raise ValueError(f"delta_win_length is below {_SHORTEST_DELTA}")
    filters = _mel_filters(int(chosen["num_mel_bins"]), n_fft, rate_hz)
    return GraniteFeatures(
        filters=torch.from_numpy(filters.astype(np.float32)),
        n_fft=n_fft,
        window_samples=int(chosen["win_length"]),
        hop_samples=int(chosen["hop_length"]),
        reach=(int(chosen["delta_win_length"]) - 1) // 2,
        floor=float(chosen["logmel_floor_db"]),
    )


def _mel_filters(count: int, n_fft: int, rate_hz: int) -> NDArray[np.float64]:
    """Return triangular filters (n_fft / 2 + 1, count) of height 1 on the mel scale of HTK."""
    highest_mel = 2595.0 * np.log10(1.0 + (rate_hz // 2) / 700.0)
    edges_hz = 700.0 * (10.0 ** (np.linspace(0.0, highest_mel, count + 2) / 2595.0) - 1.0)
    bins_hz = np.linspace(0, rate_hz // 2, n_fft // 2 + 1)
    widths, distances = np.diff(edges_hz), edges_hz[None, :] - bins_hz[:, None]
    rising = -distances[:, :-2] / widths[:-1]
    falling = distances[:, 2:] / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


def _read_geometry(config: ModelConfig) -> FrameGeometry:
    """Return the layers that downsample time."""
    encoder = config.get("encoder_config") or {}
    subsampling = encoder.get("subsample_layers")
    halvings = len(_SUBSAMPLING_LAYERS if subsampling is None else subsampling)
    return FrameGeometry((_HOP, _STACK, *(_HALVING,) * halvings))


def _mel_settings(config: ModelConfig) -> dict[str, Any]:
    """Return the settings of its extractor."""
    encoder = config.get("encoder_config") or {}
    return {
        **_SETTINGS,
        "feature_extractor_type": "GraniteSpeech5FeatureExtractor",
        "num_mel_bins": int(encoder.get("num_mel_bins", 80)),
        "padding_side": "right",
        "padding_value": 0.0,
    }


GRANITE = ModelFamily(
    "ctc",
    _read_geometry,
    head="ctc_head",
    tied_head="encoder.out",
    extractor="GraniteSpeech5FeatureExtractor",
    open_features=open_granite_features,
    settings=_mel_settings,
    processor="GraniteSpeech5Processor",
    isolates_padding=True,
    since=5,
)
