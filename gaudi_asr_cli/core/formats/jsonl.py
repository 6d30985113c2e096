"""JSON lines: one object an utterance, failed ones included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.record import Format
from gaudi_asr_cli.core.formats.turns import find_turns
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.records import DecodingStats, Transcript, WordTiming


def format_jsonl(utterances: Iterable[UtteranceDone]) -> Iterator[str]:
    """Each utterance on a line, as soon as it comes."""
    for done in utterances:
        yield json_text(transcript_json(done)) + "\n"


def transcript_json(done: UtteranceDone, *, language: str | None = None) -> dict[str, Any]:
    """The JSON line of the command line contract; `text` is null where `error` is not.

    `language` is the detected language, or else the given one.
    """
    transcript = done.transcript
    n_best = () if transcript is None else transcript.n_best
    named = {"n_best": [{"text": one.text, "score": round(one.score, 4)} for one in n_best]}
    line = {
        "schema": "infer/1",
        "path": done.path,
        "duration_s": done.duration_s,
        "text": None if transcript is None else transcript.text,
        "words": [] if transcript is None else _words_json(transcript),
        "language": language if transcript is None else transcript.language or language,
        "error": done.error,
        **(named if n_best else {}),
        **({} if transcript is None else _channels_json(transcript)),
    }
    if done.track is not None:
        line["track"] = done.track
    if done.speech_s is not None:
        line["speech_s"] = round(done.speech_s, 3)
    return line if transcript is None else {**line, **_generation_json(transcript)}


def _words_json(transcript: Transcript) -> list[dict[str, Any]]:
    """Return the words; with several channels each names its own."""
    if not transcript.channels:
        return [_word_json(word) for word in transcript.words]
    words = [(w, number) for number, one in enumerate(transcript.channels) for w in one.words]
    words.sort(key=lambda pair: pair[0].start_s)
    return [{**_word_json(word), "channel": channel} for word, channel in words]


def _channels_json(transcript: Transcript) -> dict[str, Any]:
    """Return the text of each channel, and the turns of all, where channels were transcribed."""
    if not transcript.channels:
        return {}
    return {
        "channels": [
            {"channel": number, "text": one.text, "language": one.language}
            for number, one in enumerate(transcript.channels)
        ],
        "turns": [
            {"channel": turn.channel, "start_s": round(turn.start_s, 3), "text": turn.text}
            for turn in find_turns(transcript.channels)
        ],
    }


def _generation_json(transcript: Transcript) -> dict[str, Any]:
    """What only a generated text has: how sure the decoder was, of the text and its segments."""
    if transcript.stats is None:
        return {}
    detected = transcript.language_probability
    return {
        "language_probability": None if detected is None else round(detected, 4),
        **_stats_json(transcript.stats),
        "segments": [
            {
                "text": one.text,
                "start_s": round(one.start_s, 3),
                "end_s": round(one.end_s, 3),
                **_stats_json(one.stats),
            }
            for one in transcript.segments
            if one.stats is not None
        ],
    }


def _stats_json(stats: DecodingStats) -> dict[str, Any]:
    no_speech = stats.no_speech_probability
    return {
        "temperature": stats.temperature,
        "avg_logprob": round(stats.avg_logprob, 4),
        "compression_ratio": round(stats.compression_ratio, 4),
        "no_speech_probability": None if no_speech is None else round(no_speech, 4),
        "repetitive": stats.repetitive,
    }


def _word_json(word: WordTiming) -> dict[str, Any]:
    """Times to the millisecond, confidence to four places: finer than either is true."""
    named = {"word": word.word, **_times_json(word)}
    if word.characters:
        named["characters"] = [
            {"character": one.word, **_times_json(one)} for one in word.characters
        ]
    return named


def _times_json(word: WordTiming) -> dict[str, Any]:
    return {
        "start_s": round(word.start_s, 3),
        "end_s": round(word.end_s, 3),
        "confidence": None if word.confidence is None else round(word.confidence, 4),
    }


JSON_LINES = Format(format_jsonl, one_document=False, needs_word_times=False, writes_failures=True)
