from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import StageAdvanced, StageStarted
from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary, write_tokenizer_files
from gaudi_asr_cli.core.workflows.check.run import CheckFinding, CheckReport, CheckRequest, check


def noise(seconds: float, seed: int, level: float = 0.1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (level * random.standard_normal(round(seconds * 16_000))).astype(np.float32)


class Corpus:
    """A manifest that grows line by line."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.manifest = folder / f"{name}.jsonl"
        self.name = name
        self.lines = 0

    def add(self, text: str, samples: np.ndarray | None = None, **fields: object) -> Corpus:
        self.lines += 1
        path = self.folder / f"{self.name}-{self.lines}.wav"
        sound = noise(2.0, self.lines + 1000 * len(self.name)) if samples is None else samples
        soundfile.write(path, sound, 16_000, subtype="PCM_16")
        return self.add_line(audio_filepath=path.name, text=text, **fields)

    def add_line(self, **fields: object) -> Corpus:
        with self.manifest.open("a") as file:
            file.write(json.dumps(fields) + "\n")
        return self

    @property
    def source(self) -> tuple[str, ...]:
        return (str(self.manifest),)


@pytest.fixture
def train(tmp_path) -> Corpus:
    return Corpus(tmp_path / "data", "train")


@pytest.fixture
def evaluation(tmp_path) -> Corpus:
    return Corpus(tmp_path / "data", "test")


def find(report: CheckReport, kind: str) -> CheckFinding:
    return next(finding for finding in report.findings if finding.kind == kind)


def write_vocabulary(folder: Path, characters: str) -> Path:
    write_tokenizer_files(build_vocabulary(dict.fromkeys(characters, 1)), folder)
    return folder


def test_flawless_data_has_no_findings(train, evaluation):
    train.add("one two", speaker="anna").add("two", speaker="ben")
    evaluation.add("three", speaker="carl")

    report = check(CheckRequest(train.source, evaluation.source))

    assert {finding.severity for finding in report.findings} == {"fine"}
    assert {finding.count for finding in report.findings} == {0}
    assert (report.stops, report.exit_code) == (False, 0)
    assert (report.utterances, report.evaluation_utterances, report.inspected) == (2, 1, 3)
    assert report.audio_s == pytest.approx(6.0)


def test_text_longer_than_its_frames_is_named_with_both_numbers(train):
    train.add("one").add("two").add("three")
    train.add("seventeen letters", noise(0.3, 9))

    finding = find(check(CheckRequest(train.source)), "unalignable")

    # 4800 samples give 14 frames of wav2vec 2.0; 17 labels and one repeated letter need 19.
    assert (finding.severity, finding.count, finding.of) == ("warns", 1, 4)
    assert finding.examples == ("train-4: 14 frames, 19 needed",)


def test_a_repeated_letter_needs_a_blank_frame(train):
    train.add("one").add("two").add("abcdefghijklmn", noise(0.3, 9))
    fits = find(check(CheckRequest(train.source)), "unalignable")
    train.add("aabcdefghijklm", noise(0.3, 10))

    finding = find(check(CheckRequest(train.source)), "unalignable")

    assert fits.count == 0
    assert finding.examples == ("train-4: 14 frames, 15 needed",)


def test_mostly_unalignable_text_stops_training(train):
    train.add("one").add("a long text", noise(0.1, 1)).add("a long text", noise(0.1, 2))

    report = check(CheckRequest(train.source))

    assert find(report, "unalignable").severity == "stops"
    assert report.exit_code == 4


def test_evaluation_may_contain_examples_that_training_skips(train, evaluation):
    train.add("one")
    evaluation.add("a very long text for so little", noise(0.1, 1))

    assert find(check(CheckRequest(train.source, evaluation.source)), "unalignable").count == 0


def test_a_model_with_longer_frames_fits_less(train, tmp_path):
    model = tmp_path / "model"
    write_vocabulary(model, "abcdefghijklmn")
    config = {"model_type": "wav2vec2", "conv_kernel": [640], "conv_stride": [640]}
    (model / "config.json").write_text(json.dumps(config))
    (model / "model.safetensors").write_bytes(b"")
    train.add("a").add("b").add("abcdefghijklmn", noise(0.3, 9))

    report = check(CheckRequest(train.source, model=str(model)))

    assert find(report, "unalignable").examples == ("train-3: 7 frames, 14 needed",)
    assert report.model == str(model)


def test_a_few_unknown_characters_warn_with_counts_and_where(train, tmp_path):
    folder = write_vocabulary(tmp_path / "vocab", "enotwhr")
    train.add("one two three " * 6).add("one né two ñ né")

    finding = find(check(CheckRequest(train.source, vocabulary=folder)), "unknown_characters")

    assert (finding.severity, finding.count, finding.of) == ("warns", 3, 77)
    assert finding.unit == "characters"
    assert finding.examples == ("'é' 2 times, first in train-2", "'ñ' 1 times, first in train-2")
    assert "--vocab data" in finding.remedy
    assert "--strip-chars" not in finding.remedy


def test_text_in_the_other_case_stops_training_and_names_the_fold(train, tmp_path):
    folder = write_vocabulary(tmp_path / "vocab", "ENOTWHR")
    train.add("one two three")

    report = check(CheckRequest(train.source, vocabulary=folder))

    assert find(report, "unknown_characters").severity == "stops"
    assert "--case upper" in find(report, "unknown_characters").remedy
    assert report.exit_code == 4


def test_the_text_is_checked_after_the_rules(train, tmp_path):
    folder = write_vocabulary(tmp_path / "vocab", "ENOTWHR")
    train.add("one, two; three")
    rules = TextRules(strip_chars=",;", case="upper")

    report = check(CheckRequest(train.source, vocabulary=folder, rules=rules))

    assert find(report, "unknown_characters").count == 0


def test_without_an_unknown_token_one_unknown_character_stops_training(train, tmp_path):
    known = build_vocabulary(dict.fromkeys("enotwhr", 1))
    letters = tuple(token for token in known.tokens if token not in {"[UNK]", "[PAD]"})
    without = Vocabulary((*letters, "[PAD]"), blank=len(letters), delimiter=0)
    write_tokenizer_files(without, tmp_path / "vocab")
    train.add("one two three " * 5 + "é")

    report = check(CheckRequest(train.source, vocabulary=tmp_path / "vocab"))

    assert find(report, "unknown_characters").severity == "stops"


def test_without_a_vocabulary_no_character_is_unknown(train):
    train.add("ça va")

    kinds = [finding.kind for finding in check(CheckRequest(train.source)).findings]

    assert "unknown_characters" not in kinds


def test_empty_text_warns_and_mostly_empty_text_stops(train):
    train.add("one").add("two").add("?!")
    few = find(check(CheckRequest(train.source, rules=TextRules("?!"))), "empty_text")
    train.add(" ").add("").add("!")

    many = find(check(CheckRequest(train.source, rules=TextRules("?!"))), "empty_text")

    assert (few.severity, few.examples) == ("warns", ("train-3",))
    assert (many.severity, many.count) == ("stops", 4)


def test_a_missing_file_stops_training_and_is_named(train):
    train.add("one").add_line(audio_filepath="gone.wav", text="two")

    report = check(CheckRequest(train.source))

    finding = find(report, "unreadable")
    assert (finding.severity, finding.count, finding.of) == ("stops", 1, 2)
    assert "gone.wav" in finding.examples[0]
    assert report.exit_code == 4


def test_a_file_with_only_a_valid_header_is_found_by_decoding(train):
    train.add("one")
    (train.folder / "letter.wav").write_text("Dear Sir")
    train.add_line(audio_filepath="letter.wav", text="two", duration=1.0)

    finding = find(check(CheckRequest(train.source)), "unreadable")

    assert finding.count == 1
    assert "letter.wav" in finding.examples[0]


@pytest.mark.parametrize(
    ("kind", "samples"),
    [
        ("silent", np.zeros(32_000, np.float32)),
        ("clipped", np.clip(noise(2.0, 5, level=0.8), -1, 1)),
        ("upsampled", soxr.resample(noise(1.0, 5), 8_000, 16_000)),
        ("too_short", noise(0.05, 5)),
        ("too_long", noise(31.0, 5)),
    ],
)
def test_flawed_audio_warns_of_that_flaw_only(kind, samples, train):
    train.add("one").add("i", samples)

    report = check(CheckRequest(train.source))

    flaws = {finding.kind: finding for finding in report.findings if finding.count}
    assert list(flaws) == [kind]
    assert (flaws[kind].severity, flaws[kind].count) == ("warns", 1)
    assert flaws[kind].examples[0].startswith("train-2")
    assert flaws[kind].remedy
    assert not report.stops


def test_files_below_16_khz_are_a_notice(train):
    path = train.folder / "phone.wav"
    soundfile.write(path, noise(1.0, 1), 8_000, subtype="PCM_16")
    train.add_line(audio_filepath=path.name, text="one")

    report = check(CheckRequest(train.source))

    assert (find(report, "low_rate").count, find(report, "low_rate").severity) == (1, "fine")
    assert find(report, "upsampled").count == 0


def test_audio_is_decoded_for_a_sample_that_the_report_counts(train):
    for _ in range(9):
        train.add("one")

    events = []
    report = check(CheckRequest(train.source, sample=4), events.append)

    assert report.inspected == 4
    assert find(report, "silent").of == 4
    assert find(report, "empty_text").of == 9
    assert StageStarted("inspect", 4.0) in events
    assert StageAdvanced("inspect", 4.0) in events


def test_a_recording_in_both_splits_is_found(train, evaluation):
    samples = noise(1.0, 77)
    train.add("one", samples).add("two")
    evaluation.add("one", samples).add("two")

    finding = find(check(CheckRequest(train.source, evaluation.source)), "shared_audio")

    assert (finding.severity, finding.count, finding.of) == ("warns", 1, 2)
    assert finding.examples[0].startswith("test-1 is train-1")


def test_speakers_of_both_splits_are_a_notice(train, evaluation):
    train.add("one", speaker="anna").add("two", speaker="ben")
    evaluation.add("one", speaker="ben").add("two", speaker="carl").add("two")

    finding = find(check(CheckRequest(train.source, evaluation.source)), "shared_speakers")

    assert (finding.severity, finding.count, finding.of) == ("fine", 1, 3)
    assert finding.examples == ("test-1: ben",)


def test_the_same_ids_in_both_splits_warn(train):
    train.add("one").add("two")

    report = check(CheckRequest(train.source, train.source))

    assert find(report, "shared_ids").count == 2
    assert find(report, "shared_audio").count == 2


def test_examples_are_limited_and_the_count_is_complete(train):
    for _ in range(8):
        train.add("")

    finding = find(check(CheckRequest(train.source)), "empty_text")

    assert (finding.count, len(finding.examples)) == (8, 5)


def test_the_report_is_json_with_its_schema(train):
    train.add("one")

    account = json.loads(json.dumps(check(CheckRequest(train.source)).to_json()))

    assert account["schema"] == "check/1"
    assert account["stops"] is False
    assert account["hours"] == pytest.approx(2 / 3600)
    assert account["findings"][0] == {
        "kind": "unreadable",
        "severity": "fine",
        "count": 0,
        "of": 1,
        "unit": "utterances",
        "examples": [],
        "remedy": "",
    }


def test_a_missing_source_is_an_error_not_a_finding(tmp_path):
    with pytest.raises(DataError, match="nothing-here"):
        check(CheckRequest((str(tmp_path / "nothing-here.jsonl"),)))
