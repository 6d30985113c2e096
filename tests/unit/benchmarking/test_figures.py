import csv

import pytest

from gaudi_asr_cli.core.benchmarking.figures import all_latencies_s, bucket_figures, run_padding
from gaudi_asr_cli.core.benchmarking.habana import habana_figures, write_perf_csv
from gaudi_asr_cli.core.benchmarking.percentiles import measure_spread, summarize_latency
from gaudi_asr_cli.core.benchmarking.repeats import Repeat, pick_warm_up
from gaudi_asr_cli.core.benchmarking.saved import read_results, save_result
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.results import TimedResult
from gaudi_asr_cli.core.inference.timing import Timing
from gaudi_asr_cli.core.records import Transcript


def make_result(duration_s, compute_s=0.0, padded_s=0.0, error=None):
    transcript = None if error else Transcript("u", "text")
    timing = Timing(features_s=0.001, compute_s=compute_s, text_s=0.002, padded_s=padded_s)
    return TimedResult(UtteranceDone("u", "u.wav", duration_s, transcript, error), timing)


def test_percentiles_are_in_milliseconds():
    latency = summarize_latency([one / 1000 for one in range(101)])

    assert (latency.mean, latency.p50, latency.p90, latency.p99, latency.max) == pytest.approx(
        (50, 50, 90, 99, 100)
    )
    assert summarize_latency([]).max == 0


def test_spread_is_minimum_median_and_maximum():
    spread = measure_spread([3.0, 1.0, 2.0])

    assert (spread.minimum, spread.median, spread.maximum) == (1.0, 2.0, 3.0)


def test_habana_token_is_one_audio_sample():
    figures = habana_figures(audio_s=10.0, utterances=4, wall_s=0.5)

    assert figures.tokens == 160_000
    assert figures.tokens_per_ms == pytest.approx(320)
    assert figures.ms_per_10k_tokens == pytest.approx(31.25)
    assert figures.ms_per_sample == pytest.approx(125)
    assert figures.rtf == pytest.approx(20)


def test_bucket_figures_are_of_the_utterances_in_the_bucket():
    repeats = [
        Repeat(1.0, (make_result(1.0, 0.1), make_result(5.0, 0.5), make_result(2.0, 0.2)), {})
    ]

    short, long = bucket_figures([2.0, 4.0, 6.0], [1.0, 5.0, 2.0], repeats)

    assert (short.edge_s, short.utterances, short.audio_s) == (2.0, 2, 3.0)
    assert short.padding == pytest.approx(4 / 3)
    assert (long.edge_s, long.utterances) == (6.0, 1)
    assert long.latency_ms.max == pytest.approx(503)


def test_failed_utterances_have_no_latency_and_no_padding():
    failed = TimedResult(UtteranceDone("x", "x.wav", 9.0, None, "broken"))
    good = make_result(2.0, 0.1, padded_s=3.0)

    assert run_padding([failed, good]) == pytest.approx(1.5)
    assert all_latencies_s([Repeat(1.0, (failed, good), {})]) == pytest.approx([0.103])


def test_warm_up_takes_the_longest_utterance_of_each_bucket():
    assert pick_warm_up([1.0, 5.0, 2.0, 4.0], [2.0, 6.0]) == [2, 1]


def test_csv_has_habana_columns_and_a_line_per_utterance(tmp_path):
    path = tmp_path / "new" / "perf.csv"

    write_perf_csv(path, [make_result(1.0, 0.016), make_result(2.0, 0.032)])

    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["length", "tokenize", "compute", "decode", "e2e", "ms per 10k"]
    assert [row["length"] for row in rows] == ["16000", "32000"]
    assert float(rows[0]["tokenize"]) == pytest.approx(1)
    assert float(rows[0]["e2e"]) == pytest.approx(19)
    assert float(rows[0]["ms per 10k"]) == pytest.approx(19 / 1.6)


def test_saved_results_are_not_overwritten(tmp_path):
    path = tmp_path / "a.json"
    save_result(path, {"schema": "bench/1", "rtfx": 2})

    with pytest.raises(UsageError, match="exists"):
        save_result(path, {})
    assert read_results([path])[0].result["rtfx"] == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "infer/1"}', None])
def test_only_saved_results_can_be_compared(tmp_path, text):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(DataError, match="json"):
        read_results([path])
