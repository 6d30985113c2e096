"""CTC inference on a CPU: the network rewritten with prepacked, fused operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.models.cpu.convolution import FeatureEncoder, pack_features
from gaudi_asr_cli.core.models.cpu.ctc_layout import has_weights, read_ctc_layout
from gaudi_asr_cli.core.models.cpu.encoder import Encoder, pack_encoder
from gaudi_asr_cli.core.models.cpu.precision import INT8, open_precision
from gaudi_asr_cli.core.models.ctc.model import CtcModel, join_emissions, split_batch
from gaudi_asr_cli.core.models.features import Frontend
from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import AudioBatch, Emissions, Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PackedCtcModel:
    """A CTC network rewritten for the CPU, with the metadata of the `CtcModel` it came from.

    It holds no reference to the transformers network, whose memory can be freed. `dtype` is the
    name of its precision: see `PackedPrecision`.
    """

    name: str
    features: FeatureEncoder
    encoder: Encoder
    vocabulary: Vocabulary
    frontend: Frontend
    geometry: FrameGeometry
    device: Device
    dtype: str
    config: Mapping[str, Any]
    language: str | None = None
    new_tokens: tuple[str, ...] = ()

    @property
    def prefers_batching(self) -> bool:
        """Return False: one utterance saturates the CPU (same RTFx at 15 s and 200 s a batch)."""
        return False

    @property
    def padding_invariant(self) -> bool:
        """Return True: utterances are not padded and do not attend to each other."""
        return True

    def emissions(self, batch: AudioBatch) -> Emissions:
        """Return log-probabilities (B, F, V) in float32 for a batch of samples (B, T)."""
        waveforms = [
            self.frontend.prepare(utterance)["input_values"][0].contiguous()
            for utterance in split_batch(batch)
        ]
        frame_s = self.geometry.frame_s
        # (F, V) to (1, F, V), one for each utterance
        log_probs = (
            logits.log_softmax(-1).numpy()[None] for logits in self.compute_logits(waveforms)
        )
        return join_emissions(Emissions(part, frames_of(part), frame_s) for part in log_probs)

    def compute_logits(self, waveforms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return logits (F, V) for each waveform (T,), both float32.

        Waveforms are already normalised if the model expects that.
        """
        with torch.inference_mode():
            features = [self.features(waveform) for waveform in waveforms]
            if self.dtype == INT8:
                # An int8 linear corrects its rounding for the rows of one utterance.
                return tuple(self.encoder(frames, [len(frames)]).float() for frames in features)
            lengths = [frames.shape[0] for frames in features]
            logits = self.encoder(torch.cat(features), lengths)  # (sum of F, V)
            return torch.split(logits.float(), lengths)


def frames_of(log_probs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the number of frames (B,) of log-probabilities (B, F, V) without padding."""
    return np.full(log_probs.shape[0], log_probs.shape[1], dtype=np.int64)


def pack(model: CtcModel, precision: str | None = None) -> PackedCtcModel | None:
    """Build the optimised CPU version of a model, or return None if it is not supported.

    It computes from the stored weights or from a network that is loaded already. Weights that were
    never rounded give the most exact result: the first convolution then stays exact in bf16 as
    well.

    Args:
        model: A model on a CPU; not modified.
        precision: See `open_precision`; None is `model.dtype`.

    Raises:
        MachineError: The precision is not supported here.
    """
    layout = read_ctc_layout(model.config)
    if layout is None or model.device.torch_device.type != "cpu":
        return None
    weights = model.weights
    if not has_weights(weights, layout):
        return None
    chosen = open_precision(precision or model.dtype)
    body, head = weights.below(layout.body), weights.below("lm_head")
    with torch.inference_mode():
        return PackedCtcModel(
            name=model.name,
            features=pack_features(
                body.below("feature_extractor"), layout, chosen.window, chosen.dtype
            ),
            encoder=pack_encoder(body, head, layout, chosen),
            vocabulary=model.vocabulary,
            frontend=model.frontend,
            geometry=model.geometry,
            device=model.device,
            dtype=chosen.name,
            config=model.config,
            language=model.language,
            new_tokens=model.new_tokens,
        )
