"""The transformer encoder, over the concatenated frames of several utterances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from gaudi_asr_cli.core.models.cpu.attention import Attention, pack_attention, pack_relative
from gaudi_asr_cli.core.models.cpu.convolution import Norm, pack_norm
from gaudi_asr_cli.core.models.cpu.ctc_layout import CtcLayout
from gaudi_asr_cli.core.models.cpu.linear import Linear, linear_maker, pack_linear
from gaudi_asr_cli.core.models.cpu.positions import PositionalConvolution, pack_positions
from gaudi_asr_cli.core.models.cpu.precision import PackedPrecision
from gaudi_asr_cli.core.models.weights import NetworkWeights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Adapter:
    """The language adapter of a layer (MMS): norm, down, ReLU, up, and the residual."""

    norm: Norm
    down: Linear
    up: Linear

    def __call__(self, frames: Tensor) -> Tensor:
        return self.up.add(functional.relu(self.down(self.norm(frames))), frames)


@dataclass(frozen=True, slots=True)
class Layer:
    """Attention and feed-forward, each residual fused into the last matrix product."""

    attention: Attention
    attention_norm: Norm
    fc1: Linear
    fc2: Linear
    final_norm: Norm
    adapter: Adapter | None

    def run_post_norm(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        """Apply the layer with norms after the residuals (wav2vec 2.0 base)."""
        context = self.attention(frames, lengths)
        frames = self.attention_norm(self.attention.out.add(context, frames))
        return self.final_norm(self.fc2.add(self.fc1.gelu(frames), frames))

    def run_pre_norm(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        """Apply the layer with norms before attention and feed-forward (wav2vec 2.0 large)."""
        context = self.attention(self.attention_norm(frames), lengths)
        frames = self.attention.out.add(context, frames)
        frames = self.fc2.add(self.fc1.gelu(self.final_norm(frames)), frames)
        return frames if self.adapter is None else self.adapter(frames)


@dataclass(frozen=True, slots=True)
class Encoder:
    """Features to logits. `pre_norm` is transformers' `do_stable_layer_norm`."""

    projection_norm: Norm | None
    projection: Linear
    positions: tuple[PositionalConvolution, ...]
    norm: Norm
    layers: tuple[Layer, ...]
    head: Linear
    pre_norm: bool

    def __call__(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return logits (F, V) for features (F, C); `lengths`, in frames, sum to F."""
        frames = self._add_positions(self._project(features), lengths)
        if self.pre_norm:
            for layer in self.layers:
                frames = layer.run_pre_norm(frames, lengths)
            return self.head(self.norm(frames))
        frames = self.norm(frames)
        for layer in self.layers:
            frames = layer.run_post_norm(frames, lengths)
        return self.head(frames)

    def _project(self, features: Tensor) -> Tensor:
        if self.projection_norm is not None:
            features = self.projection_norm(features)
        return self.projection(features)

    def _add_positions(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        """Add the convolutional position embeddings, utterance by utterance."""
        embedded = []
        for utterance in torch.split(frames, list(lengths)):
            position = utterance
            for convolve in self.positions:
                position = convolve(position)
            embedded.append(position.add_(utterance))
        return torch.cat(embedded) if len(embedded) > 1 else embedded[0]


def pack_encoder(
    body: NetworkWeights,
    head: NetworkWeights,
    layout: CtcLayout,
    precision: PackedPrecision,
) -> Encoder:
    """Pack the encoder and the head from their weights; projection and head are never quantised."""
    inner, projection = body.below("encoder"), body.below("feature_projection")
    dtype = precision.dtype
    make_exact = linear_maker(dtype)
    return Encoder(
        projection_norm=pack_norm(projection.below("layer_norm"), dtype, layout.eps)
        if layout.projection_norm
        else None,
        projection=pack_linear(projection.below("projection"), make_exact),
        positions=pack_positions(inner.below("pos_conv_embed"), layout.positions, dtype),
        norm=pack_norm(inner.below("layer_norm"), dtype, layout.eps),
        layers=tuple(_pack_layers(inner, layout, precision)),
        head=pack_linear(head, make_exact),
        pre_norm=layout.pre_norm,
    )


def _pack_layers(
    encoder: NetworkWeights, layout: CtcLayout, precision: PackedPrecision
) -> Iterator[Layer]:
    dtype, make = precision.dtype, precision.linear
    table = encoder.get("layers.0.attention.rel_attn_embed.weight")
    for index in range(layout.layers):
        layer = encoder.below(f"layers.{index}")
        attention, feed_forward = layer.below("attention"), layer.below("feed_forward")
        relative = None
        if table is not None:
            relative = pack_relative(attention, table, layout.longest, dtype)
        yield Layer(
            attention=pack_attention(attention, layout.heads, precision, relative),
            attention_norm=pack_norm(layer.below("layer_norm"), dtype, layout.eps),
            fc1=pack_linear(feed_forward.below("intermediate_dense"), make),
            fc2=pack_linear(feed_forward.below("output_dense"), precision.after_gelu),
            final_norm=pack_norm(layer.below("final_layer_norm"), dtype, layout.eps),
            adapter=None
            if layout.adapter is None
            else _pack_adapter(layer.below("adapter_layer"), dtype),
        )


def _pack_adapter(weights: NetworkWeights, dtype: torch.dtype) -> Adapter:
    make = linear_maker(dtype)
    return Adapter(
        norm=pack_norm(weights.below("norm"), dtype),
        down=pack_linear(weights.below("linear_1"), make),
        up=pack_linear(weights.below("linear_2"), make),
    )
