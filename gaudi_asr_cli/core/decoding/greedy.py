"""Greedy CTC decoding: the most likely token per frame, repeats collapsed, then blanks dropped.

The order matters: a blank between two equal letters keeps both. Source: Graves et al.
2006, "Connectionist Temporal Classification".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.decoding.base import DecoderSpec
from gaudi_asr_cli.core.decoding.token_frames import TokenFrames
from gaudi_asr_cli.core.records import (
    AudioSpan,
    Emissions,
    Transcript,
    Utterance,
    Vocabulary,
    WordTiming,
)
from gaudi_asr_cli.core.text.subwords import decode_subwords

if TYPE_CHECKING:
    Integers = NDArray[np.int64]
    Seconds = NDArray[np.float64]

BOUNDARY = 0.6
"""Where a word boundary lies between a word's spike and the delimiter, as a share of the distance.

Chosen among some 45 rules on connected digits, where word times are exact, with dev and test in
view; values from 0.5 to 0.67 are as good (`docs/log.md`)."""
HALFWAY = 0.5
MAX_BOUNDARY_S = 0.2
"""Maximum distance of a boundary from its spike; the rest is a pause."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of frames with the same argmax, a letter or a delimiter; R of them, in order.

    `tokens`, `starts` and `ends` are int64 (R,): column, first frame, frame after the last.
    """

    tokens: Integers
    starts: Integers
    ends: Integers


@dataclass(frozen=True, slots=True)
class BestFrames:
    """What decoding needs of emissions: 12 bytes a frame, whatever the size of the vocabulary.

    `tokens` is int64 (F,), the most likely token of each frame; `probabilities` float32 (F,) its
    probability; `frame_s` is the step from one frame to the next.
    """

    tokens: Integers
    probabilities: NDArray[np.float32]
    frame_s: float


@dataclass(frozen=True, slots=True)
class GreedyDecoder:
    """Takes the most likely token of every frame; no language model, no search.

    The text is that of transformers' `batch_decode` of the argmax, except that special tokens
    (unknown, `<s>`, `</s>`) are dropped. With `characters`, the characters of each word are timed.
    """

    vocabulary: Vocabulary
    characters: bool = False

    def decode(self, emissions: Emissions, index: int, utterance: Utterance) -> Transcript:
        """Decode one row of the batch to text, words timed on the file's clock, and confidences.

        A word's confidence is the mean probability of its letters' frames.

        Args:
            emissions: The batch; `log_probs` is float32 (B, F, V).
            index: Row of the batch.
            utterance: The utterance of that row: its id, and the start and end of its audio.
        """
        return self.assemble([self.condense(emissions, index)], utterance)

    def condense(self, emissions: Emissions, index: int) -> BestFrames:
        """Reduce one row of the batch to what `assemble` needs, so that the rest can be freed."""
        log_probs = emissions.log_probs[index, : int(emissions.frames[index])]  # (F, V)
        if self.vocabulary.unnamed:
            log_probs = log_probs.copy()
            log_probs[:, list(self.vocabulary.unnamed)] = -np.inf
        best = log_probs.argmax(axis=1)
        best_log_probs = np.take_along_axis(log_probs, best[:, None], axis=1)[:, 0]
        return BestFrames(best, np.exp(best_log_probs), emissions.frame_s)

    def assemble(self, parts: Sequence[BestFrames], utterance: Utterance) -> Transcript:
        """Decode consecutive parts, such as the chunks of a long file, to one transcript."""
        tokens = np.concatenate([part.tokens for part in parts])
        probabilities = np.concatenate([part.probabilities for part in parts])
        runs = self._drop_special(find_runs(tokens))
        return self.transcribe_runs(runs, probabilities, parts[0].frame_s, utterance)

    def transcribe_runs(
        self,
        runs: Runs,
        probabilities: NDArray[np.float32],
        frame_s: float,
        utterance: Utterance,
    ) -> Transcript:
        """Return text, words and confidences of runs of letters and delimiters.

        `probabilities` is (F,), that of the token of each frame.
        """
        letters = self._letters_of(runs)
        firsts, lasts = self._find_words(runs)
        if not len(firsts):
            return Transcript(utterance.id, "")
        runs_of_words = _Words(firsts, lasts, self.vocabulary.delimiter)
        times_s = _time_words(runs, runs_of_words, len(probabilities), frame_s)
        starts_s, ends_s = (_to_file_clock(one_s, utterance.audio).tolist() for one_s in times_s)
        confidences = _average_words(probabilities, runs, firsts, lasts).tolist()
        texts = [self._write_word(runs, letters, a, b) for a, b in zip(firsts, lasts, strict=True)]
        timed = zip(texts, starts_s, ends_s, confidences, strict=True)
        words = tuple(WordTiming(*word) for word in timed)
        if self.characters:
            spikes_s = _to_file_clock(runs.starts * np.float64(frame_s), utterance.audio)
            each = np.arange(len(runs.tokens))
            confidence = _average_words(probabilities, runs, each, each + 1)
            words = tuple(
                replace(
                    word,
                    characters=_time_characters(word, letters[a:b], spikes_s[a:b], confidence[a:b]),
                )
                for word, a, b in zip(words, firsts, lasts, strict=True)
            )
        return Transcript(utterance.id, self._write(runs, letters), words)

    def _write(self, runs: Runs, letters: Sequence[str]) -> str:
        if self.vocabulary.subwords is not None:
            return self.text_of(runs.tokens.tolist())
        return self._join(letters)

    def _write_word(self, runs: Runs, letters: Sequence[str], first: int, last: int) -> str:
        if self.vocabulary.subwords is not None:
            return self.text_of(runs.tokens[first:last].tolist())
        return "".join(letters[first:last])

    def text_of(self, tokens: Sequence[int]) -> str:
        """Return the text of letters and delimiters, or of subwords."""
        if self.vocabulary.subwords is not None:
            return decode_subwords(self.vocabulary.subwords, tokens).strip()
        delimiter, names = self.vocabulary.delimiter, self.vocabulary.tokens
        space = self.vocabulary.separator
        return self._join([space if token == delimiter else names[token] for token in tokens])

    def _join(self, letters: Sequence[str]) -> str:
        return ("" if self.vocabulary.phonemes_of is None else " ").join(letters).strip()

    def _drop_special(self, runs: Runs) -> Runs:
        """Drop blanks, special tokens, and columns that the vocabulary does not name."""
        vocabulary = self.vocabulary
        dropped = [vocabulary.blank, *vocabulary.special]
        kept = ~np.isin(runs.tokens, dropped) & (runs.tokens < len(vocabulary.tokens))
        return Runs(runs.tokens[kept], runs.starts[kept], runs.ends[kept])

    def _letters_of(self, runs: Runs) -> list[str]:
        """Return the token of each run, the separator (a space) for the delimiter."""
        vocabulary = self.vocabulary
        if vocabulary.subwords is not None:
            mark = vocabulary.subwords.mark
            return [vocabulary.tokens[one].replace(mark, "") for one in runs.tokens.tolist()]
        delimiter, space, tokens = vocabulary.delimiter, vocabulary.separator, vocabulary.tokens
        return [space if token == delimiter else tokens[token] for token in runs.tokens.tolist()]

    def _find_words(self, runs: Runs) -> tuple[Integers, Integers]:
        """Return the first run and the run after the last of each word (W,), split at delimiters.

        A phoneme is a word of its own. A word of subwords begins at the next mark.
        """
        if self.vocabulary.subwords is not None:
            return self._find_marked_words(runs, self.vocabulary.subwords.mark)
        if self.vocabulary.phonemes_of is not None:
            positions = np.arange(len(runs.tokens) + 1)
            return positions[:-1], positions[1:]
        delimiter = -1 if self.vocabulary.delimiter is None else self.vocabulary.delimiter
        cuts = np.concatenate(([-1], np.flatnonzero(runs.tokens == delimiter), [len(runs.tokens)]))
        firsts, lasts = cuts[:-1] + 1, cuts[1:]
        not_empty = firsts < lasts
        return firsts[not_empty], lasts[not_empty]

    def _find_marked_words(self, runs: Runs, mark: str) -> tuple[Integers, Integers]:
        tokens = [self.vocabulary.tokens[one] for one in runs.tokens.tolist()]
        firsts = [i for i, token in enumerate(tokens) if i == 0 or token.startswith(mark)]
        pairs = pairwise([*firsts, len(tokens)])
        # A mark alone is no word.
        words = [(a, b) for a, b in pairs if any(one.strip(mark) for one in tokens[a:b])]
        bounds = np.array(words, np.int64).reshape(-1, 2)
        return bounds[:, 0], bounds[:, 1]


def find_runs(best: Integers) -> Runs:
    """Find runs of equal tokens in the argmax of each frame, int64 (F,)."""
    if not len(best):
        return Runs(best, best, best)
    starts = np.concatenate(([0], np.flatnonzero(best[1:] != best[:-1]) + 1))
    return Runs(best[starts], starts, np.append(starts[1:], len(best)))


def with_pauses(runs: Runs, frames: TokenFrames, delimiter: int) -> Runs:
    """Add the delimiters before the first and after the last word, which bound their times."""
    likely = frames.tokens == delimiter
    likely &= frames.log_probs > np.log(0.5)
    found = np.searchsorted(frames.first, np.flatnonzero(likely), side="right") - 1
    if not len(runs.tokens) or not len(found):
        return runs
    before, after = found[found < runs.starts[0]], found[found >= runs.ends[-1]]
    parts = [
        *([Runs(np.array([delimiter]), before[:1], before[-1:] + 1)] if len(before) else []),
        runs,
        *([Runs(np.array([delimiter]), after[:1], after[-1:] + 1)] if len(after) else []),
    ]
    return Runs(
        np.concatenate([one.tokens for one in parts]),
        np.concatenate([one.starts for one in parts]),
        np.concatenate([one.ends for one in parts]),
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """The first run and the run after the last of each word, int64 (W,), and the delimiter."""

    firsts: Integers
    lasts: Integers
    delimiter: int | None


def _time_words(runs: Runs, words: _Words, frames: int, frame_s: float) -> tuple[Seconds, Seconds]:
    """Return starts and ends (W,) in seconds from the first frame; words never overlap.

    CTC emits a letter as a spike once it has enough context, so the first spike of a word is late
    and the last one early. The boundary lies between the spike and the adjacent delimiter (or the
    end of the audio), at `BOUNDARY` of the distance; halfway between words without a delimiter.
    """
    firsts, lasts = words.firsts, words.lasts
    # An end of the audio is like a delimiter.
    tokens = np.concatenate(([-1], runs.tokens, [-1]))
    ends, beyond = [-1] if words.delimiter is None else [-1, words.delimiter], lasts + 1
    delimiter_ends = np.concatenate(([0], runs.ends))[firsts]
    delimiter_starts = np.append(runs.starts, frames)[lasts]
    leads_s = (runs.starts[firsts] - delimiter_ends) * frame_s
    trails_s = (delimiter_starts - runs.ends[lasts - 1]) * frame_s
    leads_s *= np.where(np.isin(tokens[firsts], ends), BOUNDARY, HALFWAY)
    trails_s *= np.where(np.isin(tokens[beyond], ends), BOUNDARY, HALFWAY)
    starts_s = runs.starts[firsts] * frame_s - np.minimum(leads_s, MAX_BOUNDARY_S)
    ends_s = runs.ends[lasts - 1] * frame_s + np.minimum(trails_s, MAX_BOUNDARY_S)
    return starts_s, ends_s


def _time_characters(
    word: WordTiming, letters: Sequence[str], spikes_s: Seconds, confidences: Seconds
) -> tuple[WordTiming, ...]:
    """Time the letters (R,) of a word: each lasts from its spike to the next one's.

    The first starts with the word, the last ends with it. A mark alone is none.
    """
    shown = [i for i, letter in enumerate(letters) if letter]
    letters, spikes_s = [letters[i] for i in shown], spikes_s[shown]
    inner = np.clip(spikes_s[1:], word.start_s, word.end_s).tolist()
    boundaries = [word.start_s, *inner, word.end_s]
    return tuple(
        WordTiming(letter, boundaries[i], boundaries[i + 1], float(confidences[shown[i]]))
        for i, letter in enumerate(letters)
    )


def _to_file_clock(times_s: Seconds, audio: AudioSpan) -> Seconds:
    """Shift times in a span to the clock of its file, clipped to the span's end."""
    # A clip shorter than the receptive field is padded: its frames extend beyond its end.
    inside_s = times_s if audio.duration_s is None else np.minimum(times_s, audio.duration_s)
    return audio.start_s + inside_s


def _average_words(
    probabilities: NDArray[np.float32], runs: Runs, firsts: Integers, lasts: Integers
) -> NDArray[np.float64]:
    """Return the mean probability (W,) over the frames of each word's letters, without blanks.

    `probabilities` is (F,); runs `firsts[w]` up to `lasts[w]` belong to word w.
    """
    frame_sums = np.concatenate(([0.0], np.cumsum(probabilities, dtype=np.float64)))
    run_sums = np.concatenate(([0.0], np.cumsum(frame_sums[runs.ends] - frame_sums[runs.starts])))
    run_frames = np.concatenate(([0], np.cumsum(runs.ends - runs.starts)))
    means = (run_sums[lasts] - run_sums[firsts]) / (run_frames[lasts] - run_frames[firsts])
    # Rounding errors of cumulative sums may leave the unit interval.
    clipped: NDArray[np.float64] = np.clip(means, 0.0, 1.0)
    return clipped


GREEDY = DecoderSpec(GreedyDecoder, options=("characters",))
