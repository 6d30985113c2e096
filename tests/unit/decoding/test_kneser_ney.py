import gzip
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.decoding.lm import kneser_ney
from gaudi_asr_cli.core.decoding.lm.arpa import format_arpa
from gaudi_asr_cli.core.decoding.lm.kneser_ney import (
    FALLBACK_DISCOUNTS,
    compute_discounts,
    estimate_kneser_ney,
)
from gaudi_asr_cli.core.decoding.lm.ngram_model import BEGIN, END, ROOT, UNKNOWN

TEXT = [line.split() for line in ("a b a", "a b b", "b a c", "a b a c", "c", "a a b")]
SENTENCES = st.lists(
    st.lists(st.sampled_from("abcde"), max_size=7), min_size=1, max_size=20
).filter(lambda sentences: any(sentences))


def raw_counts(sentences, order):
    padded = [(BEGIN, *words, END) for words in sentences]
    return Counter(words[i : i + order] for words in padded for i in range(len(words) - order + 1))


def adjusted_counts(sentences, order, highest):
    """Return counts by the definition: distinct words to the left, below the highest order."""
    raw = raw_counts(sentences, order)
    if order == highest:
        return raw
    longer = raw_counts(sentences, order + 1)
    lefts = Counter(gram[1:] for gram in longer)
    return Counter({gram: raw[gram] if gram[0] == BEGIN else lefts[gram] for gram in raw})


def probability(sentences, context, word, highest, vocabulary):
    """Return the probability by the recursion of Chen and Goodman."""
    order = len(context) + 1
    counts = adjusted_counts(sentences, order, highest)
    counts = Counter({gram: n for gram, n in counts.items() if gram[-1] != BEGIN})
    values = np.array([*counts.values()])
    discounts = (0.0, *(compute_discounts(values) or FALLBACK_DISCOUNTS))
    following = {gram[-1]: n for gram, n in counts.items() if gram[:-1] == context}
    if order == 1:
        lower = 1.0 / (len(vocabulary) + 2)  # </s> and <unk> too
    else:
        lower = probability(sentences, context[1:], word, highest, vocabulary)
    total = sum(following.values())
    if not total:
        return lower
    taken = sum(discounts[min(n, 3)] for n in following.values())
    count = following.get(word, 0)
    return (count - discounts[min(count, 3)]) / total + taken / total * lower


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_are_those_of_the_recursion(order):
    model = estimate_kneser_ney(TEXT, order).model
    vocabulary = {word for words in TEXT for word in words}

    for length in range(order):
        for context in itertools.product(("a", "b", "c"), repeat=length):
            state = ROOT
            for word in context:
                state = model.score(state, model.ids[word])[1]
            for word in (*vocabulary, END, UNKNOWN):
                expected = probability(TEXT, context, word, order, vocabulary)
                found = model.score(state, model.ids[word])[0]
                assert found == pytest.approx(np.log10(expected), abs=1e-4)


