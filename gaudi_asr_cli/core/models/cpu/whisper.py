"""Whisper's network written out for a CPU: encoder, and a decoder that computes a token's step.

What transformers spends on a step is mostly its own bookkeeping, and torch's plain products. Here
keys and values of what was heard are laid out once, those of what was written go to a place that
was set aside for them, and every product is prepacked.
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
    """Log-mel windows to frames."""

    first: tuple[Tensor, Tensor]
    second: tuple[Tensor, Tensor]
    positions: Tensor
    layers: tuple[Layer, ...]
    norm: Norm

    def __call__(self, window: Tensor) -> Tensor:
        """Frames (F, D) of a window (M, 2 F)."""
        sound = window[None].to(self.positions.dtype)
        sound = functional.gelu(functional.conv1d(sound, *self.first, padding=1))
        sound = functional.gelu(functional.conv1d(sound, *self.second, stride=2, padding=1))
        frames = (sound[0].T + self.positions).contiguous()
        for layer in self.layers:
            frames = layer.run_pre_norm(frames, [len(frames)])
        return self.norm(frames)


CrossAttentionKV = list["Tensor"]
"""Keys and values (2, H, F, S) of what was heard, for each layer of the decoder."""


@dataclass(frozen=True, slots=True)
class WhisperDecoderLayer:
    """A layer of the decoder: attention to what was written, to what was heard, feed-forward."""

    own: Attention
    self_attn_norm: Norm
    query: Linear
    heard: Linear
    out: Linear
    cross_attn_norm: Norm
    wide: Linear
    narrow: Linear
    final_norm: Norm
    heads: int


@dataclass(frozen=True, slots=True)
class WhisperDecoder:
    """Tokens to scores. `tokens` is (V, D), `positions` (P, D)."""

    tokens: Tensor
    positions: Tensor
    layers: tuple[WhisperDecoderLayer, ...]
    norm: Norm
    head: Linear

    def hear(self, frames: Tensor) -> CrossAttentionKV:
        """Keys and values of the encoder's output (F, D), for each layer."""
        return [
            layer.heard(frames).view(len(frames), 2, layer.heads, -1).permute(1, 2, 0, 3)
            for layer in self.layers
        ]

    def begin(self, heard: Sequence[CrossAttentionKV], room: int) -> KVCache:
        """An empty page for each of those who were heard, with `room` for tokens."""
        rows = len(heard)
        keys, values, empty = [], [], []
        for number, layer in enumerate(self.layers):
            size = self.tokens.shape[1] // layer.heads
            keys.append(torch.stack([one[number][0] for one in heard]))
            values.append(torch.stack([one[number][1] for one in heard]))
            empty.append(torch.empty(2, rows, layer.heads, room, size, dtype=self.tokens.dtype))
        return KVCache(keys, values, empty)

    def write(self, tokens: Tensor, page: KVCache) -> Tensor:
        """Scores float32 (R, V) behind the last of the tokens (R, L), which go onto the page."""
        rows, length = tokens.shape
        places = slice(page.written, page.written + length)
        hidden = self.tokens[tokens] + self.positions[places]
        hidden = hidden.view(rows * length, -1)
        for number, layer in enumerate(self.layers):
            hidden = _self_attend(layer, hidden, page.own[number], places, rows)
            hidden = _cross_attend(layer, hidden, (page.keys[number], page.values[number]))
            hidden = layer.narrow.add(layer.wide.gelu(layer.final_norm(hidden)), hidden)
        page.written += length
        last = hidden.view(rows, length, -1)[:, -1]
        return self.head(self.norm(last.contiguous())).float()


@dataclass
class KVCache:
    """What was heard, as keys and values (R, H, F, S) of each layer, and what is written so far.

    `own` holds keys and values of tokens (2, R, H, room, S), of which `written` are there.
    """

    keys: list[Tensor]
    values: list[Tensor]
    own: list[Tensor]
    written: int = 0

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.keys = [one[rows] for one in self.keys]
        self.values = [one[rows] for one in self.values]
        self.own = [one[:, rows] for one in self.own]


def _self_attend(
    layer: WhisperDecoderLayer, hidden: Tensor, own: Tensor, places: slice, rows: int
) -> Tensor:
    length = places.stop - places.start
    joined = layer.own.joined(layer.self_attn_norm(hidden))
    query, key, value = joined.view(rows, length, 3, layer.heads, -1).permute(2, 0, 3, 1, 4)
    own[0, :, :, places], own[1, :, :, places] = key, value
    keys, values = own[0, :, :, : places.stop], own[1, :, :, : places.stop]
    scores = query @ keys.transpose(2, 3)
    if length > 1:
        later = torch.arange(places.stop) > torch.arange(places.start, places.stop)[:, None]
        scores.masked_fill_(later, -torch.inf)
    found = torch.softmax(scores, -1) @ values
    return layer.own.out.add(found.transpose(1, 2).reshape(hidden.shape), hidden)


