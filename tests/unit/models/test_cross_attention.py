"""Cross-attention to frames against the usual one, with keys and values."""

import pytest
import torch

from gaudi_asr_cli.core.models.cpu.cross_attention import (
    MANY_TOKENS,
    EncodedWindow,
    pack_cross_attention,
)
from gaudi_asr_cli.core.models.cpu.linear import linear_maker, pack_frames
from gaudi_asr_cli.core.models.weights import NetworkWeights

HEADS, WIDTH, FRAMES = 3, 24, 50
MAKE = linear_maker(torch.float32)


@pytest.fixture(scope="module")
def weights():
    chance = torch.Generator().manual_seed(1)
    tensors = {
        f"attention.{name}.{kind}": torch.randn(shape, generator=chance) / WIDTH**0.5
        for name in ("q_proj", "k_proj", "v_proj", "out_proj")
        for kind, shape in (("weight", (WIDTH, WIDTH)), ("bias", (WIDTH,)))
        if (name, kind) != ("k_proj", "bias")
    }
    tensors |= {f"norm.{kind}": torch.rand(WIDTH, generator=chance) for kind in ("weight", "bias")}
    return NetworkWeights(
        tensors.__getitem__, {key: tuple(one.shape) for key, one in tensors.items()}
    )


@pytest.fixture(scope="module")
def attention(weights):
    return pack_cross_attention(
        weights.below("attention"), weights.below("norm"), HEADS, MAKE, torch.float32
    )


def frames_of(seed):
    return torch.randn(FRAMES, WIDTH, generator=torch.Generator().manual_seed(seed))


def pack(frames):
    return EncodedWindow(frames, *pack_frames(frames, MAKE))


def attend(weights, hidden, frames):
    """Return hidden (L, D) plus attention to frames (F, D), and scores (H, L, F)."""

    def linear(name, rows):
        layer = weights.below(f"attention.{name}")
        return torch.nn.functional.linear(rows, layer["weight"], layer.get("bias"))

    norm = weights.below("norm")
    rows = torch.nn.functional.layer_norm(hidden, (WIDTH,), norm["weight"], norm["bias"])
    query, keys, values = (
        linear(name, one).view(len(one), HEADS, -1).transpose(0, 1)
        for name, one in (("q_proj", rows), ("k_proj", frames), ("v_proj", frames))
    )
    scores = query @ keys.transpose(1, 2) / (WIDTH / HEADS) ** 0.5
    context = (scores.softmax(-1) @ values).transpose(0, 1).reshape(len(hidden), WIDTH)
    return hidden + linear("out_proj", context), scores


@pytest.mark.parametrize("tokens", [1, 5, MANY_TOKENS - 1, MANY_TOKENS, MANY_TOKENS + 9])
@pytest.mark.parametrize("utterances", [[0], [0, 1, 2], [0, 0, 1, 1, 1], [0, 1, 0]])
def test_each_row_attends_to_its_own_frames(weights, attention, tokens, utterances):
    windows = {seed: pack(frames_of(seed)) for seed in set(utterances)}
    chance = torch.Generator().manual_seed(7)
    hidden = torch.randn(len(utterances), tokens, WIDTH, generator=chance)
    seen = []

    out = attention(hidden.view(-1, WIDTH), [windows[one] for one in utterances], seen)

    expected = [
        attend(weights, rows, frames_of(one)) for rows, one in zip(hidden, utterances, strict=True)
    ]
    sums, scores = zip(*expected, strict=True)
    torch.testing.assert_close(out, torch.cat(sums), rtol=0, atol=1e-5)
    torch.testing.assert_close(differences(torch.cat(seen)), differences(torch.cat(scores)))


def differences(scores):
    """Return scores (B H, L, F) without what the softmax ignores."""
    return (scores - scores[:, :, :1]).contiguous()


def test_samples_of_an_utterance_read_its_frames_once(attention):
    counts = []

    class Counted:
        def __init__(self, linear):
            self.linear = linear

        def __call__(self, rows):
            counts.append(len(rows))
            return self.linear(rows)

    window = pack(frames_of(3))
    window = EncodedWindow(window.frames, Counted(window.scores), window.context)

    attention(torch.randn(4, WIDTH), [window] * 4, None)

    assert counts == [4 * HEADS]


def test_a_window_is_finite_if_all_its_frames_are():
    frames = frames_of(1)
    assert pack(frames).is_finite()

    frames[7, 3] = torch.inf
    assert not pack(frames).is_finite()
