"""Live transcription: partial transcripts are skipped when late, final ones never, in order."""

import asyncio

import numpy as np
import pytest
from helpers.live_audio import LEVELS, leveled

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.live import FinalTranscript, LiveTranscriber, PartialTranscript
from gaudi_asr_cli.core.inference.live_speech import LiveSettings, SpeechStarted
from gaudi_asr_cli.core.records import Transcript, WordTiming

SETTINGS = LiveSettings()


class Recorded:
    """A model that takes `seconds` for each transcription, and the events of a stream."""

    def __init__(self, seconds=0.0, fails=()):
        self.seconds = seconds
        self.fails = fails
        self.calls = []
        self.events = []

    async def transcribe(self, live, is_final):
        self.calls.append((live.number, is_final))
        await asyncio.sleep(self.seconds)
        if len(self.calls) in self.fails:
            raise DataError("It failed.", remedy="Send it again.")
        length_s = len(live.samples) / 16_000
        word = WordTiming("word", 0.4, length_s - 0.4, None)
        return Transcript("live", f"utterance {live.number}", (word,))

    async def emit(self, event):
        self.events.append(event)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def run_stream(recorded, samples, *, piece=1600, pause_s=0.0, settings=SETTINGS):
    async def pieces():
        for first in range(0, len(samples), piece):
            yield samples[first : first + piece]
            await asyncio.sleep(pause_s)

    live = LiveTranscriber(recorded.transcribe, recorded.emit, LEVELS, settings)
    asyncio.run(live.run(pieces()))
    return recorded


TWO = leveled((1, 0), (2, 0.9), (1, 0), (3, 0.9), (1, 0))


def test_each_utterance_has_a_start_partial_transcripts_and_a_final_one():
    recorded = run_stream(Recorded(), TWO)

    assert [event.number for event in recorded.of(SpeechStarted)] == [0, 1]
    first, second = recorded.of(FinalTranscript)
    assert (first.transcript.text, second.transcript.text) == ("utterance 0", "utterance 1")
    assert (first.start_s, first.end_s) == pytest.approx((1, 3), abs=0.05)
    word = second.transcript.words[0]
    assert (word.start_s, word.end_s) == pytest.approx((second.start_s, second.end_s), abs=0.05)
    partial = [event.end_s for event in recorded.of(PartialTranscript) if event.number == 1]
    assert partial == sorted(partial)
    assert len(partial) >= 3


def test_the_transcription_at_the_pause_is_the_final_one():
    recorded = run_stream(Recorded(), leveled((1, 0.9), (1, 0)))

    assert [is_final for _, is_final in recorded.calls] == [False, True]


def test_partial_transcripts_are_skipped_while_one_is_computed():
    slow = run_stream(Recorded(seconds=0.2), TWO)

    assert [event.number for event in slow.of(FinalTranscript)] == [0, 1]
    assert len(slow.of(PartialTranscript)) <= 1
    assert len(slow.calls) <= 6


def test_final_transcripts_are_never_skipped_and_bound_what_is_received():
    samples = np.concatenate([leveled((0.5, 0.9), (0.8, 0))] * 12)
    recorded = run_stream(Recorded(seconds=0.02), samples, piece=len(samples))

    finals = recorded.of(FinalTranscript)
    assert [event.number for event in finals] == list(range(12))
    assert all(event.latency_s > 0 for event in finals)


def test_a_failed_partial_transcript_is_skipped():
    recorded = run_stream(Recorded(fails={1}), leveled((1, 0.9), (1, 0)))

    assert len(recorded.of(FinalTranscript)) == 1


def test_a_failed_final_transcript_ends_the_stream_with_its_error():
    with pytest.raises(DataError, match="failed"):
        run_stream(Recorded(fails={2, 3}), leveled((1, 0.9), (1, 0)))


def test_latency_is_counted_from_the_arrival_of_the_end_of_speech():
    # 0.4 s of silence arrive in 0.4 s until the margin is complete, 0.6 until the pause is.
    recorded = run_stream(Recorded(), leveled((0.5, 0.9), (1, 0)), pause_s=0.1)

    (final,) = recorded.of(FinalTranscript)
    assert 0.4 < final.latency_s < 1.5
