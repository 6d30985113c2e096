"""Silero VAD's network in NumPy, for processes that do not import torch.

It computes what `SileroNetwork` does, a few frames at a time, at a hundredth of a CPU core in real
time; torch is faster in blocks of seconds.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.models.silero import (
    BINS,
    CONTEXT_SAMPLES,
    CONVOLUTION_STRIDES,
    STFT_HOP,
    STFT_PADDING,
    STFT_SIZE,
    VAD_FRAME_SAMPLES,
    WIDTH,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

KERNEL = 3
"""Frames of the spectrum that a convolution spans."""


class SileroWeights:
    """The weights from a file, laid out for products of rows and matrices."""

    def __init__(self, path: Path) -> None:
        from safetensors.numpy import load_file

        weights = load_file(path)
        self.fourier: Floats = weights["stft_conv.weight"][:, 0].T.copy()  # (256, 258)
        self.convolutions = [
            (_as_matrix(weights[f"conv{number}.weight"]), weights[f"conv{number}.bias"])
            for number in range(1, 5)
        ]
        self.input: Floats = weights["lstm_cell.weight_ih"].T.copy()  # (128, 512)
        self.hidden: Floats = weights["lstm_cell.weight_hh"].T.copy()
        self.bias: Floats = weights["lstm_cell.bias_ih"] + weights["lstm_cell.bias_hh"]
        self.last: Floats = weights["final_conv.weight"][0, :, 0]
        self.last_bias: Floats = weights["final_conv.bias"]


def _as_matrix(weight: Floats) -> Floats:
    """Return the weight (out, in, 3) of a convolution as a matrix (3 * in, out)."""
    return weight.transpose(2, 1, 0).reshape(-1, weight.shape[0]).copy()


@lru_cache(maxsize=1)
def open_silero_weights(path: Path) -> SileroWeights:
    """Open the weights from the file of `find_weights`."""
    return SileroWeights(path)


class SileroFrames:
    """Probabilities of audio that comes in blocks, as of the whole audio at once."""

    def __init__(self, weights: SileroWeights) -> None:
        self._weights = weights
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._hidden = np.zeros(WIDTH, np.float32)
        self._cell = np.zeros(WIDTH, np.float32)

    def __call__(self, samples: Floats) -> Floats:
        """Return the probabilities (N,) of the next samples (N * 512,)."""
        frames = samples.reshape(-1, VAD_FRAME_SAMPLES)
        contexts = np.concatenate([self._context[None], frames[:-1, -CONTEXT_SAMPLES:]])
        self._context = frames[-1, -CONTEXT_SAMPLES:].copy()
        encoded = self._encode(np.concatenate([contexts, frames], axis=1))
        outputs = self._run_lstm(encoded @ self._weights.input + self._weights.bias)
        return _sigmoid(np.maximum(outputs, 0) @ self._weights.last + self._weights.last_bias)

    def _encode(self, frames: Floats) -> Floats:
        """Encode frames with context (N, 576) to (N, 128)."""
        padded = np.pad(frames, ((0, 0), (0, STFT_PADDING)), "reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, STFT_SIZE, axis=1)[:, ::STFT_HOP]
        spectrum = windows @ self._weights.fourier  # (N, 4, 258)
        hidden = np.hypot(spectrum[..., :BINS], spectrum[..., BINS:])
        for (matrix, bias), stride in zip(
            self._weights.convolutions, CONVOLUTION_STRIDES, strict=True
        ):
            padded = np.pad(hidden, ((0, 0), (1, 1), (0, 0)))
            firsts = range(0, padded.shape[1] - KERNEL + 1, stride)
            columns = [padded[:, one : one + KERNEL].reshape(len(padded), -1) for one in firsts]
            hidden = np.maximum(np.stack(columns, axis=1) @ matrix + bias, 0)
        last: Floats = hidden[:, 0]
        return last

    def _run_lstm(self, inputs: Floats) -> Floats:
        """Return the LSTM's outputs (N, 128) of the products of its inputs (N, 512)."""
        outputs = np.empty((len(inputs), WIDTH), np.float32)
        for row, one in enumerate(inputs):
            gates = one + self._hidden @ self._weights.hidden
            write, forget, candidate, read = np.split(gates, 4)
            kept = _sigmoid(forget) * self._cell
            self._cell = kept + _sigmoid(write) * np.tanh(candidate)
            self._hidden = outputs[row] = _sigmoid(read) * np.tanh(self._cell)
        return outputs


def _sigmoid(values: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)), without overflow."""
    result: Floats = 0.5 + 0.5 * np.tanh(0.5 * values)
    return result