def test_a_bigram_model_equals_the_one_computed_by_hand():
    # a follows <s> twice, b follows a twice, </s> follows b twice; each pair has one left
    # neighbour, so a, b and </s> have one third of the unigrams' count each, and the discounts
    # fall back to 0.5, 1 and 1.5: unigrams (1 - 0.5) / 3 + 1.5 / 3 / 4 = 7 / 24.
    model = estimate_kneser_ney([["a", "b"], ["a", "b"]], 2)

    assert model.fallbacks == (1, 2)
    unigram = 7 / 24
    # Each bigram: (2 - 1) / 2 + 1 / 2 x unigram.
    bigram = 0.5 + 0.5 * unigram
    ids, scores = model.model.ids, model.model.score
    assert scores(ROOT, ids["a"])[0] == pytest.approx(np.log10(unigram), abs=1e-6)
    assert scores(ROOT, ids[UNKNOWN])[0] == pytest.approx(np.log10(1.5 / 3 / 4), abs=1e-6)
    assert model.model.score_sentence(["a", "b"]) == pytest.approx(3 * np.log10(bigram), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(SENTENCES, st.integers(1, 4), st.lists(st.integers(1, 4), max_size=3).map(sorted))
def test_probabilities_after_every_context_sum_to_one(sentences, order, prune):
    model = estimate_kneser_ney(sentences, order, min_counts=prune).model
    words = [index for word, index in model.ids.items() if word != BEGIN]

    for state in range(model.first_of_last_order if order > 1 else 1):
        total = sum(10 ** model.score(state, word)[0] for word in words)
        assert total == pytest.approx(1.0, abs=1e-4)


def test_rare_words_count_as_unknown():
    estimate = estimate_kneser_ney(TEXT, 2, vocabulary={"a", "b"})

    assert set(estimate.model.vocabulary) == {"a", "b", BEGIN, END, UNKNOWN}
    unknown = 10 ** estimate.model.score(ROOT, estimate.model.unknown)[0]
    assert unknown > 10 ** estimate_kneser_ney(TEXT, 2).model.score(ROOT, 0)[0]


def test_pruning_drops_rare_ngrams_of_each_order():
    whole = estimate_kneser_ney(TEXT, 3).model
    pruned = estimate_kneser_ney(TEXT, 3, min_counts=(1, 2)).model

    counts = [n for n in raw_counts(TEXT, 3).values() if n >= 2]
    assert pruned.count_ngrams()[:2] == whole.count_ngrams()[:2]
    assert pruned.count_ngrams()[2] == len(counts)


def test_text_in_blocks_gives_the_same_model(monkeypatch):
    whole = estimate_kneser_ney(TEXT, 3).model
    monkeypatch.setattr(kneser_ney, "BLOCK_WORDS", 4)

    blocks = estimate_kneser_ney(TEXT, 3).model

    assert blocks.vocabulary == whole.vocabulary
    assert np.array_equal(blocks.words, whole.words)
    assert np.array_equal(blocks.log10_probs, whole.log10_probs)


def test_discounts_are_those_of_chen_and_goodman():
    counts = np.array([1] * 10 + [2] * 5 + [3] * 3 + [4] * 2)

    # Y = 10 / 20; D1 = 1 - 2 Y 5/10; D2 = 2 - 3 Y 3/5; D3 = 3 - 4 Y 2/3.
    assert compute_discounts(counts) == pytest.approx((0.5, 1.1, 3 - 4 / 3))
    assert compute_discounts(np.array([1, 2, 3])) is None


GOLDEN = Path(__file__).parents[2] / "golden" / "lmplz"
"""A text, and what `lmplz` of KenLM 0.3.0 wrote of it, with --order and --prune as named."""


@pytest.mark.parametrize(
    ("name", "order", "min_counts"),
    [("order-3", 3, ()), ("order-4-prune-0-1-2", 4, (1, 2, 3))],
)
def test_probabilities_are_those_of_lmplz(name, order, min_counts):
    text = (GOLDEN / "text.txt").read_text(encoding="utf-8")

    found = estimate_kneser_ney(map(str.split, text.splitlines()), order, min_counts=min_counts)

    ours = read_ngrams("".join(format_arpa(found.model)))
    theirs = read_ngrams(gzip.decompress((GOLDEN / f"{name}.arpa.gz").read_bytes()).decode())
    # lmplz gives <s> the probability 0, SRILM's convention is -99.
    del ours["<s>"], theirs["<s>"]
    assert found.fallbacks == ()
    assert list(map(len, (ours, ours.keys() - theirs.keys()))) == [len(theirs), 0]
    assert all(ours[ngram] == pytest.approx(theirs[ngram], abs=1e-5) for ngram in ours)


def read_ngrams(arpa: str) -> dict[str, tuple[float, float]]:
    """Return log10 of probability and back-off weight of each n-gram, without our reader."""
    fields = [line.split("\t") for line in arpa.splitlines() if "\t" in line]
    return {one[1]: (float(one[0]), float(one[2]) if one[2:] else 0.0) for one in fields}
