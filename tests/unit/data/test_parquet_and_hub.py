from __future__ import annotations

import io
import json
import socket
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.layouts.hub import explain_hub_error, is_reachable, read_hub
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.errors import DataError, UnreachableError

FEATURES = {
    "audio": {"sampling_rate": 16_000, "_type": "Audio"},
    "text": {"dtype": "string", "_type": "Value"},
    "speaker_id": {"dtype": "int64", "_type": "Value"},
}


def encode(frames: int) -> bytes:
    encoded = io.BytesIO()
    soundfile.write(encoded, np.full(frames, 0.25), 16_000, format="FLAC")
    return encoded.getvalue()


def write_shard(path: Path, first: int, count: int) -> None:
    """Write Parquet as on the hub: audio as {bytes, path}, features in the metadata."""
    numbers = range(first, first + count)
    table = pa.table(
        {
            "audio": [{"bytes": encode(1_600 + n), "path": f"61-{n:04d}.flac"} for n in numbers],
            "text": [f"WORDS {n}" for n in numbers],
            "speaker_id": [61] * count,
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=3)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    write_shard(root / "data/train-00000-of-00002.parquet", 0, 5)
    write_shard(root / "data/train-00001-of-00002.parquet", 5, 4)
    write_shard(root / "data/test-00000-of-00001.parquet", 100, 3)
    return root


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    datasets = pytest.importorskip("datasets")
    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    return cache


def test_rows_of_a_split_are_utterances_whose_bytes_are_read_when_loaded(repository):
    utterances = list(read_utterances(f"{repository}#train"))

    assert [u.id for u in utterances] == [f"61-{n:04d}" for n in range(9)]
    assert (utterances[6].text, utterances[6].speaker) == ("WORDS 6", "61")
    assert utterances[6].audio.row == 1
    assert [len(load_audio(u.audio).samples) for u in utterances] == [1_600 + n for n in range(9)]


def test_a_folder_of_parquet_lists_its_splits(repository):
    with pytest.raises(DataError, match="several splits") as caught:
        list(read_utterances(str(repository)))

    assert "test, train" in caught.value.remedy


def test_one_split_in_two_configurations_asks_for_one(tmp_path):
    write_shard(tmp_path / "clean/test-00000-of-00001.parquet", 0, 1)
    write_shard(tmp_path / "other/test-00000-of-00001.parquet", 1, 1)

    with pytest.raises(DataError, match="clean, other"):
        list(read_utterances(f"{tmp_path}#test"))

    assert [u.id for u in read_utterances(str(tmp_path), ReadOptions(config="other"))] == [
        "61-0001"
    ]


def test_paths_and_bare_bytes_are_audio_too(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 16_000)
    pq.write_table(pa.table({"file": ["a.wav"], "text": ["a"]}), tmp_path / "paths.parquet")
    pq.write_table(pa.table({"audio": [encode(900)], "text": ["b"]}), tmp_path / "bytes.parquet")

    (by_path,) = read_utterances(str(tmp_path / "paths.parquet"))
    (by_bytes,) = read_utterances(str(tmp_path / "bytes.parquet"))

    assert (by_path.id, len(load_audio(by_path.audio).samples)) == ("a", 800)
    assert (by_bytes.id, len(load_audio(by_bytes.audio).samples)) == ("bytes-000000", 900)


def test_a_missing_column_lists_the_others(tmp_path):
    pq.write_table(pa.table({"sound": ["a.wav"], "text": ["a"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"audio": ["a.wav"], "words": ["a"]}), tmp_path / "b.parquet")

    with pytest.raises(DataError, match="no audio column; the columns are sound, text"):
        list(read_utterances(str(tmp_path / "a.parquet")))
    with pytest.raises(DataError, match="no column of text; the columns are audio, words"):
        list(read_utterances(str(tmp_path / "b.parquet")))


def test_a_damaged_parquet_file_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and then nothing of use")

    with pytest.raises(DataError, match=r"a\.parquet"):
        list(read_utterances(str(path)))


def test_the_hub_path_reads_rows_of_the_arrow_cache(repository, hub_cache):
    utterances = list(read_hub(repository, ReadOptions(split="train")))

    assert [u.id for u in utterances] == [f"61-{n:04d}" for n in range(9)]
    assert utterances[0].audio.path.suffix == ".arrow"
    assert utterances[0].audio.path.is_relative_to(hub_cache)
    assert [len(load_audio(u.audio).samples) for u in utterances] == [1_600 + n for n in range(9)]


def test_the_hub_path_lists_splits_and_configurations(repository, hub_cache):
    with pytest.raises(DataError, match="several splits"):
        list(read_hub(repository, ReadOptions()))
    with pytest.raises(DataError, match="'clean' not found"):
        list(read_hub(repository, ReadOptions(split="train", config="clean")))


def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaudi_asr_cli.core.data.layouts.hub.is_reachable", lambda endpoint: False)


def test_without_network_the_error_names_the_cache_at_once(hub_cache, monkeypatch):
    cut_off(monkeypatch)
    started_s = time.monotonic()

    with pytest.raises(UnreachableError) as caught:
        list(read_utterances("openslr/librispeech_asr#test"))

    assert time.monotonic() - started_s < 10
    assert "openslr/librispeech_asr" in caught.value.message
    assert str(hub_cache) in caught.value.message
    assert "hf download" in caught.value.remedy


def test_whether_the_hubis_reachable_is_known_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            pytest.skip("this machine's own loopback is cut off as well")
        inference_mode = is_reachable(f"http://127.0.0.1:{port}")

    assert inference_mode
    assert not is_reachable(f"http://127.0.0.1:{port}")
    assert not is_reachable("https://no-such-host.invalid")


def test_without_network_a_dataset_in_the_cache_is_read(repository, hub_cache, monkeypatch):
    list(read_hub(repository, ReadOptions(split="test")))
    made = next(hub_cache.rglob("dataset_info.json")).parent
    place = hub_cache / "acme___speech" / "default" / "0.0.0" / ("0123456789" * 4)
    place.parent.mkdir(parents=True)
    made.rename(place)
    for file in place.glob("repository-*.arrow"):
        file.rename(place / file.name.replace("repository", "speech"))
    cut_off(monkeypatch)

    utterances = list(read_utterances("acme/speech#test"))

    assert [u.id for u in utterances] == ["61-0100", "61-0101", "61-0102"]


@pytest.mark.parametrize(
    ("error", "kind", "expected"),
    [
        (ConnectionError("Couldn't reach 'a/b' on the Hub"), UnreachableError, "/the/cache"),
        (ValueError("Couldn't find cache for a/b"), UnreachableError, "/the/cache"),
        (RuntimeError("Dataset scripts are no longer supported"), DataError, "no remote code"),
        (OSError("403 Client Error"), UnreachableError, "terms"),
        (OSError("Dataset 'a/b' is a gated dataset on the Hub"), UnreachableError, "hf auth login"),
        (ValueError("Config name is missing."), DataError, "--config"),
    ],
)
def test_errors_of_the_hub_become_errors_with_a_remedy(error, kind, expected):
    failure = explain_hub_error(error, "a/b", "/the/cache")

    assert type(failure) is kind
    assert expected in f"{failure.message} {failure.remedy}"
    assert "a/b" in failure.message
