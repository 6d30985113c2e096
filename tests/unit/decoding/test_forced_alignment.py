from itertools import groupby, product

import numpy as np
import pytest
from helpers.exhaustive_ctc import text_tokens

from gaudi_asr_cli.core.decoding.forced_alignment import _Lattice, align_tokens
from gaudi_asr_cli.core.decoding.token_frames import condense_frames
from gaudi_asr_cli.core.records import Vocabulary

VOCABULARY = Vocabulary(("|", "a", "b", "_"), 3, 0, None, frozenset({3}))


def draw(seed, frames):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(frames, 4)) * random.choice([0.3, 2.0, 5.0])
    return (logits - np.logaddexp.reduce(logits, axis=1)[:, None]).astype(np.float32)


def best_path(log_probs, tokens):
    """Return the best score of all paths of a text, and the path; a delimiter is a silence."""
    frames = len(log_probs)
    found = [
        (float(log_probs[np.arange(frames), path].sum()), path)
        for path in product(range(4), repeat=frames)
        if text_tokens(path, VOCABULARY) == tokens
    ]
    return max(found, default=(None, None))


@pytest.mark.parametrize("tokens", [(1,), (1, 1), (1, 2), (1, 0, 2), (2, 0, 2), (1, 2, 0, 1)])
def test_the_path_is_the_best_of_all(tokens):
    for seed in range(12):
        log_probs = draw(seed, 6)
        frames = condense_frames(log_probs, VOCABULARY, 0.02, min_log_prob=-np.inf)
        score, path = best_path(log_probs, tokens)

        aligned = align_tokens(frames, tokens, delimiter=0, margins=(np.inf,))

        runs, at = [], 0
        for token, group in groupby(path):
            length = len(list(group))
            runs += [(at, at + length)] if token not in (0, 3) else []
            at += length
        letters = [i for i, token in enumerate(tokens) if token]
        assert aligned.total == pytest.approx(score, abs=1e-4)
        assert [(aligned.starts[i], aligned.ends[i]) for i in letters] == runs


def test_a_narrow_margin_finds_the_path_of_a_long_text():
    tokens = tuple([1, 2, 0] * 60)[:-1]
    log_probs = np.full((3 * len(tokens), 4), -8.0, np.float32)
    log_probs[np.arange(len(log_probs)), [t for token in tokens for t in (3, token, token)]] = -0.01
    frames = condense_frames(log_probs, VOCABULARY, 0.02, min_log_prob=-9)

    narrow = align_tokens(frames, tokens, delimiter=0)
    exact = align_tokens(frames, tokens, delimiter=0, margins=(np.inf,))

    assert narrow.total == pytest.approx(exact.total)
    assert narrow.starts.tolist() == exact.starts.tolist()
    assert narrow.starts.tolist() == [3 * i + 1 for i in range(len(tokens))]


@pytest.mark.parametrize("margin", [0.5, 4.0, 40.0, np.inf])
def test_the_compiled_path_is_that_of_python(margin):
    for seed in range(40):
        random = np.random.default_rng(seed)
        log_probs = draw(seed, int(random.integers(1, 60)))
        tokens = random.choice([0, 1, 1, 2], int(random.integers(1, 20))).tolist()
        low = float(random.choice([-np.inf, -5.0, -1.0]))
        frames = condense_frames(log_probs, VOCABULARY, 0.02, min_log_prob=low)
        lattice = _Lattice(frames, tokens, int(random.choice([0, -1])))

        compiled, plain = lattice.find_path(margin), lattice.find_path_in_python(margin)

        assert (compiled is None) == (plain is None)
        if plain is not None:
            assert compiled[0].tolist() == plain[0].tolist()
            assert compiled[1] == pytest.approx(plain[1], rel=1e-12)


def test_a_text_longer_than_its_audio_has_no_path():
    frames = condense_frames(draw(0, 3), VOCABULARY, 0.02)

    assert align_tokens(frames, (1, 2, 1, 2), delimiter=0) is None
    assert align_tokens(frames, (1, 1, 1), delimiter=0) is None
    assert align_tokens(frames, (1, 2, 1), delimiter=0) is not None


def test_silence_is_the_alignment_of_no_text():
    frames = condense_frames(draw(0, 3), VOCABULARY, 0.02)

    assert len(align_tokens(frames, (), delimiter=0).starts) == 0
