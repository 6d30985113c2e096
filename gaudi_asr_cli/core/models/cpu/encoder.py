"""The transformer encoder, over the concatenated frames of several utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from gaudi_asr_cli.core.models.cpu.attention import Attention, pack_attention, pack_relative
from gaudi_asr_cli.core.models.cpu.convolution import Norm, pack_norm
from gaudi_asr_cli.core.models.cpu.linear import Linear, LinearMaker, linear_maker
from gaudi_asr_cli.core.models.cpu.positions import PositionalConvolution, pack_positions

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


def pack_encoder(body: Any, head: Any, make: LinearMaker, dtype: torch.dtype) -> Encoder:
    """Pack the encoder and the head of a transformers network.

    `make` packs the linears of the layers; the projection and the head are never quantised.
    """
    inner, projection = body.encoder, body.feature_projection
    first = inner.layers[0].attention
    make_exact = linear_maker(dtype)
    return Encoder(
        projection_norm=_pack_projection_norm(projection, dtype),
        projection=_pack_linear(projection.projection, make_exact),
        positions=pack_positions(inner.pos_conv_embed, dtype),
        norm=pack_norm(inner.layer_norm, dtype),
        layers=tuple(_pack_layer(layer, first, make, dtype) for layer in inner.layers),
        head=_pack_linear(head, make_exact),
        pre_norm=type(inner).__name__.endswith("StableLayerNorm"),
    )


def _pack_projection_norm(projection: Any, dtype: torch.dtype) -> Norm | None:
    norm = getattr(projection, "layer_norm", None)
    return None if norm is None else pack_norm(norm, dtype)


def _pack_layer(layer: Any, first: Any, make: LinearMaker, dtype: torch.dtype) -> Layer:
    relative = pack_relative(layer.attention, first, dtype)
    return Layer(
        attention=pack_attention(layer.attention, make, relative),
        attention_norm=pack_norm(layer.layer_norm, dtype),
        fc1=_pack_linear(layer.feed_forward.intermediate_dense, make),
        fc2=_pack_linear(layer.feed_forward.output_dense, make),
        final_norm=pack_norm(layer.final_layer_norm, dtype),
        adapter=_pack_adapter(getattr(layer, "adapter_layer", None), dtype),
    )


def _pack_adapter(module: Any, dtype: torch.dtype) -> Adapter | None:
    if module is None:
        return None
    make = linear_maker(dtype)
    return Adapter(
        norm=pack_norm(module.norm, dtype),
        down=_pack_linear(module.linear_1, make),
        up=_pack_linear(module.linear_2, make),
    )


def _pack_linear(module: Any, make: LinearMaker) -> Linear:
    bias = None if module.bias is None else module.bias.detach()
    return make(module.weight.detach(), bias)
