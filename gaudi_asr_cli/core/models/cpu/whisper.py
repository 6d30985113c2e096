"""Whisper's network rewritten for the CPU: encoder, and a decoder with a preallocated KV cache.

A decoding step in transformers is dominated by Python overhead and by matrix products that are not
prepacked. Here cross-attention keys and values are computed once per utterance, self-attention
writes to a preallocated cache, and every weight is prepacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from gaudi_asr_cli.core.models.cpu.attention import Attention
from gaudi_asr_cli.core.models.cpu.convolution import Norm, pack_norm
from gaudi_asr_cli.core.models.cpu.encoder import Layer
from gaudi_asr_cli.core.models.cpu.linear import Linear, LinearMaker, linear_maker

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class WhisperEncoder:
    """Log-mel windows to frames. `conv1` and `conv2` are weight and bias."""

    conv1: tuple[Tensor, Tensor]
    conv2: tuple[Tensor, Tensor]
    positions: Tensor
    layers: tuple[Layer, ...]
    norm: Norm

    def __call__(self, window: Tensor) -> Tensor:
        """Return frames (F, D) for a log-mel window (M, 2 F)."""
        hidden = window[None].to(self.positions.dtype)  # (1, M, 2 F)
        hidden = functional.gelu(functional.conv1d(hidden, *self.conv1, padding=1))  # (1, D, 2 F)
        hidden = functional.gelu(functional.conv1d(hidden, *self.conv2, stride=2, padding=1))
        frames = (hidden[0].T + self.positions).contiguous()  # (1, D, F) to (F, D)
        for layer in self.layers:
            frames = layer.run_pre_norm(frames, [len(frames)])
        return self.norm(frames)


CrossAttentionKV = list["Tensor"]
"""Cross-attention keys and values (2, H, F, S) of an utterance, one tensor per decoder layer."""


@dataclass(frozen=True, slots=True)
class WhisperDecoderLayer:
    """A decoder layer: causal self-attention, cross-attention to the encoder, feed-forward."""

    self_attn: Attention
    self_attn_norm: Norm
    cross_query: Linear
    cross_kv: Linear
    cross_out: Linear
    cross_attn_norm: Norm
    fc1: Linear
    fc2: Linear
    final_norm: Norm
    heads: int


@dataclass(frozen=True, slots=True)
class WhisperDecoder:
    """Tokens to logits. `embed_tokens` is (V, D), `embed_positions` (context length, D)."""

    embed_tokens: Tensor
    embed_positions: Tensor
    layers: tuple[WhisperDecoderLayer, ...]
    norm: Norm
    head: Linear

    def project_cross_attention(self, frames: Tensor) -> CrossAttentionKV:
        """Return the cross-attention keys and values of the encoder output (F, D)."""
        return [
            # (F, 2 D) to (2, H, F, S)
            layer.cross_kv(frames).view(len(frames), 2, layer.heads, -1).permute(1, 2, 0, 3)
            for layer in self.layers
        ]

    def allocate(self, encoded: Sequence[CrossAttentionKV], max_length: int) -> KVCache:
        """Allocate a cache for up to `max_length` tokens of each encoded utterance."""
        batch_size = len(encoded)
        cross_keys, cross_values, self_attn = [], [], []
        for index, layer in enumerate(self.layers):
            head_size = self.embed_tokens.shape[1] // layer.heads
            cross_keys.append(torch.stack([kv[index][0] for kv in encoded]))
            cross_values.append(torch.stack([kv[index][1] for kv in encoded]))
            shape = (2, batch_size, layer.heads, max_length, head_size)
            self_attn.append(torch.empty(shape, dtype=self.embed_tokens.dtype))
        return KVCache(cross_keys, cross_values, self_attn)

    def step(self, tokens: Tensor, kv_cache: KVCache) -> Tensor:
        """Return logits float32 (B, V) after tokens (B, L), and append these to the cache."""
        batch_size, length = tokens.shape
        positions = slice(kv_cache.length, kv_cache.length + length)
        hidden = self.embed_tokens[tokens] + self.embed_positions[positions]  # (B, L, D)
        hidden = hidden.view(batch_size * length, -1)
        for index, layer in enumerate(self.layers):
            hidden = _self_attend(layer, hidden, kv_cache.self_attn[index], positions)
            cross_kv = (kv_cache.cross_keys[index], kv_cache.cross_values[index])
            hidden = _cross_attend(layer, hidden, cross_kv)
            hidden = layer.fc2.add(layer.fc1.gelu(layer.final_norm(hidden)), hidden)
        kv_cache.length += length
        last = hidden.view(batch_size, length, -1)[:, -1]  # (B, D)
        return self.head(self.norm(last.contiguous())).float()


@dataclass
class KVCache:
    """Keys and values of a batch, one tensor per decoder layer.

    `cross_keys` and `cross_values` (B, H, F, S) are fixed; `self_attn` (2, B, H, max_length, S) is
    filled up to `length` tokens.
    """

    cross_keys: list[Tensor]
    cross_values: list[Tensor]
    self_attn: list[Tensor]
    length: int = 0

    def select_rows(self, rows: Tensor) -> None:
        """Keep only these rows of the batch."""
        self.cross_keys = [keys[rows] for keys in self.cross_keys]
        self.cross_values = [values[rows] for values in self.cross_values]
        self.self_attn = [kv[:, rows] for kv in self.self_attn]


def _self_attend(
    layer: WhisperDecoderLayer, hidden: Tensor, cache: Tensor, positions: slice
) -> Tensor:
    """Apply causal self-attention to hidden (B L, D), whose keys and values go into the cache."""
    batch_size, length = cache.shape[1], positions.stop - positions.start
    qkv = layer.self_attn.qkv(layer.self_attn_norm(hidden))  # (B L, 3 D)
    # three times (B, H, L, S)
    query, key, value = qkv.view(batch_size, length, 3, layer.heads, -1).permute(2, 0, 3, 1, 4)
    cache[0, :, :, positions], cache[1, :, :, positions] = key, value
    keys, values = cache[0, :, :, : positions.stop], cache[1, :, :, : positions.stop]
    scores = query @ keys.transpose(2, 3)  # (B, H, L, past + L)
    if length > 1:
        queries = torch.arange(positions.start, positions.stop)
        future = torch.arange(positions.stop) > queries[:, None]
        scores.masked_fill_(future, -torch.inf)
    context = torch.softmax(scores, -1) @ values  # (B, H, L, S)
    return layer.self_attn.out.add(context.transpose(1, 2).reshape(hidden.shape), hidden)


def _cross_attend(
    layer: WhisperDecoderLayer, hidden: Tensor, cross_kv: tuple[Tensor, Tensor]
) -> Tensor:
    """Attend from hidden (B L, D) to the encoder's keys and values (B, H, F, S)."""
    keys, values = cross_kv
    batch_size, heads, frames, size = keys.shape
    query = layer.cross_query(layer.cross_attn_norm(hidden))
    query = query.view(batch_size, -1, heads, size).transpose(1, 2)  # (B, H, L, S)
    # Three-dimensional products: torch's fused attention is ten times slower for a single query.
    flat = query.reshape(batch_size * heads, -1, size)
    scores = torch.bmm(flat, keys.view(batch_size * heads, frames, size).transpose(1, 2))
    context = torch.bmm(torch.softmax(scores, -1), values.view(batch_size * heads, frames, size))
    context = context.view(batch_size, heads, -1, size).transpose(1, 2)  # (B, L, H, S)
    return layer.cross_out.add(context.reshape(hidden.shape), hidden)


