"""A `CtcModel` that listens on a CPU as fast as it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gaudi_asr_cli.core.devices.amx import has_amx
from gaudi_asr_cli.core.devices.base import Device, torch_dtype
from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.models.cpu.convolution import (
    FeatureEncoder,
    has_known_norms,
    pack_features,
    window_maker,
)
from gaudi_asr_cli.core.models.cpu.encoder import Encoder, pack_encoder
from gaudi_asr_cli.core.models.cpu.int8 import (
    can_quantise,
    int8_linear_maker,
    int8_window_maker,
)
from gaudi_asr_cli.core.models.cpu.linear import linear_maker
from gaudi_asr_cli.core.models.ctc.model import CtcModel, join_emissions, split_batch
from gaudi_asr_cli.core.models.features import Frontend
from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import AudioBatch, Emissions, Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

FAMILIES = frozenset(
    {"wav2vec2", "hubert", "data2vec-audio", "unispeech", "unispeech-sat", "wavlm"}
)
"""Families that are made of the parts written out here."""
ACTIVATIONS = ("hidden_act", "feat_extract_activation")


@dataclass(frozen=True, slots=True)
class PackedCtcModel:
    """A network written out for a CPU, with what a `CtcModel` says of itself.

    It has no transformers network behind it: that one can be dropped and its memory freed.
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
    int8: bool = False
    language: str | None = None
    new_tokens: tuple[str, ...] = ()

    @property
    def prefers_batching(self) -> bool:
        """One utterance keeps the processor busy: speed is the same from 15 s to 200 s at once."""
        return False

    @property
    def padding_invariant(self) -> bool:
        """Nothing is ever padded, so an utterance never hears its neighbours."""
        return True

    def emissions(self, batch: AudioBatch) -> Emissions:
        """Log-probabilities (B, F, V) of a batch of samples (B, T), in float32."""
        sounds = [
            self.frontend.prepare(one)["input_values"][0].contiguous() for one in split_batch(batch)
        ]
        frame_s = self.geometry.frame_s
        parts = (one.log_softmax(-1).numpy()[None] for one in self.transcribe_clips(sounds))
        return join_emissions(Emissions(one, frames_of(one), frame_s) for one in parts)

    def transcribe_clips(self, sounds: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Logits float32 (F, V) of each of the sounds float32 (T,), normalised where it must be."""
        with torch.inference_mode():
            features = [self.features(sound) for sound in sounds]
            lengths = [one.shape[0] for one in features]
            logits = self.encoder(torch.cat(features), lengths)
            return torch.split(logits.float(), lengths)


def frames_of(log_probs: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many frames each row of (B, F, V) has, none of them padding."""
    return np.full(log_probs.shape[0], log_probs.shape[1], dtype=np.int64)


def pack(model: CtcModel, *, int8: bool = False) -> PackedCtcModel | None:
    """The model written out for a CPU; None where its layers are not those written out here.

    It computes in `model.dtype`. Weights that are still fp32 are best: the first convolution is
    exact in bf16 as well.

    Args:
        model: On a CPU, as transformers has it; not changed.
        int8: Multiply as 8-bit integers in the transformer layers and, without AMX, in all
            convolutions but the first: a third faster than bf16 there, at a small cost in accuracy
            (about 1 % in a product). With AMX bf16 is as fast.

    Raises:
        MachineError: `int8`, and this build of torch cannot.
    """
    if not is_packable(model):
        return None
    dtype = torch_dtype(model.dtype)
    if int8 and not can_quantise():
        raise MachineError(
            "This build of torch cannot multiply 8-bit integers on this processor.",
            remedy="Leave int8 out, or install torch 2.6 or newer for x86-64.",
        )
    make = int8_linear_maker(dtype) if int8 else linear_maker(dtype)
    # Tiles multiply bf16 so fast that quantising what comes into a convolution takes longer.
    slide = int8_window_maker if int8 and not has_amx() else window_maker(dtype)
    network = model.network
    body = getattr(network, network.base_model_prefix)
    with torch.inference_mode():
        return PackedCtcModel(
            name=model.name,
            features=pack_features(body.feature_extractor, slide, dtype),
            encoder=pack_encoder(body, network.lm_head, make, dtype),
            vocabulary=model.vocabulary,
            frontend=model.frontend,
            geometry=model.geometry,
            device=model.device,
            dtype=model.dtype,
            config=model.config,
            int8=int8,
            language=model.language,
            new_tokens=model.new_tokens,
        )


def is_packable(model: CtcModel) -> bool:
    """Whether the model is on a CPU and made of the parts written out here."""
    config = model.config
    if model.device.torch_device.type != "cpu" or config.get("model_type") not in FAMILIES:
        return False
    if config.get("add_adapter") or config.get("conv_pos_batch_norm"):
        return False
    if any(config.get(field, "gelu") != "gelu" for field in ACTIVATIONS):
        return False
    body = getattr(model.network, model.network.base_model_prefix)
    return has_known_norms(list(body.feature_extractor.conv_layers))
