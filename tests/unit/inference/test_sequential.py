"""Sequential long-form transcription: parts side by side, order of reports, what is held."""

from dataclasses import replace
from threading import Event, current_thread

import numpy as np
import pytest
import torch

from gaudi_asr_cli.core.inference.prompting import NO_PROMPT, Prompting
from gaudi_asr_cli.core.inference.sequential import (
    HELD_FRAMES,
    MelStream,
    WindowBatches,
    generate_sequentially,
)
from gaudi_asr_cli.core.models.log_mel import open_log_mel
from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader
from gaudi_asr_cli.core.records import Hypothesis, Segment, Speech

FIRST_TIME = 1000
PARTS = ((0.0, 70.0), (71.0, 100.0), (103.0, 103.3), (110.0, 175.0), (180.0, 200.0))
SIDE_BY_SIDE = WindowBatches(size=3)


class Reader:
    """Reads time tokens from `FIRST_TIME` on; other tokens are words of their number."""

    def is_time(self, token):
        return token >= FIRST_TIME

    def seconds(self, token):
        return (token - FIRST_TIME) * 0.02

    def decode_text(self, tokens):
        return " ".join(str(one) for one in tokens if one < FIRST_TIME)

    segments = SequenceReader.segments
    _between_times = SequenceReader._between_times
    _decode_raw = decode_text