def is_whisper_packable(network: Any) -> bool:
    """Return whether a Whisper network is on the CPU and has the layers implemented here."""
    config = network.config
    return bool(
        config.model_type == "whisper"
        and config.activation_function == "gelu"
        and not config.scale_embedding
        and network.device.type == "cpu"
    )


def pack_network(network: Any, dtype: torch.dtype) -> tuple[WhisperEncoder, WhisperDecoder]:
    """Pack encoder and decoder of a transformers Whisper in `dtype`, which is not modified."""
    make = linear_maker(dtype)
    return _pack_encoder(network.model.encoder, make, dtype), _pack_decoder(network, make, dtype)


def _pack_encoder(encoder: Any, make: LinearMaker, dtype: torch.dtype) -> WhisperEncoder:
    def convolution(module: Any) -> tuple[Tensor, Tensor]:
        return module.weight.detach().to(dtype), module.bias.detach().to(dtype)

    return WhisperEncoder(
        conv1=convolution(encoder.conv1),
        conv2=convolution(encoder.conv2),
        positions=encoder.embed_positions.weight.detach().to(dtype),
        layers=tuple(_pack_encoder_layer(layer, make, dtype) for layer in encoder.layers),
        norm=pack_norm(encoder.layer_norm, dtype),
    )


def _pack_encoder_layer(module: Any, make: LinearMaker, dtype: torch.dtype) -> Layer:
    return Layer(
        attention=_pack_attention(module.self_attn, make),
        attention_norm=pack_norm(module.self_attn_layer_norm, dtype),
        fc1=_pack_linear(module.fc1, make),
        fc2=_pack_linear(module.fc2, make),
        final_norm=pack_norm(module.final_layer_norm, dtype),
        adapter=None,
    )


