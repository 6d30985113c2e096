"""Silero VAD's network for 16 kHz audio, in torch: the probability of speech of each frame.

The weights come with the package `silero-vad` (extra `vad`), whose own code would need torchaudio
and runs frame by frame. Here the convolutions of a block of frames are one call, and so is the
LSTM.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.models.threads import threads
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    Samples = NDArray[np.float32]
    LstmState = tuple[Tensor, Tensor]

VAD_FRAME_SAMPLES = 512
VAD_FRAME_S = VAD_FRAME_SAMPLES / SAMPLE_RATE_HZ
CONTEXT_SAMPLES = 64
"""Samples of the frame before that each frame starts with."""
STFT_SIZE, STFT_HOP, STFT_PADDING = 256, 128, 64
BINS = STFT_SIZE // 2 + 1
WIDTH = 128
CONVOLUTION_STRIDES = (1, 2, 2, 1)
WEIGHTS = "data/silero_vad_16k.safetensors"


def find_weights() -> Path | None:
    """Return the file of weights in the package `silero-vad`; None if it is not installed."""
    spec = find_spec("silero_vad")
    folders = () if spec is None else spec.submodule_search_locations or ()
    paths = (Path(folder, WEIGHTS) for folder in folders)
    return next((path for path in paths if path.is_file()), None)


@lru_cache(maxsize=1)
def open_silero(path: Path) -> SileroNetwork:
    """Open the network from a file of weights."""
    import torch
    from safetensors.torch import load_file

    weights = load_file(path)
    lstm = torch.nn.LSTM(WIDTH, WIDTH)
    lstm.load_state_dict({f"{name}_l0": weights[f"lstm_cell.{name}"] for name, _ in _lstm_names()})
    convolutions = tuple(
        (weights[f"conv{number}.weight"], weights[f"conv{number}.bias"]) for number in range(1, 5)
    )
    return SileroNetwork(
        weights["stft_conv.weight"],
        convolutions,
        lstm.eval().requires_grad_(False),
        (weights["final_conv.weight"][:, :, 0], weights["final_conv.bias"]),
    )


def _lstm_names() -> tuple[tuple[str, str], ...]:
    return tuple((f"{kind}_{side}", side) for kind in ("weight", "bias") for side in ("ih", "hh"))


@dataclass(frozen=True, slots=True)
class SileroNetwork:
    """The weights: of the Fourier transform, of four convolutions, an LSTM and a last layer."""

    fourier: Tensor
    convolutions: tuple[tuple[Tensor, Tensor], ...]
    lstm: torch.nn.LSTM
    last: tuple[Tensor, Tensor]

    def __call__(self, frames: Tensor, state: LstmState) -> tuple[Tensor, LstmState]:
        """Return probabilities (N,) of frames with context (N, 576), and the LSTM's state."""
        import torch
        from torch.nn import functional

        with torch.inference_mode():
            padded = functional.pad(frames[:, None], (0, STFT_PADDING), "reflect")
            spectrum = functional.conv1d(padded, self.fourier, stride=STFT_HOP)  # (N, 258, 4)
            hidden = torch.hypot(spectrum[:, :BINS], spectrum[:, BINS:])
            for (weight, bias), stride in zip(self.convolutions, CONVOLUTION_STRIDES, strict=True):
                hidden = functional.conv1d(hidden, weight, bias, stride=stride, padding=1).relu()
            # Threads would wait for each other at every frame, on busy cores for a time slice.
            with threads(1):
                outputs, state = self.lstm(hidden[:, :, 0], state)  # (N, 128)
            return functional.linear(outputs.relu(), *self.last).sigmoid()[:, 0], state


class SileroStream:
    """Probabilities of audio that comes in blocks, as of the whole audio at once."""

    def __init__(self, network: SileroNetwork) -> None:
        import torch

        self._network = network
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._state = (torch.zeros(1, WIDTH), torch.zeros(1, WIDTH))

    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        """Return the probabilities (N,) of the next samples (N * 512,)."""
        import torch

        frames = samples.reshape(-1, VAD_FRAME_SAMPLES)
        contexts = np.concatenate([self._context[None], frames[:-1, -CONTEXT_SAMPLES:]])
        self._context = frames[-1, -CONTEXT_SAMPLES:].copy()
        joined = torch.from_numpy(np.concatenate([contexts, frames], axis=1))
        probabilities, self._state = self._network(joined, self._state)
        return probabilities.numpy()
