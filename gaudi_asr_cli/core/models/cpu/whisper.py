"""Whisper's network rewritten for the CPU: encoder, and a decoder with a preallocated KV cache.

A decoding step in transformers is dominated by Python overhead and by matrix products that are not
prepacked. Here cross-attention keys and values are computed once per utterance, self-attention
writes to a preallocated cache, and every weight is prepacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from gaudi_asr_cli.core.models.cpu.attention import (
    Attention,
    concatenate,
    pack_attention,
    scale_of,
)
from gaudi_asr_cli.core.models.cpu.convolution import Norm, pack_norm
from gaudi_asr_cli.core.models.cpu.encoder import Layer
from gaudi_asr_cli.core.models.cpu.greedy_head import GreedyHead, pack_greedy_head
from gaudi_asr_cli.core.models.cpu.linear import Linear, LinearMaker, linear_maker, pack_linear
from gaudi_asr_cli.core.models.cpu.whisper_layout import WhisperLayout
from gaudi_asr_cli.core.models.seq2seq.token_times import HeadIndex
from gaudi_asr_cli.core.models.weights import NetworkWeights

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


ALIGNED_ROWS = 32
"""Rows, to a multiple of which tokens are padded for their alignment."""

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
    """Tokens to logits. `embed_tokens` is (V, D), `embed_positions` (context length, D).

    `greedy_head` is a faster head for greedy choices, where there is one.
    """

    embed_tokens: Tensor
    embed_positions: Tensor
    layers: tuple[WhisperDecoderLayer, ...]
    norm: Norm
    head: Linear
    greedy_head: GreedyHead | None

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
            self_attn.append(torch.empty(shape))
        return KVCache(cross_keys, cross_values, self_attn)

    def step(self, tokens: Tensor, kv_cache: KVCache) -> Tensor:
        """Return normalised states (B, L, D) of tokens (B, L), and append these to the cache."""
        return self.norm(self._run(tokens, kv_cache))

    def compute_logits(self, states: Tensor) -> Tensor:
        """Return logits float32 (B, V) of normalised states (B, D)."""
        return self.head(states.contiguous()).float()

    def align(
        self, tokens: Tensor, encoded: CrossAttentionKV, heads: Sequence[HeadIndex], text: slice
    ) -> tuple[Tensor, Tensor]:
        """Return scores (A, L, F) of the alignment heads and logits (T, V) for tokens (1, L).

        Args:
            tokens: Prompt and text.
            encoded: What the encoder and `project_cross_attention` returned for the audio.
            heads: The heads (A,) that align.
            text: The T rows whose logits are needed.
        """
        length = tokens.shape[1]
        # oneDNN makes kernels of each number of rows that it meets, and keeps a thousand.
        padding = min(-length % ALIGNED_ROWS, len(self.embed_positions) - length)
        tokens = functional.pad(tokens, (0, padding))
        kv_cache = self.allocate([encoded], length + padding)
        scores: list[Tensor] = []
        hidden = self.norm(self._run(tokens, kv_cache, scores)[0])  # (L, D)
        aligned = torch.stack([scores[layer][head, :length] for layer, head in heads])
        return aligned, self.head(hidden)[text]

    def _run(self, tokens: Tensor, kv_cache: KVCache, scores: list[Tensor] | None = None) -> Tensor:
        """Return states (B, L, D) of tokens (B, L), and append these to the cache.

        Each layer's scores of cross-attention (B H, L, F) are appended to `scores`.
        """
        batch_size, length = tokens.shape
        positions = slice(kv_cache.length, kv_cache.length + length)
        hidden = self.embed_tokens[tokens] + self.embed_positions[positions]  # (B, L, D)
        hidden = hidden.view(batch_size * length, -1)
        for index, layer in enumerate(self.layers):
            hidden = _self_attend(layer, hidden, kv_cache.self_attn[index], positions)
            cross_kv = (kv_cache.cross_keys[index], kv_cache.cross_values[index])
            hidden = _cross_attend(layer, hidden, cross_kv, scores)
            hidden = layer.fc2.add(layer.fc1.gelu(layer.final_norm(hidden)), hidden)
        kv_cache.length += length
        return hidden.view(batch_size, length, -1)


@dataclass
class KVCache:
    """Keys and values of a batch, one tensor per decoder layer.

    `cross_keys` and `cross_values` (B, H, F, S) are fixed; `self_attn` (2, B, H, max_length, S) is
    filled up to `length` tokens, in float32: for small products of ever other lengths in bf16
    oneDNN makes a kernel of each, which takes longer than the product.
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
    (_, batch_size, heads, _, size), length = cache.shape, positions.stop - positions.start
    qkv = layer.self_attn.qkv(layer.self_attn_norm(hidden)).float()  # (B L, 3 D)
    qkv = qkv.view(batch_size, length, 3, heads, size)
    cache[:, :, :, positions] = qkv[:, :, 1:].permute(2, 0, 3, 1, 4)
    query = qkv[:, :, 0].transpose(1, 2).reshape(batch_size * heads, length, size)
    # two of (B H, past + L, S)
    keys, values = cache.view(2, batch_size * heads, -1, size)[:, :, : positions.stop]
    scores = torch.bmm(query, keys.transpose(1, 2))  # (B H, L, past + L)
    if length > 1:
        queries = torch.arange(positions.start, positions.stop)
        future = torch.arange(positions.stop) > queries[:, None]
        scores.masked_fill_(future, -torch.inf)
    context = torch.bmm(torch.softmax(scores, -1), values).view(batch_size, heads, length, size)
    context = context.transpose(1, 2).reshape(hidden.shape).to(hidden.dtype)
    return layer.self_attn.out.add(context, hidden)


