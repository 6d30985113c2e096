"""Masked group norm, which makes the emissions of base models independent of padding.

wav2vec 2.0 base, HuBERT base and similar models normalise each channel of their first convolution
over time, padding included, so that the emissions of an utterance depend on its batch. Devices that
compile for each shape must pad. With statistics over the unpadded frames only, and an attention
mask in the encoder, an utterance gets the same emissions batched and unbatched: the later
convolutions have no padding of their own, so an audio frame never depends on a padding frame.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from gaudi_asr_cli.core.models.ctc.model import CtcModel
from gaudi_asr_cli.core.models.families import isolates_padding


class MaskedGroupNorm(torch.nn.GroupNorm):
    """A group norm with one channel per group, over the frames that are not padding.

    It keeps the weights of the norm it replaces, and their names. `mask` is the attention mask
    (B, T) over the samples of the next batch; without one it is the plain norm.
    """

    def __init__(self, norm: torch.nn.GroupNorm, kernel: int, stride: int) -> None:
        super().__init__(norm.num_groups, norm.num_channels, norm.eps, affine=False)
        self.affine = True
        self.weight, self.bias = norm.weight, norm.bias
        self.kernel, self.stride = kernel, stride
        self.mask: torch.Tensor | None = None

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalise frames (B, C, F); the values of padding frames are meaningless."""
        if self.mask is None:
            return super().forward(frames)
        samples = self.mask.sum(dim=-1, keepdim=True)  # (B, 1)
        count = torch.div(samples - self.kernel, self.stride, rounding_mode="floor") + 1
        count = count.clamp(min=1)[:, :, None]  # (B, 1, 1)
        # Arithmetic on the mask only: no branch and no shape depends on its values.
        frame_mask = (torch.arange(frames.shape[-1], device=frames.device) < count).float()
        exact = frames.float()
        mean = (exact * frame_mask).sum(dim=-1, keepdim=True) / count  # (B, C, 1)
        centred = exact - mean
        variance = ((centred * frame_mask) ** 2).sum(dim=-1, keepdim=True) / count
        scale = torch.rsqrt(variance + self.eps) * self.weight.float()[:, None]
        return (centred * scale + self.bias.float()[:, None]).to(frames.dtype)


@dataclass(frozen=True, slots=True)
class PaddingInvariantModel(CtcModel):
    """A model with a masked group norm: batches may be padded."""

    @property
    def padding_invariant(self) -> bool:
        """Return True."""
        return True


def make_padding_invariant(model: CtcModel) -> CtcModel:
    """Make the emissions of a model independent of padding, if possible.

    The network is modified in place; its weights stay. Models trained with attention masks are
    padding invariant already and returned unchanged, as are those that cannot be made so
    (data2vec, SEW, conformer).
    """
    if model.padding_invariant or not can_be_padding_invariant(model.config):
        return model
    body = model.network.base_model
    first = body.feature_extractor.conv_layers[0]
    if not isinstance(first.layer_norm, MaskedGroupNorm):
        first.layer_norm = MaskedGroupNorm(
            first.layer_norm, int(first.conv.kernel_size[0]), int(first.conv.stride[0])
        )
        body.register_forward_pre_hook(_pass_mask, with_kwargs=True)
    values = {field.name: getattr(model, field.name) for field in fields(CtcModel)}
    return PaddingInvariantModel(**{**values, "frontend": replace(model.frontend, masks=True)})


def can_be_padding_invariant(config: dict[str, Any]) -> bool:
    """Return whether padding affects only the group norm in a network of this configuration."""
    return (
        isolates_padding(config)
        and config.get("feat_extract_norm") == "group"
        and not config.get("add_adapter")
        and not config.get("conv_pos_batch_norm")
    )


def _pass_mask(body: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Pass the attention mask to the norm; called inside the body, so that graphs include it."""
    mask = keywords.get("attention_mask", arguments[1] if len(arguments) > 1 else None)
    body.feature_extractor.conv_layers[0].layer_norm.mask = mask
