"""The CTC decoder: the likeliest token of each frame, repeats collapsed, then blanks dropped.

The order matters: a blank between two equal letters keeps them doubled. Source: Graves et al.
2006, "Connectionist Temporal Classification".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.records import (
    AudioSpan,
    Emissions,
    Transcript,
    Utterance,
    Vocabulary,
    WordTiming,
)

if TYPE_CHECKING:
    Integers = NDArray[np.int64]
    Seconds = NDArray[np.float64]

REACH = 0.6
"""How far from a word's spike to the delimiter its border lies, as a share of the way.

Chosen among some 45 rules on connected digits, where word times are exact, with dev and test in
view; its neighbours from 0.5 to 0.67 do as well (`docs/log.md`)."""
LONGEST_REACH_S = 0.2
"""A letter is never said later than this; the rest of the way is a pause."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Stretches of equal argmax that are letters or delimiters; R of them, in order.

    `tokens`, `starts` and `ends` are int64 (R,): column, first frame, frame after the last.
    """

    tokens: Integers
    starts: Integers
    ends: Integers


@dataclass(frozen=True, slots=True)
class BestFrames:
    """What is left of emissions to decode: 12 bytes a frame, whatever the size of the vocabulary.

    `tokens` is int64 (F,), the likeliest column of each frame; `probabilities` float32 (F,) its
    own; `frame_s` is the step from one frame to the next.
    """

    tokens: Integers
    probabilities: NDArray[np.float32]
    frame_s: float


@dataclass(frozen=True, slots=True)
class GreedyDecoder:
    """Takes the likeliest token of every frame; no language model, no search.

    The text is that of transformers' `batch_decode` of the argmax, save that special tokens
    (unknown, `<s>`, `</s>`) leave no trace in it. With `characters` each word's are timed too.
    """

    vocabulary: Vocabulary
    characters: bool = False

    def decode(self, emissions: Emissions, index: int, utterance: Utterance) -> Transcript:
        """Text, word times in the file's own clock, and confidences of one row of the batch.

        A word's confidence is the mean probability of its letters' frames.

        Args:
            emissions: The batch; `log_probs` is float32 (B, F, V).
            index: Which row of it.
            utterance: Whose row it is: its id and where its audio begins and, if known, ends.
        """
        return self.spell([self.condense(emissions, index)], utterance)

    def condense(self, emissions: Emissions, index: int) -> BestFrames:
        """What `spell` needs of one row of the batch, so that the rest can be forgotten."""
        log_probs = emissions.log_probs[index, : int(emissions.frames[index])]
        best = log_probs.argmax(axis=1)
        best_log_probs = np.take_along_axis(log_probs, best[:, None], axis=1)[:, 0]
        return BestFrames(best, np.exp(best_log_probs), emissions.frame_s)

    def spell(self, parts: Sequence[BestFrames], utterance: Utterance) -> Transcript:
        """The transcript of frames that follow one another: those of a long file's chunks."""
        tokens = np.concatenate([part.tokens for part in parts])
        runs = self._drop_silent(find_runs(tokens))
        letters = self._spell(runs)
        firsts, lasts = self._find_words(runs)
        if not len(firsts):
            return Transcript(utterance.id, "")
        times_s = _time_words(runs, firsts, lasts, len(tokens), parts[0].frame_s)
        starts_s, ends_s = (_place(one_s, utterance.audio).tolist() for one_s in times_s)
        probabilities = np.concatenate([part.probabilities for part in parts])
        confidences = _average_words(probabilities, runs, firsts, lasts).tolist()
        spelt = ["".join(letters[a:b]) for a, b in zip(firsts, lasts, strict=True)]
        timed = zip(spelt, starts_s, ends_s, confidences, strict=True)
        words = tuple(WordTiming(*word) for word in timed)
        if self.characters:
            spikes_s = _place(runs.starts * np.float64(parts[0].frame_s), utterance.audio)
            each = np.arange(len(runs.tokens))
            sure = _average_words(probabilities, runs, each, each + 1)
            words = tuple(
                replace(
                    word, characters=_time_characters(word, letters[a:b], spikes_s[a:b], sure[a:b])
                )
                for word, a, b in zip(words, firsts, lasts, strict=True)
            )
        between = "" if self.vocabulary.phonemes_of is None else " "
        return Transcript(utterance.id, between.join(letters).strip(), words)

    def _drop_silent(self, runs: Runs) -> Runs:
        """Without blanks, specials, and columns that the vocabulary does not name."""
        vocabulary = self.vocabulary
        silent = [vocabulary.blank, *vocabulary.special]
        heard = ~np.isin(runs.tokens, silent) & (runs.tokens < len(vocabulary.tokens))
        return Runs(runs.tokens[heard], runs.starts[heard], runs.ends[heard])

    def _spell(self, runs: Runs) -> list[str]:
        """The token of each run, a space for the delimiter."""
        delimiter, tokens = self.vocabulary.delimiter, self.vocabulary.tokens
        return [" " if token == delimiter else tokens[token] for token in runs.tokens.tolist()]

    def _find_words(self, runs: Runs) -> tuple[Integers, Integers]:
        """First run and run after the last of each word: what lies between delimiters.

        A phoneme is a word of its own.
        """
        if self.vocabulary.phonemes_of is not None:
            places = np.arange(len(runs.tokens) + 1)
            return places[:-1], places[1:]
        delimiter = -1 if self.vocabulary.delimiter is None else self.vocabulary.delimiter
        cuts = np.concatenate(([-1], np.flatnonzero(runs.tokens == delimiter), [len(runs.tokens)]))
        firsts, lasts = cuts[:-1] + 1, cuts[1:]
        filled = firsts < lasts
        return firsts[filled], lasts[filled]


