"""Channels of a recording: mixed down to mono, or one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANCELLED_RATIO = 0.05
"""Independent channels keep half of their mean power when mixed; with less they cancel."""


def mix_down(
    samples: NDArray[np.float32], channel: int | None, name: str
) -> tuple[NDArray[np.float32], str]:
    """Reduce (T, C) to (T,): the mean of all channels, or one; with a note, or "".

    Channels of opposite phase would cancel each other: the first loud one is returned.

    Args:
        samples: Float32 (T, C).
        channel: A channel from 0, or None for the mean.
        name: The name of the file, for the error.

    Raises:
        DataError: There is no such channel.
    """
    channels = samples.shape[1]
    if channel is not None:
        check_channel(channel, channels, name)
        return samples[:, channel], ""
    if channels == 1:
        return samples[:, 0], ""
    mixed = samples.mean(axis=1, dtype=np.float32)
    powers = np.einsum("tc,tc->c", samples, samples, dtype=np.float64)
    mixed_power = float(np.einsum("t,t->", mixed, mixed, dtype=np.float64))
    if not mixed_power < CANCELLED_RATIO * powers.mean():
        return mixed, ""
    # The first of equally loud ones, so that all parts of a recording give the same channel.
    kept = int(np.argmax(powers >= powers.max() / 2))
    return samples[:, kept], (
        f"its channels have opposite phase and cancel each other: channel {kept} alone is read"
    )


def check_channel(channel: int, channels: int, name: str) -> None:
    """Check that a file has a channel.

    Raises:
        DataError: It has not.
    """
    if not 0 <= channel < channels:
        raise DataError(
            f"{name}: there is no channel {channel}, the file has {channels}.",
            remedy=f"Channels are counted from 0: choose 0 to {channels - 1}, or none to mix.",
        )