def _cross_attend(
    layer: WhisperDecoderLayer, hidden: Tensor, heard: tuple[Tensor, Tensor]
) -> Tensor:
    keys, values = heard
    rows, heads, frames, size = keys.shape
    query = layer.query(layer.cross_attn_norm(hidden)).view(rows, -1, heads, size).transpose(1, 2)
    # Products of three dimensions: torch's fused attention is ten times slower for one query.
    flat = query.reshape(rows * heads, -1, size)
    scores = torch.bmm(flat, keys.view(rows * heads, frames, size).transpose(1, 2))
    found = torch.bmm(torch.softmax(scores, -1), values.view(rows * heads, frames, size))
    found = found.view(rows, heads, -1, size).transpose(1, 2)
    return layer.out.add(found.reshape(hidden.shape), hidden)


def is_whisper_packable(network: Any) -> bool:
    """Whether a Whisper network is made of the parts written out here."""
    config = network.config
    return bool(
        config.model_type == "whisper"
        and config.activation_function == "gelu"
        and not config.scale_embedding
        and network.device.type == "cpu"
    )


def pack_network(network: Any, dtype: torch.dtype) -> tuple[WhisperEncoder, WhisperDecoder]:
    """The two halves of transformers' Whisper network in `dtype`; that one is not changed."""
    make = linear_maker(dtype)
    return _pack_encoder(network.model.encoder, make, dtype), _pack_decoder(network, make, dtype)


def _pack_encoder(encoder: Any, make: LinearMaker, dtype: torch.dtype) -> WhisperEncoder:
    def convolution(module: Any) -> tuple[Tensor, Tensor]:
        return module.weight.detach().to(dtype), module.bias.detach().to(dtype)

    return WhisperEncoder(
        first=convolution(encoder.conv1),
        second=convolution(encoder.conv2),
        positions=encoder.embed_positions.weight.detach().to(dtype),
        layers=tuple(_pack_encoder_layer(one, make, dtype) for one in encoder.layers),
        norm=pack_norm(encoder.layer_norm, dtype),
    )


def _pack_encoder_layer(module: Any, make: LinearMaker, dtype: torch.dtype) -> Layer:
    return Layer(
        attention=_pack_attention(module.self_attn, make),
        attention_norm=pack_norm(module.self_attn_layer_norm, dtype),
        wide=_pack_linear(module.fc1, make),
        narrow=_pack_linear(module.fc2, make),
        final_norm=pack_norm(module.final_layer_norm, dtype),
        adapter=None,
    )


def _pack_decoder(network: Any, make: LinearMaker, dtype: torch.dtype) -> WhisperDecoder:
    decoder = network.model.decoder
    return WhisperDecoder(
        tokens=decoder.embed_tokens.weight.detach().to(dtype),
        positions=decoder.embed_positions.weight.detach().to(dtype),
        layers=tuple(_pack_decoder_layer(one, make, dtype) for one in decoder.layers),
        norm=pack_norm(decoder.layer_norm, dtype),
        head=make(network.proj_out.weight.detach(), None),
    )


def _pack_decoder_layer(module: Any, make: LinearMaker, dtype: torch.dtype) -> WhisperDecoderLayer:
    heard = module.encoder_attn
    scale = float(heard.scaling)
    return WhisperDecoderLayer(
        own=_pack_attention(module.self_attn, make),
        self_attn_norm=pack_norm(module.self_attn_layer_norm, dtype),
        query=make(heard.q_proj.weight.detach() * scale, heard.q_proj.bias.detach() * scale),
        heard=make(*_join((heard.k_proj, heard.v_proj), (1.0, 1.0))),
        out=_pack_linear(heard.out_proj, make),
        cross_attn_norm=pack_norm(module.encoder_attn_layer_norm, dtype),
        wide=_pack_linear(module.fc1, make),
        narrow=_pack_linear(module.fc2, make),
        final_norm=pack_norm(module.final_layer_norm, dtype),
        heads=int(heard.num_heads),
    )


def _pack_attention(module: Any, make: LinearMaker) -> Attention:
    three = (module.q_proj, module.k_proj, module.v_proj)
    joined = make(*_join(three, (float(module.scaling), 1.0, 1.0)))
    return Attention(joined, _pack_linear(module.out_proj, make), int(module.num_heads), None)


def _join(modules: Sequence[Any], scales: Sequence[float]) -> tuple[Tensor, Tensor]:
    """One weight and bias for several products of the same rows; keys have no bias."""
    parts = list(zip(modules, scales, strict=True))
    weight = torch.cat([one.weight.detach().float() * scale for one, scale in parts])
    bias = torch.cat(
        [
            torch.zeros(one.out_features) if one.bias is None else one.bias.detach().float() * scale
            for one, scale in parts
        ]
    )
    return weight, bias


def _pack_linear(module: Any, make: LinearMaker) -> Linear:
    return make(module.weight.detach(), module.bias.detach())