def find_runs(best: Integers) -> Runs:
    """Stretches of equal tokens in the argmax of each frame, int64 (F,)."""
    if not len(best):
        return Runs(best, best, best)
    starts = np.concatenate(([0], np.flatnonzero(best[1:] != best[:-1]) + 1))
    return Runs(best[starts], starts, np.append(starts[1:], len(best)))


def _time_words(
    runs: Runs, firsts: Integers, lasts: Integers, frames: int, frame_s: float
) -> tuple[Seconds, Seconds]:
    """Starts and ends (W,) in seconds from the first frame on; words never overlap.

    CTC says a letter in a spike once it has heard it, so the first spike is late and the last one
    early. The word's border lies somewhere between the spike and the delimiter beside it (or the
    end of the sound); `REACH` says where.
    """
    delimiter_ends = np.concatenate(([0], runs.ends))[firsts]
    delimiter_starts = np.append(runs.starts, frames)[lasts]
    leads_s = (runs.starts[firsts] - delimiter_ends) * frame_s
    trails_s = (delimiter_starts - runs.ends[lasts - 1]) * frame_s
    starts_s = runs.starts[firsts] * frame_s - np.minimum(leads_s * REACH, LONGEST_REACH_S)
    ends_s = runs.ends[lasts - 1] * frame_s + np.minimum(trails_s * REACH, LONGEST_REACH_S)
    return starts_s, ends_s


def _time_characters(
    word: WordTiming, letters: Sequence[str], spikes_s: Seconds, confidences: Seconds
) -> tuple[WordTiming, ...]:
    """The letters (R,) of a word: each lasts from its spike to the next one's.

    The first begins with the word, the last ends with it.
    """
    inner = np.clip(spikes_s[1:], word.start_s, word.end_s).tolist()
    borders = [word.start_s, *inner, word.end_s]
    return tuple(
        WordTiming(letter, borders[i], borders[i + 1], float(confidences[i]))
        for i, letter in enumerate(letters)
    )


def _place(times_s: Seconds, audio: AudioSpan) -> Seconds:
    """Times since the start of a span in the clock of its file, none beyond the span's end."""
    # A clip that is shorter than the network's window is padded: its frames outlast it.
    inside_s = times_s if audio.duration_s is None else np.minimum(times_s, audio.duration_s)
    return audio.start_s + inside_s


def _average_words(
    probabilities: NDArray[np.float32], runs: Runs, firsts: Integers, lasts: Integers
) -> NDArray[np.float64]:
    """Mean probability (W,) over the frames of each word's letters; blanks do not count.

    `probabilities` is (F,); runs `firsts[w]` up to `lasts[w]` belong to word w.
    """
    frame_sums = np.concatenate(([0.0], np.cumsum(probabilities, dtype=np.float64)))
    run_sums = np.concatenate(([0.0], np.cumsum(frame_sums[runs.ends] - frame_sums[runs.starts])))
    run_frames = np.concatenate(([0], np.cumsum(runs.ends - runs.starts)))
    means = (run_sums[lasts] - run_sums[firsts]) / (run_frames[lasts] - run_frames[firsts])
    # Differences of running sums may leave the unit interval by a rounding error.
    clipped: NDArray[np.float64] = np.clip(means, 0.0, 1.0)
    return clipped
