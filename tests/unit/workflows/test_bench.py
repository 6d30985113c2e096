import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import LAYER_NORM, TINY, save_tiny_model
from helpers.tiny_seq2seq import save_tiny_seq2seq, save_tiny_whisper

from gaudi_asr_cli.core.benchmarking import shapes
from gaudi_asr_cli.core.benchmarking.synthetic import draw_durations_s
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.workflows.bench import BASE, LARGE, BenchRequest, bench

PROMISED_KEYS = {
    *("model", "device", "dtype", "graphs", "buckets", "padding", "graphs_captured", "compile_s"),
    *("utterances", "audio_s", "wall_s", "rtfx", "samples_per_ms", "ms_per_10k_samples"),
    *("latency_ms", "phases_s", "peak_memory_mb", "score", "baseline", "schema"),
}
"""JSON keys promised in cli.md."""


@pytest.fixture(autouse=True)
def tiny_shapes(monkeypatch):
    monkeypatch.setitem(shapes.SHAPES, BASE, TINY)
    monkeypatch.setitem(shapes.SHAPES, LARGE, {**TINY, **LAYER_NORM})


def run(device=None, **options):
    events = []
    defaults = {"limit": 5, "repeat": 2, "dtype": "fp32"}
    request = BenchRequest(**{**defaults, **options})
    return bench(request, device or open_device("cpu"), events.append), events


def notices(events):
    return [one.message for one in events if isinstance(one, Noticed)]


@pytest.mark.parametrize("large", [False, True])
def test_without_options_random_weights_are_measured_and_reported_as_such(large):
    report, events = run(large=large)

    result = report.to_json()
    assert set(result) >= PROMISED_KEYS
    assert result["schema"] == "bench/1"
    assert result["random_weights"]
    assert "random" in result["model"]
    assert "synthetic" in result["sound"]
    assert result["score"] is None
    assert result["audio_s"] == pytest.approx(draw_durations_s(5, 42).sum(), abs=1e-3)
    assert result["rtfx"] > 0
    assert result["failed"] == 0
    assert notices(events) == []
    json.dumps(result)


def test_figures_are_of_one_pass_and_the_spread_of_all():
    report, _ = run(repeat=3)

    assert report.repeat == 3
    assert report.rtfx.minimum <= report.rtfx.median <= report.rtfx.maximum
    result = report.to_json()
    samples = report.audio_s * 16_000
    assert result["samples_per_ms"] == pytest.approx(samples / (1000 * result["wall_s"]), rel=1e-3)
    assert result["ms_per_10k_samples"] == pytest.approx(10_000 / result["samples_per_ms"])
    assert set(result["phases_s"]) == {
        *("read", "decode_audio", "features", "compute", "copy", "text")
    }
    assert result["phases_s"]["compute"] > result["phases_s"]["features"] > 0


@pytest.mark.parametrize(("buckets", "rule"), [(1, "optimal"), (3, "quantile"), (0, "optimal")])
def test_each_utterance_is_in_one_bucket(buckets, rule):
    report, _ = run(buckets=buckets, bucket_rule=rule, repeat=1)

    assert sum(one.utterances for one in report.buckets) == 5
    assert len(report.buckets) == buckets or not buckets
    assert all(one.padding >= 1 - 1e-6 for one in report.buckets)
    assert report.padding == pytest.approx(1.0)


def test_batching_device_reports_its_padding():
    device = replace(open_device("cpu"), prefers_batching=True, recompiles_on_new_shapes=True)

    report, _ = run(device=device, buckets=2, batch_s=40.0)

    assert report.engine == "batched"
    assert report.padding > 1.0
    assert report.failed == 0


def test_graphs_without_device_support_give_a_notice_and_a_measurement():
    report, events = run(graphs=True, repeat=1)

    assert not report.graphs
    assert "no graphs" in notices(events)[0]


def test_accuracy_of_synthetic_speech_gives_a_notice():
    report, events = run(accuracy=True, repeat=1)

    assert report.score is None
    assert "no words" in notices(events)[0]


def test_data_with_text_is_scored(tmp_path):
    manifest = write_corpus(tmp_path / "corpus", utterances=4)
    model = str(save_tiny_model(tmp_path / "model", letters="efhnorstuw"))

    report, _ = run(model=model, data=(str(manifest),), limit=3)

    assert report.score.utterances == 3
    assert report.score.wer > 0
    assert not report.random_weights
    assert not report.synthetic


