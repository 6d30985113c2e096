"""`align`: find when each word of a known text was said, and how well the text fits."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from itertools import pairwise
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.phonemes import pronounce_texts
from gaudi_asr_cli.core.data.reading import read_measured
from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.decoding.known_text import TextFit, make_known_text_decoder
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import Noticed, Observer, StageStarted, UtteranceDone, ignore
from gaudi_asr_cli.core.inference.ctc import open_ctc_recognizer
from gaudi_asr_cli.core.inference.long_form import open_blocks
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.inference.word_borders import measure_levels, refine_borders
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.records import AudioSpan, Transcript, Utterance, WordTiming
from gaudi_asr_cli.core.whole_files import write_whole

MOST_MISFITS = 10
"""Number of utterances listed with the lowest scores."""
MAX_SEGMENT_S = 20.0
SEGMENT_PAUSE_S = 0.3
"""A pause of this length may end a segment."""
SEGMENT_MARGIN_S = 0.2
"""Audio around the words of a segment, up to half of the pause: words at borders need it."""
ALIGN_OPTIONS = InferenceOptions(kind="ctc")


@dataclass(frozen=True, slots=True)
class AlignRequest:
    """The audio with its text, or the data that holds both.

    `text` is the text of the one file of `source`, or a file that holds it; without it `source` is
    data. `segments` is the manifest to write, of parts of up to `MAX_SEGMENT_S`.
    """

    source: str
    text: str | None = None
    model: str = "demo"
    read: ReadOptions = field(default_factory=ReadOptions)
    options: InferenceOptions = ALIGN_OPTIONS
    segments: Path | None = None


@dataclass(frozen=True, slots=True)
class AlignedUtterance:
    """An utterance with the times of its words and its fit, or the error why there are none.

    `start_s` is where it begins in its file.
    """

    done: UtteranceDone
    fit: TextFit | None
    start_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        words = () if self.done.transcript is None else self.done.transcript.words
        return {
            "schema": "align/1",
            "id": self.done.utterance_id,
            "path": self.done.path,
            "score": None if self.fit is None else round(self.fit.score, 4),
            "worst_score": None if self.fit is None else round(self.fit.worst_score, 4),
            "hypothesis": None if self.fit is None else self.fit.hypothesis,
            "words": [
                {
                    **_timed_json(word, "word"),
                    "characters": [_timed_json(one, "character") for one in word.characters],
                }
                for word in words
            ],
            "error": self.done.error,
        }


def _timed_json(word: WordTiming, name: str) -> dict[str, Any]:
    return {
        name: word.word,
        "start_s": round(word.start_s, 3),
        "end_s": round(word.end_s, 3),
        "score": None if word.confidence is None else round(word.confidence, 4),
    }


@dataclass(frozen=True, slots=True)
class AlignReport:
    """All utterances; `worst` have the lowest scores, the lowest first."""

    aligned: tuple[AlignedUtterance, ...]
    segments: int

    @property
    def worst(self) -> tuple[AlignedUtterance, ...]:
        return tuple(find_worst_fits(self.aligned, MOST_MISFITS))

    @property
    def exit_code(self) -> int:
        """0, or that of `DataError` if some utterances could not be aligned."""
        return DataError.exit_code if any(one.done.error for one in self.aligned) else 0


def align_texts(request: AlignRequest, device: Device, observe: Observer = ignore) -> AlignReport:
    """Align every utterance and report each to `observe` as an `UtteranceDone`, in order.

    Raises:
        DataError: There is no text, or the model is no CTC model.
        UsageError: The file of the segments exists.
        UnreachableError: The model is neither cached nor reachable.
    """
    if request.segments is not None and request.segments.exists():
        raise UsageError(
            f"{request.segments} exists already.", remedy="Choose another file for --segments."
        )
    utterances = _read(request, observe)
    aligned = []
    for one in align_utterances(utterances, request.model, device, request.options, observe):
        observe(one.done)
        aligned.append(one)
    segments = 0
    if request.segments is not None:
        lines = [line for one in aligned for line in _segment(one)]
        write_whole(request.segments, "".join(json_text(line) + "\n" for line in lines))
        segments = len(lines)
    return AlignReport(tuple(aligned), segments)


def align_utterances(
    utterances: Sequence[Utterance],
    model: str,
    device: Device,
    options: InferenceOptions = ALIGN_OPTIONS,
    observe: Observer = ignore,
) -> Generator[AlignedUtterance, None, None]:
    """Align the text of each utterance, in order; one that fails has an error.

    Raises:
        DataError: The model is no CTC model.
        UnreachableError: The model is neither cached nor reachable.
    """
    recognizer = open_ctc_recognizer(model, device, options)
    if recognizer.phonemes_of is not None:
        observe(
            Noticed(
                f"{model} recognises phonemes: those of the text are aligned "
                f"({recognizer.phonemes_of}), each as a word.",
                remedy="Use a model of letters for the times of words.",
            )
        )
        utterances = pronounce_texts(utterances, recognizer.phonemes_of, str)
    decoder = make_known_text_decoder(
        recognizer.model.vocabulary, [one.text or "" for one in utterances]
    )
    observe(StageStarted("aligning", len(utterances), "files"))
    with_texts = replace(recognizer, decoder=decoder)
    results = transcribe(with_texts, utterances, observe=observe)
    for utterance, done in zip(utterances, results, strict=True):
        named = done.error
        if named and not named.startswith(f"{done.utterance_id}: "):
            named = f"{done.utterance_id}: {named}"
        fit = decoder.fits.get(done.utterance_id)
        transcript = done.transcript
        if transcript is not None and recognizer.phonemes_of is None:
            transcript = _refine(transcript, utterance.audio)
        refined = replace(done, error=named, transcript=transcript)
        yield AlignedUtterance(refined, fit, utterance.audio.start_s)


def _refine(transcript: Transcript, audio: AudioSpan) -> Transcript:
    """Return the transcript with borders of words at the pauses of its audio."""
    try:
        levels = measure_levels(block.samples for block in open_blocks(audio))
    except DataError:
        # It was read once: what is wrong with its end was reported.
        return transcript
    return replace(transcript, words=refine_borders(transcript.words, levels, audio.start_s))


def find_worst_fits(aligned: Iterable[AlignedUtterance], count: int) -> list[AlignedUtterance]:
    """Return the utterances with the lowest worst scores, the lowest first."""
    scored = ((one.fit.worst_score, index, one) for index, one in enumerate(aligned) if one.fit)
    return [one for _, _, one in nsmallest(count, scored)]


def _read(request: AlignRequest, observe: Observer) -> tuple[Utterance, ...]:
    if request.text is not None:
        path = Path(request.source).expanduser()
        if not path.is_file():
            raise DataError(
                f"{request.source}: there is no such audio file.",
                remedy="Give one audio file and its text, or data that holds both.",
            )
        return (Utterance(path.name, AudioSpan(path), _read_text(request.text)),)
    measured = read_measured([request.source], request.read, observe)
    utterances = tuple(one for one in measured.utterances if one.text and one.text.strip())
    left_out = len(measured.utterances) + len(measured.broken) - len(utterances)
    if not utterances:
        raise DataError(
            f"{request.source}: no utterance has both audio and text.",
            remedy="Give the text as a second argument, or data with transcripts.",
        )
    if left_out:
        observe(Noticed(f"{left_out} utterances without audio or text are left out."))
    return utterances


def _read_text(text: str) -> str:
    """Return the content of a text file, or the text itself."""
    path = Path(text).expanduser()
    try:
        found = path.read_text(encoding="utf-8-sig") if path.is_file() else text
    except (OSError, UnicodeDecodeError) as error:
        # A text may be too long for a name of a file, and is no path then.
        if isinstance(error, OSError) and not path.suffix:
            found = text
        else:
            raise DataError(
                f"{text}: the text cannot be read: {error}.", remedy="Save it as UTF-8."
            ) from None
    if not found.strip():
        raise DataError("The text is empty.", remedy="Give the text that is spoken in the audio.")
    return found


def _segment(one: AlignedUtterance) -> Iterator[dict[str, Any]]:
    """Yield a line of a manifest for each segment of an utterance."""
    if one.done.transcript is None:
        return
    segments = list(cut_segments(one.done.transcript.words))
    from_s = one.start_s
    borders = [
        from_s,
        *(time_s for words in segments for time_s in (words[0].start_s, words[-1].end_s)),
        from_s + one.done.duration_s,
    ]
    for index, words in enumerate(segments):
        before_s, start_s, end_s, after_s = borders[2 * index : 2 * index + 4]
        start_s -= min(max(start_s - before_s, 0.0) / 2, SEGMENT_MARGIN_S)
        end_s += min(max(after_s - end_s, 0.0) / 2, SEGMENT_MARGIN_S)
        sure = [word.confidence or 0.0 for word in words]
        yield {
            "audio_filepath": str(Path(one.done.path).absolute()),
            "offset": round(start_s, 3),
            "duration": round(end_s - start_s, 3),
            "text": " ".join(word.word for word in words),
            "score": round(sum(sure) / len(sure), 4),
        }


def cut_segments(words: Sequence[WordTiming]) -> Iterator[Sequence[WordTiming]]:
    """Cut words at pauses, and longer segments than `MAX_SEGMENT_S` at their longest gap."""
    cuts = [
        index
        for index, (left, right) in enumerate(pairwise(words), 1)
        if right.start_s - left.end_s >= SEGMENT_PAUSE_S
    ]
    for start, end in pairwise([0, *cuts, len(words)]):
        yield from _cut_long(words[start:end])


def _cut_long(words: Sequence[WordTiming]) -> Iterator[Sequence[WordTiming]]:
    if not words:
        return
    if len(words) == 1 or words[-1].end_s - words[0].start_s <= MAX_SEGMENT_S:
        yield words
        return
    middle_s = (words[0].start_s + words[-1].end_s) / 2
    gaps = [
        (right.start_s - left.end_s, -abs(right.start_s - middle_s), index)
        for index, (left, right) in enumerate(pairwise(words), 1)
    ]
    cut = max(gaps)[2]
    yield from _cut_long(words[:cut])
    yield from _cut_long(words[cut:])
