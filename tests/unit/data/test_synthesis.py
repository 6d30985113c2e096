from __future__ import annotations

import io
import json
import subprocess
import sys
import wave
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from gaudi_asr_cli.core.data import espeak, synthesis
from gaudi_asr_cli.core.data.synthesis import (
    ACCENTS,
    CONTENTS_NAME,
    DEMO_SPLITS,
    DEVELOPMENT_SPEAKERS,
    DIGITS,
    EVALUATION_SPEAKERS,
    MAX_DIGITS,
    TRAINING_SPEAKERS,
    hash_specification,
    plan_split,
    write_demo_set,
)
from gaudi_asr_cli.core.errors import AsrError, MachineError

pytest.importorskip("espeakng_loader", reason="the demo extra is not installed")

FEW = ("train=6", "dev=2", "test=3")


def synthesise(directory: Path, *sizes: str) -> subprocess.CompletedProcess[str]:
    directory.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "gaudi_asr_cli.core.data.synthesis", str(directory), *sizes]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("demo")
    synthesise(directory, *FEW)
    return directory


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32768


@pytest.mark.parametrize("what", ["variants", "pitches", "rates_wpm"])
def test_training_development_and_evaluation_share_no_voice_pitch_or_rate(what):
    pools = [
        set(getattr(speakers, what))
        for speakers in (TRAINING_SPEAKERS, DEVELOPMENT_SPEAKERS, EVALUATION_SPEAKERS)
    ]

    assert all(pools)
    assert all(one.isdisjoint(other) for one, other in combinations(pools, 2))


def test_each_split_has_its_own_speakers():
    spoken_by = {split.name: split.speakers for split in DEMO_SPLITS}

    assert spoken_by == {
        "train": TRAINING_SPEAKERS,
        "dev": DEVELOPMENT_SPEAKERS,
        "test": EVALUATION_SPEAKERS,
    }


def test_a_plan_draws_only_from_the_speakers_of_its_split():
    planned = list(plan_split(DEMO_SPLITS[2], 2))

    assert {one.voice.split("+")[1] for one in planned} == set(EVALUATION_SPEAKERS.variants)
    assert {one.voice.split("+")[0] for one in planned} == set(ACCENTS)
    assert {one.pitch for one in planned} == set(EVALUATION_SPEAKERS.pitches)
    assert {one.rate_wpm for one in planned} == set(EVALUATION_SPEAKERS.rates_wpm)


def test_numbers_have_one_to_seven_digits_in_lower_case():
    texts = [one.text.split() for one in plan_split(DEMO_SPLITS[0], 0)]

    assert {len(words) for words in texts} == set(range(1, MAX_DIGITS + 1))
    assert {word for words in texts for word in words} == set(DIGITS)


def test_an_utterance_is_planned_alike_whatever_the_size_of_its_split():
    whole = list(plan_split(DEMO_SPLITS[0], 0))

    assert list(plan_split(replace(DEMO_SPLITS[0], utterances=5), 0)) == whole[:5]


def test_splits_have_different_texts():
    train, test = (
        [one.text for one in plan_split(replace(split, utterances=20), number)]
        for number, split in ((0, DEMO_SPLITS[0]), (2, DEMO_SPLITS[2]))
    )

    assert train != test


def test_two_fresh_processes_write_the_same_bytes(written, tmp_path):
    synthesise(tmp_path / "again", *FEW)

    first = {p.relative_to(written): p.read_bytes() for p in written.rglob("*.*")}
    second = {
        p.relative_to(tmp_path / "again"): p.read_bytes() for p in (tmp_path / "again").rglob("*.*")
    }
    assert len(first) == 6 + 2 + 3 + 3 + 1
    assert first == second


def test_breathy_voices_are_seeded_too(tmp_path):
    # Their noise was seeded from the clock: f2 and Alicia differed in every process.
    code = (
        "import hashlib; from gaudi_asr_cli.core.data.espeak import open_espeak\n"
        "with open_espeak() as espeak:\n"
        "    for voice in ('en+f2', 'en+Alicia'):\n"
        "        samples = espeak.synthesise('one two', voice=voice, rate_wpm=150, pitch=50)\n"
        "        print(hashlib.sha256(samples.tobytes()).hexdigest())\n"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(2)
    }

    assert len(runs) == 1


def test_manifests_name_files_with_their_durations_texts_and_voices(written):
    lines = [json.loads(line) for line in (written / "train.jsonl").read_text().splitlines()]
    planned = list(plan_split(replace(DEMO_SPLITS[0], utterances=6), 0))

    assert [line["text"] for line in lines] == [one.text for one in planned]
    assert [line["speaker"] for line in lines] == [one.voice for one in planned]
    for line in lines:
        samples = read_wav(written / line["audio_filepath"])
        assert line["duration"] == len(samples) / 16_000
        assert 0.3 < line["duration"] < 8


