"""Group norm over the sound alone, so that padding changes nothing of what base models hear.

wav2vec 2.0 base, HuBERT base and their like normalise each channel of their first convolution over
time: over the padding as well, so that an utterance sounds different in every batch. Devices that
compile for each shape must pad. With the statistics taken over the frames of sound alone, and with
an attention mask behind it, an utterance gets the same emissions padded and alone: the later
convolutions have no padding of their own, so a frame of sound never sees a frame of padding.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from gaudi_asr_cli.core.models.ctc.model import CtcModel
from gaudi_asr_cli.core.models.families import PADDABLE


class MaskedGroupNorm(torch.nn.GroupNorm):
    """A group norm of one channel a group behind a convolution, over frames of sound alone.

    Weights are those of the norm it replaces, and so are their names. `mask` is the attention
    mask (B, T) over samples of the batch that comes next; without one it is the plain norm.
    """

    def __init__(self, norm: torch.nn.GroupNorm, kernel: int, stride: int) -> None:
        super().__init__(norm.num_groups, norm.num_channels, norm.eps, affine=False)
        self.affine = True
        self.weight, self.bias = norm.weight, norm.bias
        self.kernel, self.stride = kernel, stride
        self.mask: torch.Tensor | None = None

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalise frames (B, C, F); the frames of padding get numbers that nobody hears."""
        if self.mask is None:
            return super().forward(frames)
        samples = self.mask.sum(dim=-1, keepdim=True)
        count = torch.div(samples - self.kernel, self.stride, rounding_mode="floor") + 1
        count = count.clamp(min=1)[:, :, None]
        # Arithmetic on the mask alone: no branch and no shape depends on what is in it.
        heard = (torch.arange(frames.shape[-1], device=frames.device) < count).float()
        sound = frames.float()
        mean = (sound * heard).sum(dim=-1, keepdim=True) / count
        centred = sound - mean
        variance = ((centred * heard) ** 2).sum(dim=-1, keepdim=True) / count
        scale = torch.rsqrt(variance + self.eps) * self.weight.float()[:, None]
        return (centred * scale + self.bias.float()[:, None]).to(frames.dtype)


@dataclass(frozen=True, slots=True)
class PaddingInvariantModel(CtcModel):
    """A model whose group norm has been replaced: batches may be padded."""

    @property
    def padding_invariant(self) -> bool:
        return True


def make_padding_invariant(model: CtcModel) -> CtcModel:
    """The model made so that padding changes nothing; as it was where that cannot be done.

    The network is changed in place, its weights are not. Models that were trained with masks are
    padding-proof already and come back untouched; data2vec, SEW and the conformer cannot be.
    """
    if model.padding_invariant or not can_be_padding_invariant(model.config):
        return model
    body = model.network.base_model
    first = body.feature_extractor.conv_layers[0]
    if not isinstance(first.layer_norm, MaskedGroupNorm):
        first.layer_norm = MaskedGroupNorm(
            first.layer_norm, int(first.conv.kernel_size[0]), int(first.conv.stride[0])
        )
        body.register_forward_pre_hook(_hand_over_mask, with_kwargs=True)
    values = {one.name: getattr(model, one.name) for one in fields(CtcModel)}
    return PaddingInvariantModel(**{**values, "frontend": replace(model.frontend, masks=True)})


def can_be_padding_invariant(config: dict[str, Any]) -> bool:
    """Whether the group norm is all that padding disturbs in a network of this configuration."""
    return (
        config.get("model_type") in PADDABLE
        and config.get("feat_extract_norm") == "group"
        and not config.get("add_adapter")
        and not config.get("conv_pos_batch_norm")
    )


def _hand_over_mask(body: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Give the norm the mask of the call that begins; inside the body, so graphs capture it."""
    mask = keywords.get("attention_mask", arguments[1] if len(arguments) > 1 else None)
    body.feature_extractor.conv_layers[0].layer_norm.mask = mask