def test_unreadable_utterances_are_counted(tmp_path):
    write_corpus(tmp_path / "corpus", utterances=2)
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    soundfile.write(tmp_path / "corpus" / "cut.flac", noise, 16_000)
    broken = tmp_path / "corpus" / "cut.flac"
    broken.write_bytes(broken.read_bytes()[:200])
    model = str(save_tiny_model(tmp_path / "model"))

    report, events = run(model=model, data=(f"folder:{tmp_path / 'corpus'}",), limit=0, repeat=1)

    assert report.failed + len(notices(events)) == 1
    assert report.utterances - report.failed == 2


def test_baseline_pipeline_gives_the_same_texts_interleaved():
    report, _ = run(baseline="transformers")

    baseline = report.baseline
    assert (baseline.dtype, baseline.batch, baseline.utterances) == ("fp32", 1, 5)
    assert baseline.same_text == 5
    assert baseline.ratio.minimum <= baseline.ratio.median <= baseline.ratio.maximum
    assert baseline.rtfx == pytest.approx(report.audio_s / baseline.wall_s)


def test_results_are_saved_and_never_overwrite_a_file(tmp_path):
    save, table = tmp_path / "a.json", tmp_path / "perf.csv"

    report, _ = run(save=save, perf_csv=table, repeat=1)

    assert json.loads(save.read_text())["rtfx"] == pytest.approx(report.rtfx.median)
    assert len(table.read_text().splitlines()) == 6
    with pytest.raises(UsageError, match="exists"):
        run(save=save)


def test_profile_names_operators():
    report, _ = run(profile=True, repeat=1, limit=2)

    shares = [one.share for one in report.profile]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
    assert any("aten" in one.operator or "mkldnn" in one.operator for one in report.profile)


@pytest.mark.parametrize("wrong", [{"bucket_rule": "magic"}, {"baseline": "magic"}])
def test_invalid_option_value_is_a_usage_error(wrong):
    with pytest.raises(UsageError, match="magic"):
        run(**wrong)


@pytest.mark.parametrize("family", ["whisper", "speech_to_text", "speech-encoder-decoder"])
def test_encoder_decoders_are_measured_too(tmp_path, family):
    folder = tmp_path / "model"
    if family == "whisper":
        save_tiny_whisper(folder)
    else:
        save_tiny_seq2seq(folder, family)

    data = (str(write_corpus(tmp_path / "corpus", utterances=3)),)

    report, _ = run(model=str(folder), data=data, limit=3, repeat=2, baseline="transformers")

    result = report.to_json()
    assert set(result) >= PROMISED_KEYS
    assert report.score.utterances == 3
    assert (report.failed, report.random_weights) == (0, False)
    assert report.engine == ("packed" if family == "whisper" else "transformers")
    tokens = result["generation"]["tokens"]
    assert tokens > 0
    assert result["generation"]["tokens_per_s"]["median"] == pytest.approx(
        tokens / result["wall_s"], rel=0.5
    )
    assert 0 < result["generation"]["first_token_ms"]["p50"] <= report.latency_ms.max
    assert result["phases_s"]["compute"] > 0
    assert result["phases_s"]["features"] > 0
    assert report.baseline.same_text == 3
    json.dumps(result)


def test_long_audio_of_a_whisper_is_measured_beside_the_pipeline(tmp_path):
    report, _ = run(
        model=str(save_tiny_whisper(tmp_path)), limit=2, repeat=1, baseline="transformers"
    )

    assert min(report.generation.first_token_ms.p50, report.generation.tokens) > 0
    assert report.generation.first_token_ms.max <= report.latency_ms.max
    assert report.baseline.utterances == 2


def test_a_ctc_model_generates_no_tokens():
    report, _ = run(repeat=1, limit=2)

    assert report.to_json()["generation"] is None


def test_int8_of_an_encoder_decoder_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="int8 is for CTC"):
        run(model=str(save_tiny_whisper(tmp_path)), int8=True)


@pytest.mark.parametrize(("batch_s", "latencies"), [(4.0, 1), (2.0, 2)])
def test_batch_seconds_set_the_batch_of_an_encoder_decoder(tmp_path, batch_s, latencies):
    """Utterances of one batch have the same latency: that of the batch."""
    manifest = write_corpus(tmp_path / "corpus", utterances=2)
    model = str(save_tiny_whisper(tmp_path / "model"))

    run(model=model, data=(str(manifest),), batch_s=batch_s, repeat=1, perf_csv=tmp_path / "p.csv")

    rows = [line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines()[1:]]
    assert len({row[2] for row in rows}) == latencies
