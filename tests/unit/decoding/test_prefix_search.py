from importlib.util import find_spec

import numpy as np
import pytest
from helpers.exhaustive_ctc import sum_paths

from gaudi_asr_cli.core.decoding import fast_search, prefix_search
from gaudi_asr_cli.core.decoding.fast_search import search_compiled
from gaudi_asr_cli.core.decoding.lm.kneser_ney import estimate_kneser_ney
from gaudi_asr_cli.core.decoding.prefix_scores import (
    PrefixScorer,
    build_word_trie,
    find_token_words,
)
from gaudi_asr_cli.core.decoding.prefix_search import search_prefixes
from gaudi_asr_cli.core.decoding.token_frames import condense_frames
from gaudi_asr_cli.core.decoding.word_tries import build_hotwords
from gaudi_asr_cli.core.records import Vocabulary

SEARCHES = {"python": search_prefixes}
if find_spec("numba"):
    SEARCHES["compiled"] = search_compiled
VOCABULARY = Vocabulary(("|", "a", "b", "_", "?"), 3, 0, 4, frozenset({3, 4}))
WITHOUT_DELIMITER = Vocabulary(("a", "b", "c", "_"), 3, None, None, frozenset({3}))
WORDS = ["a", "ab", "ba", "a", "b", "ab", "aa", "ab", "a", "ba", "b", "abb", "ab", "ab", "a"]


def encode(word):
    return ["|ab".index(letter) for letter in word] if set(word) <= set("ab") else None


def make_scorer(kind):
    if kind == "none":
        return PrefixScorer(0)
    hotwords = build_hotwords([(1, 2), (1, 0, 2, 1)], tokens=5, delimiter=0)
    if kind == "hotwords":
        return PrefixScorer(0, hotwords=hotwords, hotword_weight=2.5, word_bonus=-0.3)
    if kind == "characters":
        lm = estimate_kneser_ney([list("ab|a|ba"), list("aab|b|aab")], 3).model
        names = [("|", "<space>"), ("a",), ("b",), ("_",), ("?",)]
        words = find_token_words(lm, names)
        return PrefixScorer(0, lm, token_words=words, lm_weight=0.8, word_bonus=0.4)
    lm = estimate_kneser_ney([WORDS[:4], WORDS[4:9], WORDS[9:]], 3).model
    trie = build_word_trie(lm, encode)
    return PrefixScorer(
        0, lm, trie, hotwords=hotwords, lm_weight=0.7, word_bonus=0.9, hotword_weight=1.5
    )


def draw_emissions(seed, frames, columns):
    """Return emissions from flat to peaked."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(frames, columns)) * draw.choice([0.1, 1.0, 3.0, 8.0])
    return (logits - np.logaddexp.reduce(logits, axis=1)[:, None]).astype(np.float32)


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("kind", ["none", "words", "characters", "hotwords"])
def test_a_wide_beam_finds_the_best_text_of_an_exhaustive_search(kind, search):
    scorer = make_scorer(kind)
    for seed in range(125):
        log_probs = draw_emissions(seed, 2 + seed % 4, 5)
        sums = sum_paths(log_probs, VOCABULARY)
        best = max(score + scorer.score_tokens(text) for text, score in sums.items())
        frames = condense_frames(log_probs, VOCABULARY, 0.02, min_log_prob=-np.inf)

        results = search(frames, scorer, beam_size=10_000, pruning=np.inf)

        assert results[0].score == pytest.approx(best, abs=1e-4)
        assert len(results) == len(sums)
        for one in results[:20]:
            expected = sums[one.tokens] + scorer.score_tokens(one.tokens)
            assert one.score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_texts_without_a_delimiter_are_searched_too(search):
    scorer = PrefixScorer(-1, word_bonus=0.2)
    log_probs = draw_emissions(3, 5, 4)
    sums = sum_paths(log_probs, WITHOUT_DELIMITER)
    frames = condense_frames(log_probs, WITHOUT_DELIMITER, 0.02, min_log_prob=-np.inf)

    results = search(frames, scorer, beam_size=10_000, pruning=np.inf)

    best = max(sums, key=lambda text: sums[text] + 0.2 * len(text))
    assert results[0].tokens == best
    assert results[0].score == pytest.approx(sums[best] + 0.2 * len(best), abs=1e-4)


@pytest.mark.parametrize("kind", ["none", "words", "characters", "hotwords"])
@pytest.mark.parametrize("beam_size", [1, 3, 20])
def test_both_searches_find_equal_scores_at_every_beam_size(kind, beam_size):
    scorer = make_scorer(kind)
    for seed in range(30):
        log_probs = draw_emissions(seed, 40, 5)
        frames = condense_frames(log_probs, VOCABULARY, 0.02)

        results = [search(frames, scorer, beam_size=beam_size) for search in SEARCHES.values()]

        scores = [[one.score for one in result] for result in results]
        assert scores[0] == pytest.approx(scores[-1], abs=1e-4)


def test_of_equally_good_hypotheses_none_displaces_a_better_one():
    # Every letter is as likely as another, but for the first frame.
    log_probs = np.log(np.full((6, 5), 0.2, np.float32))
    log_probs[0] = np.log([0.01, 0.9, 0.03, 0.03, 0.03])
    frames = condense_frames(log_probs, VOCABULARY, 0.02)

    for search in SEARCHES.values():
        results = search(frames, PrefixScorer(0), beam_size=4)
        assert results[0].tokens[0] == 1


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_long_audio_is_searched_in_parts_with_equal_results(search, monkeypatch):
    frames = condense_frames(draw_emissions(2, 300, 5), VOCABULARY, 0.02)
    scorer = make_scorer("words")
    whole = search(frames, scorer, beam_size=8)
    monkeypatch.setattr(fast_search, "FRAMES_PER_CALL", 7)
    monkeypatch.setattr(prefix_search, "FRAMES_BETWEEN_CLEANING", 5)

    assert search(frames, scorer, beam_size=8) == whole