def _cross_attend(
    layer: WhisperDecoderLayer,
    hidden: Tensor,
    cross_kv: tuple[Tensor, Tensor],
    seen: list[Tensor] | None,
) -> Tensor:
    """Attend from hidden (B L, D) to the encoder's keys and values (B, H, F, S)."""
    keys, values = cross_kv
    batch_size, heads, frames, size = keys.shape
    query = layer.cross_query(layer.cross_attn_norm(hidden))
    query = query.view(batch_size, -1, heads, size).transpose(1, 2)  # (B, H, L, S)
    # Three-dimensional products: torch's fused attention is ten times slower for a single query.
    flat = query.reshape(batch_size * heads, -1, size)
    scores = torch.bmm(flat, keys.view(batch_size * heads, frames, size).transpose(1, 2))
    if seen is not None:
        seen.append(scores)
    context = torch.bmm(torch.softmax(scores, -1), values.view(batch_size * heads, frames, size))
    context = context.view(batch_size, heads, -1, size).transpose(1, 2)  # (B, L, H, S)
    return layer.cross_out.add(context.reshape(hidden.shape), hidden)


def pack_network(
    weights: NetworkWeights, layout: WhisperLayout, dtype: torch.dtype, text_end: int
) -> tuple[WhisperEncoder, WhisperDecoder]:
    """Pack encoder and decoder of a Whisper in `dtype` from its weights.

    `text_end` is the first token id that is not text.
    """
    make = linear_maker(dtype)
    encoder = _pack_encoder(weights.below("model.encoder"), layout, make, dtype)
    decoder = weights.below("model.decoder")
    embed_tokens = decoder["embed_tokens.weight"].detach().to(dtype)
    # A file stores the head only if it is not that of the embeddings.
    own = weights.get("proj_out.weight")
    head_weight = embed_tokens if own is None else own.detach().to(dtype)
    head = make(head_weight, None)
    layers = (decoder.below(f"layers.{index}") for index in range(layout.decoder_layers))
    return encoder, WhisperDecoder(
        embed_tokens=embed_tokens,
        embed_positions=decoder["embed_positions.weight"].detach().to(dtype),
        layers=tuple(
            _pack_decoder_layer(layer, layout.decoder_heads, make, dtype) for layer in layers
        ),
        norm=pack_norm(decoder.below("layer_norm"), dtype),
        head=head,
        greedy_head=pack_greedy_head(head_weight, head, text_end),
    )


def _pack_encoder(
    encoder: NetworkWeights, layout: WhisperLayout, make: LinearMaker, dtype: torch.dtype
) -> WhisperEncoder:
    def convolution(name: str) -> tuple[Tensor, Tensor]:
        weight, bias = encoder[f"{name}.weight"].detach(), encoder[f"{name}.bias"].detach()
        return weight.to(dtype), bias.to(dtype)

    layers = (encoder.below(f"layers.{index}") for index in range(layout.encoder_layers))
    return WhisperEncoder(
        conv1=convolution("conv1"),
        conv2=convolution("conv2"),
        positions=encoder["embed_positions.weight"].detach().to(dtype),
        layers=tuple(
            _pack_encoder_layer(layer, layout.encoder_heads, make, dtype) for layer in layers
        ),
        norm=pack_norm(encoder.below("layer_norm"), dtype),
    )


def _pack_encoder_layer(
    layer: NetworkWeights, heads: int, make: LinearMaker, dtype: torch.dtype
) -> Layer:
    attention = pack_attention(layer.below("self_attn"), heads, make, None)
    return Layer(
        attention=replace(attention, fuses_exponential=True),
        attention_norm=pack_norm(layer.below("self_attn_layer_norm"), dtype),
        fc1=pack_linear(layer.below("fc1"), make),
        fc2=pack_linear(layer.below("fc2"), make),
        final_norm=pack_norm(layer.below("final_layer_norm"), dtype),
        adapter=None,
    )


def _pack_decoder_layer(
    layer: NetworkWeights, heads: int, make: LinearMaker, dtype: torch.dtype
) -> WhisperDecoderLayer:
    cross = layer.below("encoder_attn")
    query, scale = cross.below("q_proj"), scale_of(cross, heads)
    return WhisperDecoderLayer(
        self_attn=pack_attention(layer.below("self_attn"), heads, make, None),
        self_attn_norm=pack_norm(layer.below("self_attn_layer_norm"), dtype),
        cross_query=make(query["weight"].detach() * scale, query["bias"].detach() * scale),
        cross_kv=make(*concatenate(cross, {"k_proj": 1.0, "v_proj": 1.0})),
        cross_out=pack_linear(cross.below("out_proj"), make),
        cross_attn_norm=pack_norm(layer.below("encoder_attn_layer_norm"), dtype),
        fc1=pack_linear(layer.below("fc1"), make),
        fc2=pack_linear(layer.below("fc2"), make),
        final_norm=pack_norm(layer.below("final_layer_norm"), dtype),
        heads=heads,
    )