class Windows:
    """Generates, of each window, the number of the second of audio that it starts with.

    The text of a full window ends 4 s before it.
    """

    def __init__(self):
        self.batches = []
        self.previous = []
        self.languages = []

    def __call__(self, windows, language, previous):
        self.batches.append([self.second(one) for one in windows])
        self.previous.append(previous)
        self.languages.append(language)
        return [self.generate(one) for one in windows]

    @staticmethod
    def second(window):
        assert window.features.shape[1] == 3000
        assert not window.features[:, window.frames :].any()
        return round(float(window.features[0, 0]))

    def generate(self, window):
        end = FIRST_TIME + (1300 if window.frames == 3000 else window.frames // 2)
        tokens = (FIRST_TIME, self.second(window), end, end)
        return Hypothesis(tokens, "", "hi", False, (), language_probability=0.5)


def open_stream(parts, seconds=200.0):
    """Return a stream of frames that hold the second in which they are, in blocks of 7 s."""
    mel = open_log_mel({})
    frames = torch.arange(round(seconds * 100)).div(100, rounding_mode="floor")
    # `scale` maps x to (x + 4) / 4.
    spectra = (4 * frames - 4).expand(80, -1).float().split(700, dim=1)
    return MelStream(mel, iter(spectra), -torch.inf, parts)


def run(parts=PARTS, batches=SIDE_BY_SIDE, prompting=NO_PROMPT, report=None, **more):
    windows = Windows()
    stream = open_stream(parts, **more)
    hypothesis = generate_sequentially(stream, windows, Reader(), prompting, report, batches)
    return hypothesis, windows


def test_parts_side_by_side_give_the_text_of_one_after_the_other():
    together, windows = run()
    alone, one_by_one = run(batches=None)

    assert together == alone
    assert together.text == "0 26 52 71 103 110 136 162 180"
    assert windows.batches == [[0, 71, 103], [26, 110, 180], [52, 136], [162]]
    assert [len(batch) for batch in one_by_one.batches] == [1] * 9


def test_a_part_joins_the_batch_when_another_ends():
    _, windows = run(parts=((0.0, 20.0), (30.0, 50.0), (60.0, 150.0), (160.0, 180.0)))

    assert windows.batches == [[0, 30, 60], [86, 160], [112], [138]]


def test_times_are_those_of_the_audio_and_segments_are_reported_in_order():
    reported: list[Segment] = []

    hypothesis, _ = run(report=reported.append)

    assert tuple(reported) == hypothesis.segments
    starts = [one.start_s for one in reported]
    assert starts == sorted(starts) == [0, 26, 52, 71, 103, 110, 136, 162, 180]
    assert all(one.end_s <= 200 for one in reported)


def test_a_segment_is_reported_as_soon_as_those_before_it_are_known():
    known: list[tuple[int, int]] = []
    windows = Windows()

    def report(segment):
        known.append((len(windows.batches), round(segment.start_s)))

    generate_sequentially(open_stream(PARTS), windows, Reader(), NO_PROMPT, report, SIDE_BY_SIDE)

    assert known[:5] == [(1, 0), (2, 26), (3, 52), (3, 71), (3, 103)]


def test_conditioned_text_is_generated_one_window_at_a_time():
    prompting = Prompting(conditions=True)

    _, windows = run(prompting=prompting)

    assert [len(batch) for batch in windows.batches] == [1] * 9
    assert windows.previous[1][:2] == (FIRST_TIME, 0)


@pytest.mark.parametrize(
    ("prompting", "detects"), [(Prompting(initial=(7,), hotwords=(8,)), False), (NO_PROMPT, True)]
)
def test_the_first_window_is_alone_for_the_initial_prompt_and_the_language(prompting, detects):
    hypothesis, windows = run(prompting=prompting, batches=WindowBatches(3, detects=detects))

    assert windows.batches[:2] == [[0], [26, 71, 103]]
    assert windows.languages[:2] == [None, "hi"]
    assert windows.previous == [prompting.join(prompting.initial), *[prompting.hotwords] * 4]
    assert hypothesis.language_probability == 0.5
    assert replace(hypothesis, stats=None) == replace(run()[0], stats=None)


def test_batches_have_one_shape_where_the_device_compiles_for_each():
    filled, windows = run(batches=WindowBatches(3, is_full=True))

    assert windows.batches[-1] == [162, 162, 162]
    assert {len(batch) for batch in windows.batches} == {3}
    assert filled == run()[0]
    _, whole = run(parts=((0.0, 200.0),), batches=WindowBatches(3, is_full=True))
    assert {len(batch) for batch in whole.batches} == {1}


def test_parts_that_are_far_apart_are_not_held_together():
    apart_s = HELD_FRAMES / 100 + 10
    parts = ((0.0, 60.0), (100.0, 110.0), (apart_s, apart_s + 5.0))
    windows, held = Windows(), []
    stream = open_stream(parts, seconds=apart_s + 50)

    def generate(*arguments):
        held.append(sum(one.shape[1] for one in stream._held))
        return windows(*arguments)

    generate_sequentially(stream, generate, Reader(), NO_PROMPT, None, SIDE_BY_SIDE)

    assert windows.batches == [[0, 100], [26, round(apart_s)], [52]]
    assert held[0] < 14_000
    assert np.max(held) < HELD_FRAMES + 4_000


def test_a_window_that_reaches_into_the_next_part_takes_nothing_from_it():
    class FarReaching(Windows):
        def generate(self, window):
            end = FIRST_TIME + 1500
            tokens = (FIRST_TIME, self.second(window), end, end)
            return Hypothesis(tokens, "", None, False, ())

    windows = FarReaching()

    generate_sequentially(open_stream(((0.0, 20.0), (21.0, 40.0))), windows, Reader())

    assert windows.batches == [[0], [21]]


class EndingEarly(Windows):
    """Ends the text of each window after 8 s; with `word` the text is that one for all windows."""

    def __init__(self, word=None):
        super().__init__()
        self.word = word

    def generate(self, window):
        word = self.second(window) if self.word is None else self.word
        return Hypothesis((FIRST_TIME, word, FIRST_TIME + 400), "", None, False, ())


@pytest.mark.parametrize(
    ("spans", "starts"),
    [
        ((), [0, 30, 60]),
        (((0.0, 8.5), (60.0, 68.9)), [0, 30, 60]),
        (((0.0, 25.0), (25.5, 69.5)), [0, 8, 16, 24, 32, 40, 48, 56, 64]),
        (((0.0, 9.0), (27.4, 29.0)), [0, 8, 27, 57]),
    ],
)
def test_speech_after_the_text_of_a_window_is_transcribed_in_the_next(spans, starts):
    windows = EndingEarly()
    stream = replace(open_stream(((0.0, 70.0),)), speech=Speech(spans))

    hypothesis = generate_sequentially(stream, windows, Reader())

    assert [second for batch in windows.batches for second in batch] == starts
    assert hypothesis.text == " ".join(map(str, starts))
    assert [one.start_s for one in hypothesis.segments] == starts


def test_a_text_that_is_repeated_ends_where_its_window_does():
    windows = EndingEarly(word=7)
    stream = replace(open_stream(((0.0, 70.0),)), speech=Speech(((0.0, 70.0),)))

    generate_sequentially(stream, windows, Reader())

    assert windows.batches == [[0], [8], [38], [68]]


IN_LANES = WindowBatches(size=4, threads=2)


class SlowLane(Windows):
    """Generates one window of one of two lanes only after the other lane has ended.

    `slow_second` is where a window of the slow lane starts; the other ends with `last_second`.
    """

    def __init__(self, slow_second, last_second):
        super().__init__()
        self.slow_second, self.last_second = slow_second, last_second
        self.ended = Event()
        self.threads = set()

    def __call__(self, windows, language, previous):
        seconds = [self.second(one) for one in windows]
        self.threads.add(current_thread().name)
        if self.slow_second in seconds:
            assert self.ended.wait(10)
        hypotheses = super().__call__(windows, language, previous)
        if self.last_second in seconds:
            self.ended.set()
        return hypotheses


@pytest.mark.parametrize(("slow", "last"), [(0, 162), (71, 52)])
def test_lanes_generate_batches_of_different_parts_at_the_same_time(slow, last):
    windows, reported = SlowLane(slow, last), []

    hypothesis = generate_sequentially(
        open_stream(PARTS), windows, Reader(), NO_PROMPT, reported.append, IN_LANES
    )

    assert hypothesis == run()[0]
    assert tuple(reported) == hypothesis.segments
    assert len(windows.threads) == 2
    # Which windows share a batch depends on the parts alone.
    assert sorted(windows.batches) == [[0, 180], [26], [52], [71, 103], [110], [136], [162]]


def test_lanes_start_after_the_first_window_where_the_language_is_detected():
    hypothesis, windows = run(batches=replace(IN_LANES, detects=True))

    assert windows.batches[0] == [0]
    assert set(windows.languages[1:]) == {"hi"}
    assert replace(hypothesis, stats=None) == replace(run()[0], stats=None)


@pytest.mark.parametrize(
    ("parts", "threads"), [(((0.0, 60.0),), 2), (PARTS[:2], 4), (PARTS[:3], 6)]
)
def test_threads_share_a_batch_that_would_leave_half_of_them_idle(parts, threads):
    seen = set()
    windows = Windows()

    def generate(*arguments):
        seen.add(current_thread())
        return windows(*arguments)

    batches = WindowBatches(size=4, threads=threads)
    generate_sequentially(open_stream(parts), generate, Reader(), NO_PROMPT, None, batches)

    assert seen == {current_thread()}
    assert len(windows.batches[0]) == len(parts)


def test_a_lane_far_ahead_waits_for_the_others():
    apart_s = HELD_FRAMES / 100 + 100
    parts = ((0.0, 60.0), (apart_s, apart_s + 60.0))
    windows, held = Windows(), []
    stream = open_stream(parts, seconds=apart_s + 100)

    def generate(*arguments):
        held.append(sum(one.shape[1] for one in stream._held))
        return windows(*arguments)

    generate_sequentially(stream, generate, Reader(), NO_PROMPT, None, IN_LANES)

    start = round(apart_s)
    assert windows.batches == [[0], [26], [52], [start], [start + 26], [start + 52]]
    assert np.max(held) < 14_000


def test_a_failure_in_a_lane_is_raised():
    class Failing(Windows):
        def generate(self, window):
            if self.second(window) == 136:
                raise RuntimeError("no memory")
            return super().generate(window)

    with pytest.raises(RuntimeError, match="no memory"):
        generate_sequentially(open_stream(PARTS), Failing(), Reader(), NO_PROMPT, None, IN_LANES)
