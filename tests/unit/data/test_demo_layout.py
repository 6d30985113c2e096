from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import wave
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gaudi_asr_cli.core.data.layouts import demo
from gaudi_asr_cli.core.data.layouts.demo import ensure_demo_set, find_cache_root, read_demo
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.synthesis import CONTENTS_NAME, DEMO_SPLITS
from gaudi_asr_cli.core.errors import AsrError, DataError, MachineError
from gaudi_asr_cli.core.events import StageAdvanced, StageFinished, StageStarted

pytest.importorskip("espeakng_loader", reason="the demo extra is not installed")

FEW = tuple(
    replace(split, utterances=number) for split, number in zip(DEMO_SPLITS, (60, 2, 3), strict=True)
)


@pytest.fixture(scope="module")
def small_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("cache")
    ensure_demo_set(root, splits=FEW)
    return root


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(demo, "ensure_demo_set", partial(ensure_demo_set, splits=FEW))


def partial_folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if ".partial-" in path.name]


def test_utterances_have_text_speaker_and_the_duration_of_their_file(few, small_root):
    utterances = list(read_demo(small_root, ReadOptions(split="test")))

    assert [one.id for one in utterances] == ["test-0000", "test-0001", "test-0002"]
    for one in utterances:
        with wave.open(str(one.audio.path)) as file:
            assert one.audio.duration_s == file.getnframes() / 16_000
        assert one.text
        assert one.speaker is not None
        assert one.speaker.startswith("en")


def test_several_splits_are_joined_in_order(few, small_root):
    utterances = list(read_demo(small_root, ReadOptions(split="test+dev")))

    assert [one.id[:4] for one in utterances] == ["test"] * 3 + ["dev-"] * 2


def test_no_two_splits_share_a_speaker(few, small_root):
    speakers = [
        {one.speaker.split("+")[1] for one in read_demo(small_root, ReadOptions(split=split))}
        for split in ("train", "dev", "test")
    ]

    assert sum(map(len, speakers)) == len(set.union(*speakers))


@pytest.mark.parametrize(("split", "word"), [(None, "several"), ("train+tset", "tset")])
def test_a_missing_split_is_an_error_before_anything_is_synthesised(split, word, tmp_path):
    with pytest.raises(DataError, match=word) as caught:
        read_demo(tmp_path, ReadOptions(split=split))

    assert "train, dev, test" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"GAUDI_ASR_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b"}, Path("/b/gaudi-asr")),
        ({"HOME": "/c"}, Path("/c/.cache/gaudi-asr")),
    ],
)
def test_the_cache_is_where_the_environment_says(environment, expected, monkeypatch):
    monkeypatch.delenv("GAUDI_ASR_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, folder in environment.items():
        monkeypatch.setenv(name, folder)

    assert find_cache_root() == expected


def test_without_a_path_the_set_is_in_the_cache(few, small_root, monkeypatch):
    monkeypatch.setenv("GAUDI_ASR_CACHE", str(small_root))

    spans = [next(read_demo(path, ReadOptions(split="dev"))).audio for path in ("", ".", "demo")]

    assert all(small_root in span.path.parents for span in spans)


def test_progress_is_reported_in_utterances(tmp_path):
    events = []

    ensure_demo_set(tmp_path, events.append, FEW)

    assert events[0] == StageStarted("synthesise", 65.0)
    assert StageAdvanced("synthesise", 50.0) in events
    assert isinstance(events[-1], StageFinished)


def test_a_complete_set_is_not_synthesised_again(small_root):
    events = []
    before = ensure_demo_set(small_root, splits=FEW)
    stamp = (before / CONTENTS_NAME).stat().st_mtime_ns

    after = ensure_demo_set(small_root, events.append, FEW)

    assert after == before
    assert (after / CONTENTS_NAME).stat().st_mtime_ns == stamp
    assert events == []


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_set_is_synthesised_again(damage, tmp_path):
    directory = ensure_demo_set(tmp_path, splits=FEW)
    wav = directory / "train" / "train-0003.wav"
    whole = wav.read_bytes()
    if damage == "missing":
        wav.unlink()
    else:
        wav.write_bytes(whole[:100])

    ensure_demo_set(tmp_path, splits=FEW)

    assert wav.read_bytes() == whole


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    program = (
        "from dataclasses import replace; from pathlib import Path\n"
        "from gaudi_asr_cli.core.data.layouts.demo import ensure_demo_set\n"
        "from gaudi_asr_cli.core.data.synthesis import DEMO_SPLITS\n"
        f"ensure_demo_set(Path({str(tmp_path)!r}), splits=[replace(DEMO_SPLITS[0], utterances=60),"
        " *(replace(s, utterances=n) for s, n in zip(DEMO_SPLITS[1:], (2, 3)))])\n"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        wait_until(lambda: any((one / "train").exists() for one in partial_folders(tmp_path)))
        process.send_signal(signal.SIGKILL)
    left = partial_folders(tmp_path)
    finished = [path for path in tmp_path.iterdir() if path.is_dir() and path not in left]

    directory = ensure_demo_set(tmp_path, splits=FEW)

    assert left
    assert finished == []
    assert partial_folders(tmp_path) == []
    assert len(list((directory / "train").iterdir())) == 60


def wait_until(happened) -> None:
    deadline_s = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_concurrent_runs_synthesise_it_once(tmp_path):
    events = []
    threads = [
        threading.Thread(target=ensure_demo_set, args=(tmp_path, events.append, FEW))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(isinstance(event, StageStarted) for event in events) == 1
    assert partial_folders(tmp_path) == []


def test_an_observer_that_fails_leaves_nothing_behind(tmp_path):
    def fail(event) -> None:
        if isinstance(event, StageAdvanced):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_demo_set(tmp_path, fail, FEW)

    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_nothing(tmp_path, monkeypatch):
    # A limit of 10 kB per file acts like a full disk.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(AsrError) as caught:
            ensure_demo_set(tmp_path, splits=FEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert "File too large" in caught.value.message
    assert "GAUDI_ASR_CACHE" in caught.value.remedy
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_cache_path_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "cache").write_text("not a folder")

    with pytest.raises(AsrError, match="could not be written"):
        ensure_demo_set(tmp_path / "cache", splits=FEW)


def test_an_error_of_the_synthesiser_keeps_its_class(tmp_path, monkeypatch):
    line = json.dumps({"error": "it does not start", "remedy": "reinstall it"})
    fake_program(tmp_path, monkeypatch, f"import sys; print({line!r}); sys.exit(5)")

    with pytest.raises(MachineError, match="it does not start") as caught:
        ensure_demo_set(tmp_path / "cache", splits=FEW)

    assert caught.value.remedy == "reinstall it"


def test_the_last_line_of_a_crashed_synthesiser_is_quoted(tmp_path, monkeypatch):
    fake_program(tmp_path, monkeypatch, "import os; print('half a word', flush=True); os.abort()")

    with pytest.raises(AsrError, match="status -6: half a word"):
        ensure_demo_set(tmp_path / "cache", splits=FEW)


def fake_program(directory: Path, monkeypatch, code: str) -> None:
    """Write an interpreter that runs `code` instead of its arguments."""
    script = directory / "python"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(0o755)
    monkeypatch.setattr(demo.sys, "executable", os.fspath(script))
