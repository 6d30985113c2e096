"""CTC by the definition: every path of a small emission, summed by text."""

from itertools import groupby, product

import numpy as np


def text_tokens(path, vocabulary):
    """Return the tokens of a path's text: repeats collapsed, special columns dropped."""
    kept = [token for token, _ in groupby(path) if token not in vocabulary.special]
    kept = [token for token in kept if token != vocabulary.blank]
    words, word = [], []
    for token in [*kept, vocabulary.delimiter]:
        if token == vocabulary.delimiter and token is not None:
            words += [tuple(word)] if word else []
            word = []
        else:
            word.append(token)
    if vocabulary.delimiter is None:
        return tuple(token for token in kept)
    joined = [token for one in words for token in (*one, vocabulary.delimiter)]
    return tuple(joined[:-1])


def sum_paths(log_probs, vocabulary):
    """Return the log probability of each text (a tuple of tokens) of emissions (F, V)."""
    frames, columns = log_probs.shape
    sums = {}
    for path in product(range(columns), repeat=frames):
        text = text_tokens(path, vocabulary)
        score = float(log_probs[np.arange(frames), path].sum())
        sums[text] = np.logaddexp(sums.get(text, -np.inf), score)
    return sums