def test_samples_are_speech_over_a_low_noise_floor(written):
    for path in written.rglob("*.wav"):
        samples = read_wav(path)
        edge = samples[:600]

        assert 0.1 < np.abs(samples).max() < 1
        assert -63 < 20 * np.log10(np.sqrt(np.mean(edge**2))) < -57
        assert np.count_nonzero(samples) > 0.98 * len(samples)


def test_contents_list_every_file_with_its_size(written):
    sizes = json.loads((written / CONTENTS_NAME).read_text())["sizes"]

    there = {p.relative_to(written).as_posix(): p.stat().st_size for p in written.rglob("*.*")}
    del there[CONTENTS_NAME]
    assert sizes == there


def test_another_size_is_another_specification():
    smaller = [replace(split, utterances=1) for split in DEMO_SPLITS]

    assert hash_specification(smaller) != hash_specification()


def test_longer_numbers_have_longer_audio():
    with espeak.open_espeak() as opened:
        short, long = (
            opened.synthesise(text, voice="en+m3", rate_wpm=150, pitch=50)
            for text in ("one", "one two three four")
        )

    assert len(long) > 2 * len(short)


def test_rate_and_pitch_reach_the_synthesiser():
    with espeak.open_espeak() as opened:
        slow = opened.synthesise("one two three four", voice="en+m3", rate_wpm=100, pitch=20)
        fast = opened.synthesise("one two three four", voice="en+m3", rate_wpm=200, pitch=20)
        high = opened.synthesise("one two three four", voice="en+m3", rate_wpm=100, pitch=90)

    assert len(fast) < 0.7 * len(slow)
    assert find_pitch_hz(high) > 1.3 * find_pitch_hz(slow)


def find_pitch_hz(samples: np.ndarray) -> float:
    """Return the strongest pitch between 60 and 400 Hz of the middle 0.4 s."""
    middle = samples[len(samples) // 4 :][:8820]
    correlation = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    shortest, longest = espeak.ESPEAK_RATE_HZ // 400, espeak.ESPEAK_RATE_HZ // 60
    return espeak.ESPEAK_RATE_HZ / (shortest + int(correlation[shortest:longest].argmax()))


@pytest.mark.parametrize("voice", ["xx", "en-gb+m3", "en+nobody"])
def test_a_voice_that_does_not_exist_is_rejected(voice):
    with (
        espeak.open_espeak() as opened,
        pytest.raises(AsrError, match=voice.replace("+", r"\+")),
    ):
        opened.synthesise("one", voice=voice, rate_wpm=150, pitch=50)


def test_every_voice_of_the_specification_exists():
    speakers = (TRAINING_SPEAKERS, DEVELOPMENT_SPEAKERS, EVALUATION_SPEAKERS)
    voices = [f"{accent}+{v}" for one in speakers for v in one.variants for accent in ACCENTS]

    with espeak.open_espeak() as opened:
        lengths = [len(opened.synthesise("one", voice=v, rate_wpm=180, pitch=50)) for v in voices]

    assert min(lengths) > 3000


def test_espeak_data_under_a_long_path_is_reached_through_a_link(tmp_path, monkeypatch):
    import espeakng_loader

    # espeak-ng cuts the path of its data at 160 bytes; a deep virtual environment is longer.
    deep = tmp_path / ("x" * 120) / ("y" * 60)
    deep.mkdir(parents=True)
    data = deep / "espeak-ng-data"
    data.symlink_to(espeakng_loader.get_data_path())
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(data))

    with espeak.open_espeak() as opened:
        samples = opened.synthesise("one", voice="en+m3", rate_wpm=150, pitch=50)

    assert len(samples) > 3000


def test_without_the_extra_the_install_command_is_the_remedy(monkeypatch):
    def missing(name: str) -> str:
        raise espeak.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(espeak.importlib.metadata, "version", missing)

    with pytest.raises(MachineError) as caught:
        hash_specification()

    assert "pip install 'gaudi-asr[demo]'" in caught.value.remedy


def test_a_synthesiser_that_does_not_start_is_a_machine_error(monkeypatch, tmp_path):
    import espeakng_loader

    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "none.so"))

    with pytest.raises(MachineError, match="does not start"), espeak.open_espeak():
        pass


def test_the_program_prints_its_progress_and_nothing_else(monkeypatch, tmp_path):
    reported: list[int] = []
    monkeypatch.setattr(synthesis, "PROGRESS_EVERY", 2)
    splits = [replace(DEMO_SPLITS[0], utterances=5)]

    write_demo_set(tmp_path, reported.append, splits)

    assert reported == [2, 4]


def test_the_program_prints_an_error_as_one_object(monkeypatch, tmp_path):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    failure = MachineError("no synthesiser", remedy="install it")

    def fail() -> None:
        raise failure

    monkeypatch.setattr(synthesis, "open_espeak", fail)
    status = synthesis.run_child([str(tmp_path), "train=1"])

    assert status == 5
    assert json.loads(out.getvalue()) == {"error": "no synthesiser", "remedy": "install it"}
