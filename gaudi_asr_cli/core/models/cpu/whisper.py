"""Whisper's network rewritten for the CPU: encoder, and a decoder with a preallocated KV cache.

A decoding step in transformers is dominated by Python overhead and by matrix products that are not
prepacked. Here cross-attention reads the frames of the encoder, which are packed once per
utterance, self-attention writes to a preallocated cache, and every weight is prepacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from gaudi_asr_cli.core.devices.base import INT16
from gaudi_asr_cli.core.models.cpu.attention import Attention, pack_attention
from gaudi_asr_cli.core.models.cpu.convolution import Norm, WindowProduct, pack_norm
from gaudi_asr_cli.core.models.cpu.cross_attention import (
    CrossAttention,
    EncodedWindow,
    pack_cross_attention,
)
from gaudi_asr_cli.core.models.cpu.encoder import Layer
from gaudi_asr_cli.core.models.cpu.greedy_head import GreedyHead, pack_greedy_head
from gaudi_asr_cli.core.models.cpu.linear import Linear, pack_linear
from gaudi_asr_cli.core.models.cpu.precision import PackedPrecision
from gaudi_asr_cli.core.models.cpu.whisper_layout import WhisperLayout
from gaudi_asr_cli.core.models.geometry import Convolution
from gaudi_asr_cli.core.models.seq2seq.token_times import HeadIndex
from gaudi_asr_cli.core.models.weights import NetworkWeights

if TYPE_CHECKING:
    from torch import Tensor


CONVOLUTIONS = (Convolution(kernel=3, stride=1), Convolution(kernel=3, stride=2))
"""Both are padded by a frame at either end."""


@dataclass(frozen=True, slots=True)
class PlainConvolutions:
    """The convolutions of the encoder by torch; each is weight and bias."""

    conv1: tuple[Tensor, Tensor]
    conv2: tuple[Tensor, Tensor]

    def __call__(self, window: Tensor) -> Tensor:
        """Return frames (F, D) for a log-mel window (M, 2 F), both float."""
        hidden = functional.conv1d(window[None], *self.conv1, padding=1)  # (1, D, 2 F)
        hidden = functional.conv1d(functional.gelu(hidden), *self.conv2, stride=2, padding=1)
        return functional.gelu(hidden)[0].T  # (1, D, F) to (F, D)


@dataclass(frozen=True, slots=True)
class WindowedConvolutions:
    """The convolutions of the encoder as products over windows of frames."""

    conv1: WindowProduct
    conv2: WindowProduct

    def __call__(self, window: Tensor) -> Tensor:
        """Return frames (F, D) for a log-mel window (M, 2 F), both float."""
        hidden = self.conv1.gelu(functional.pad(window.T, (0, 0, 1, 1)))  # (2 F, D)
        return self.conv2.gelu(functional.pad(hidden, (0, 0, 1, 1)))


@dataclass(frozen=True, slots=True)
class WhisperEncoder:
    """Log-mel windows to frames."""

    convolutions: PlainConvolutions | WindowedConvolutions
    positions: Tensor
    layers: tuple[Layer, ...]
    norm: Norm

    def __call__(self, window: Tensor) -> Tensor:
        """Return frames (F, D) for a log-mel window (M, 2 F)."""
        frames = self.convolutions(window.to(self.positions.dtype))
        frames = (frames + self.positions).contiguous()
        for layer in self.layers:
            frames = layer.run_pre_norm(frames, [len(frames)])
        return self.norm(frames)


ALIGNED_ROWS = 32
"""Rows, to a multiple of which tokens are padded for their alignment."""


@dataclass(frozen=True, slots=True)
class WhisperDecoderLayer:
    """A decoder layer: causal self-attention, cross-attention to the encoder, feed-forward."""

    self_attn: Attention
    self_attn_norm: Norm
    cross_attn: CrossAttention
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

    def allocate(self, windows: Sequence[EncodedWindow], max_length: int) -> KVCache:
        """Allocate a cache for up to `max_length` tokens of each encoded utterance."""
        self_attn = []
        for layer in self.layers:
            head_size = self.embed_tokens.shape[1] // layer.heads
            self_attn.append(torch.empty(2, len(windows), layer.heads, max_length, head_size))
        return KVCache(list(windows), self_attn)

    def step(self, tokens: Tensor, kv_cache: KVCache) -> Tensor:
        """Return normalised states (B, L, D) of tokens (B, L), and append these to the cache."""
        return self.norm(self._run(tokens, kv_cache))

    def compute_logits(self, states: Tensor) -> Tensor:
        """Return logits float32 (B, V) of normalised states (B, D)."""
        return self.head(states.contiguous()).float()

    def align(
        self, tokens: Tensor, window: EncodedWindow, heads: Sequence[HeadIndex], text: slice
    ) -> tuple[Tensor, Tensor]:
        """Return scores (A, L, F) of the alignment heads and logits (T, V) for tokens (1, L).

        Args:
            tokens: Prompt and text.
            window: The encoded audio.
            heads: The heads (A,) that align.
            text: The T rows whose logits are needed.
        """
        length = tokens.shape[1]
        scores: list[Tensor] = []
        hidden = self._run_whole(tokens, window, scores)
        aligned = torch.stack([scores[layer][head, :length] for layer, head in heads])
        return aligned, self.head(hidden)[text]

    def compute_text_logits(self, tokens: Tensor, window: EncodedWindow, text: slice) -> Tensor:
        """Return logits float32 (T, V) after T rows `text` of tokens (1, L)."""
        return self.compute_logits(self._run_whole(tokens, window, None)[text])

    def _run_whole(
        self, tokens: Tensor, window: EncodedWindow, scores: list[Tensor] | None
    ) -> Tensor:
        """Return normalised states (L', D) of all tokens (1, L), padded to L'."""
        length = tokens.shape[1]
        # oneDNN makes kernels of each number of rows that it meets, and keeps a thousand.
        padding = min(-length % ALIGNED_ROWS, len(self.embed_positions) - length)
        kv_cache = self.allocate([window], length + padding)
        return self.norm(self._run(functional.pad(tokens, (0, padding)), kv_cache, scores)[0])

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
            hidden = layer.cross_attn(hidden, kv_cache.windows, scores)
            hidden = _feed_forward(layer, hidden)
        kv_cache.length += length
        return hidden.view(batch_size, length, -1)


@dataclass
class KVCache:
    """What a batch attends to: an encoded window per row, and its tokens so far.

    `self_attn` has keys and values (2, B, H, max_length, S) of each decoder layer, filled up to
    `length` tokens, in float32: for small products of ever other lengths in bf16 oneDNN makes a
    kernel of each, which takes longer than the product.
    """

    windows: list[EncodedWindow]
    self_attn: list[Tensor]
    length: int = 0

    def select_rows(self, rows: Sequence[int]) -> None:
        """Keep only these rows of the batch, each as often as it is named."""
        if list(rows) == list(range(len(self.windows))):
            return
        self.windows = [self.windows[row] for row in rows]
        for layer, kv in enumerate(self.self_attn):
            selected = kv[:, rows, :, : self.length]
            if len(rows) > kv.shape[1]:
                kv = kv.new_empty(2, len(rows), *kv.shape[2:])
            self.self_attn[layer] = kv[:, : len(rows)]
            self.self_attn[layer][:, :, :, : self.length] = selected


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


def _feed_forward(layer: WhisperDecoderLayer, hidden: Tensor) -> Tensor:
    """Apply the feed-forward to hidden (R, D).

    oneDNN sums up the long products of a single row in another order. It is computed twice, so that
    a text does not depend on the number of rows in its batch.
    """
    rows = hidden if len(hidden) > 1 else hidden.repeat(2, 1)
    return layer.fc2.add(layer.fc1.gelu(layer.final_norm(rows)), rows)[: len(hidden)]


def pack_network(
    weights: NetworkWeights, layout: WhisperLayout, precision: PackedPrecision, text_end: int
) -> tuple[WhisperEncoder, WhisperDecoder]:
    """Pack encoder and decoder of a Whisper from its weights.

    `text_end` is the first token id that is not text.
    """
    make, dtype = precision.linear, precision.dtype
    encoder = _pack_encoder(weights.below("model.encoder"), layout, precision)
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
            _pack_decoder_layer(layer, layout.decoder_heads, precision) for layer in layers
        ),
        norm=pack_norm(decoder.below("layer_norm"), dtype),
        head=head,
        greedy_head=pack_greedy_head(head_weight, head, text_end),
    )


def _pack_encoder(
    encoder: NetworkWeights, layout: WhisperLayout, precision: PackedPrecision
) -> WhisperEncoder:
    dtype = precision.dtype
    layers = (encoder.below(f"layers.{index}") for index in range(layout.encoder_layers))
    return WhisperEncoder(
        convolutions=_pack_convolutions(encoder, precision),
        positions=encoder["embed_positions.weight"].detach().to(dtype),
        layers=tuple(
            _pack_encoder_layer(layer, layout.encoder_heads, precision) for layer in layers
        ),
        norm=pack_norm(encoder.below("layer_norm"), dtype),
    )


def _pack_convolutions(
    encoder: NetworkWeights, precision: PackedPrecision
) -> PlainConvolutions | WindowedConvolutions:
    parameters = [
        (encoder[f"{name}.weight"].detach(), encoder[f"{name}.bias"].detach())
        for name in ("conv1", "conv2")
    ]
    if precision.name != INT16:
        # In floating point, windows give other texts of long audio, no better ones.
        return PlainConvolutions(
            *((weight.to(precision.dtype), bias.to(precision.dtype)) for weight, bias in parameters)
        )
    return WindowedConvolutions(
        *(
            # (out, in, kernel) to (out, kernel x in): the memory order of frames.
            precision.window(weight.permute(0, 2, 1).flatten(1), bias, shape)
            for (weight, bias), shape in zip(parameters, CONVOLUTIONS, strict=True)
        )
    )


def _pack_encoder_layer(layer: NetworkWeights, heads: int, precision: PackedPrecision) -> Layer:
    attention = pack_attention(layer.below("self_attn"), heads, precision)
    dtype, make = precision.dtype, precision.linear
    return Layer(
        attention=replace(attention, fuses_exponential=True),
        attention_norm=pack_norm(layer.below("self_attn_layer_norm"), dtype),
        fc1=pack_linear(layer.below("fc1"), make),
        fc2=pack_linear(layer.below("fc2"), make),
        final_norm=pack_norm(layer.below("final_layer_norm"), dtype),
        adapter=None,
    )


def _pack_decoder_layer(
    layer: NetworkWeights, heads: int, precision: PackedPrecision
) -> WhisperDecoderLayer:
    dtype, make = precision.dtype, precision.linear
    cross, cross_norm = layer.below("encoder_attn"), layer.below("encoder_attn_layer_norm")
    return WhisperDecoderLayer(
        self_attn=pack_attention(layer.below("self_attn"), heads, precision),
        self_attn_norm=pack_norm(layer.below("self_attn_layer_norm"), dtype),
        cross_attn=pack_cross_attention(cross, cross_norm, heads, make, dtype),
        fc1=pack_linear(layer.below("fc1"), make),
        fc2=pack_linear(layer.below("fc2"), make),
        final_norm=pack_norm(layer.below("final_layer_norm"), dtype),
        heads=heads,
    )