def _pack_decoder(network: Any, make: LinearMaker, dtype: torch.dtype) -> WhisperDecoder:
    decoder = network.model.decoder
    return WhisperDecoder(
        embed_tokens=decoder.embed_tokens.weight.detach().to(dtype),
        embed_positions=decoder.embed_positions.weight.detach().to(dtype),
        layers=tuple(_pack_decoder_layer(layer, make, dtype) for layer in decoder.layers),
        norm=pack_norm(decoder.layer_norm, dtype),
        head=make(network.proj_out.weight.detach(), None),
    )


def _pack_decoder_layer(module: Any, make: LinearMaker, dtype: torch.dtype) -> WhisperDecoderLayer:
    cross = module.encoder_attn
    scale = float(cross.scaling)
    query = cross.q_proj
    return WhisperDecoderLayer(
        self_attn=_pack_attention(module.self_attn, make),
        self_attn_norm=pack_norm(module.self_attn_layer_norm, dtype),
        cross_query=make(query.weight.detach() * scale, query.bias.detach() * scale),
        cross_kv=make(*_concatenate((cross.k_proj, cross.v_proj), (1.0, 1.0))),
        cross_out=_pack_linear(cross.out_proj, make),
        cross_attn_norm=pack_norm(module.encoder_attn_layer_norm, dtype),
        fc1=_pack_linear(module.fc1, make),
        fc2=_pack_linear(module.fc2, make),
        final_norm=pack_norm(module.final_layer_norm, dtype),
        heads=int(cross.num_heads),
    )


def _pack_attention(module: Any, make: LinearMaker) -> Attention:
    projections = (module.q_proj, module.k_proj, module.v_proj)
    qkv = make(*_concatenate(projections, (float(module.scaling), 1.0, 1.0)))
    return Attention(qkv, _pack_linear(module.out_proj, make), int(module.num_heads), None)


def _concatenate(linears: Sequence[Any], scales: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Concatenate the weights and biases of linears with the same input; keys have no bias."""
    scaled = list(zip(linears, scales, strict=True))
    weight = torch.cat([linear.weight.detach().float() * scale for linear, scale in scaled])
    bias = torch.cat([_bias_of(linear) * scale for linear, scale in scaled])
    return weight, bias


def _bias_of(linear: Any) -> Tensor:
    if linear.bias is None:
        return torch.zeros(linear.out_features)
    bias: Tensor = linear.bias.detach().float()
    return bias


def _pack_linear(module: Any, make: LinearMaker) -> Linear:
    return make(module.weight.detach(), module.bias.detach())
