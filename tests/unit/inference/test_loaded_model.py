"""The Python API: `load_model` and `LoadedModel.transcribe`."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers.run import run_here
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper

import gaudi_asr_cli
from gaudi_asr_cli import AsrError, load_model, score
from gaudi_asr_cli.core.decoding.lm.arpa import write_arpa
from gaudi_asr_cli.core.decoding.lm.kneser_ney import estimate_kneser_ney

HEAVY = ("torch", "transformers", "numpy", "datasets", "jiwer", "pydantic", "rich", "typer")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {
        "ctc": str(save_tiny_model(tmp_path_factory.mktemp("ctc"))),
        "seq2seq": str(save_tiny_whisper(tmp_path_factory.mktemp("whisper"))),
    }


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder, noise = tmp_path_factory.mktemp("clips"), np.random.default_rng(5)
    rates = (16_000, 8_000, 44_100, 16_000, 16_000)
    for number, rate_hz in enumerate(rates):
        samples = 0.1 * noise.standard_normal(int((0.5 + 0.3 * number) * rate_hz))
        soundfile.write(folder / f"{number}.wav", samples, rate_hz)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("kind", ["ctc", "seq2seq"])
def test_texts_and_words_are_those_of_infer(folders, clips, kind):
    model = load_model(folders[kind], device="cpu", dtype="fp32", vad="off", temperatures=(0.0,))

    transcripts = model.transcribe(clips)

    done = run_here(
        "infer", *clips, "--model", folders[kind], "--json", "--device", "cpu", "--dtype", "fp32",
        "--vad", "off", "--temperature", 0,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one.text for one in transcripts] == [line["text"] for line in lines]
    assert any(one.text for one in transcripts)
    assert [[word.word for word in one.words] for one in transcripts] == [
        [word["word"] for word in line["words"]] for line in lines
    ]
    assert model.transcribe(clips[2]) == transcripts[2]


@pytest.mark.parametrize("kind", ["ctc", "seq2seq"])
def test_an_array_with_its_rate_gives_the_text_of_its_file(folders, clips, kind):
    model = load_model(folders[kind], device="cpu", dtype="fp32")
    samples, rate_hz = soundfile.read(clips[2], dtype="float32")

    transcript = model.transcribe(samples, rate_hz=rate_hz)

    assert transcript.text == model.transcribe(clips[2]).text
    assert [one.text for one in model.transcribe([samples] * 3, rate_hz=rate_hz)] == (
        [transcript.text] * 3
    )


def test_a_generator_is_read_and_an_empty_one_gives_nothing(folders, clips):
    model = load_model(folders["ctc"], device="cpu")

    assert len(model.transcribe(path for path in clips[:2])) == 2
    assert model.transcribe([]) == []


@pytest.mark.parametrize("kind", ["ctc", "seq2seq"])
def test_four_threads_on_one_model_give_the_same_texts(folders, clips, kind):
    model = load_model(folders[kind], device="cpu", dtype="fp32")
    expected = [model.transcribe(clip).text for clip in clips]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda clip: model.transcribe(clip).text, clips * 6))

    assert found == expected * 6


def test_options_of_a_call_replace_those_of_the_model_for_this_call(folders, clips):
    model = load_model(folders["seq2seq"], device="cpu", dtype="fp32", language="hi", vad="off")

    german = model.transcribe(clips[0], language="de", timestamps="none")

    assert (german.language, german.words, german.segments) == ("de", (), ())
    assert model.transcribe(clips[0]).language == "hi"


def test_a_beam_search_gives_the_texts_of_infer_by_either_way_of_giving_options(
    folders, clips, tmp_path
):
    lm = tmp_path / "letters.arpa"
    write_arpa(estimate_kneser_ney([list("abc"), list("bca")], 2).model, lm)
    search = {"beam_size": 5, "lm": lm, "lm_weight": 2.0, "hotwords": "ab,c", "n_best": 2}
    opened = load_model(folders["ctc"], device="cpu", dtype="fp32", **search)
    called = load_model(folders["ctc"], device="cpu", dtype="fp32")

    found = opened.transcribe(clips)

    infer = run_here(
        *["infer", *clips, "--model", folders["ctc"], "--dtype", "fp32", "--json"],
        *["--beam-size", 5, "--lm", lm, "--lm-weight", 2.0, "--hotwords", "ab,c", "--n-best", 2],
    )
    lines = [json.loads(line) for line in infer.stdout.splitlines()]
    assert [one.text for one in found] == [line["text"] for line in lines]
    assert [one.text for one in found] != [one.text for one in called.transcribe(clips)]
    assert all(len(one.n_best) == 2 for one in found)
    by_call = called.transcribe(clips, **{**search, "hotwords": ["ab", "c"], "lm": str(lm)})
    assert by_call == found


def test_segments_hold_the_text_of_the_words_and_lie_between_pauses(folders, clips):
    for kind in ("ctc", "seq2seq"):
        model = load_model(folders[kind], device="cpu", dtype="fp32", vad="off")
        transcript = model.transcribe(clips[-1])

        spoken = [word for one in transcript.segments for word in one.text.split()]
        assert spoken == [word.word for word in transcript.words]
        assert spoken
        assert all(one.start_s <= one.end_s for one in transcript.segments)


def test_audio_longer_than_a_chunk_is_transcribed_from_file_and_array(folders, tmp_path):
    samples = 0.1 * np.random.default_rng(1).standard_normal(40 * 16_000).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", samples, 16_000, subtype="FLOAT")
    model = load_model(folders["ctc"], device="cpu", dtype="fp32")

    assert model.transcribe(samples, rate_hz=16_000).text == (
        model.transcribe(tmp_path / "long.wav").text
    )


@pytest.mark.parametrize(
    ("audio", "more", "message"),
    [
        (np.zeros(16_000, np.float32), {}, "sample rate of the array is not known"),
        (np.zeros((16_000, 2), np.float32), {"rate_hz": 16_000}, "not mono"),
        (np.zeros(16_000, np.int16), {"rate_hz": 16_000}, "not mono"),
        (np.full(16_000, np.nan), {"rate_hz": 16_000}, "not finite"),
        (np.zeros(0, np.float32), {"rate_hz": 16_000}, "empty"),
        ("missing.wav", {}, "missing.wav"),
        ([np.zeros(1600, np.float32), "a.wav"], {"rate_hz": 16_000}, "type str among"),
        ([1.5], {}, "type float"),
        ("a.wav", {"max_tokens": 4}, "is a CTC model"),
        ("a.wav", {"languge": "de"}, "no option 'languge'. Did you mean language"),
        ("a.wav", {"timestamps": "phone"}, "no timestamps of kind"),
        ("a.wav", {"int8": True}, "'int8' is an option of load_model"),
        ("a.wav", {"beams": "two"}, "option beams is 'two', of type str"),
        ("a.wav", {"hotwords": 1}, "option hotwords is '1', of type int"),
        ("a.wav", {"n_best": 0}, "n_best is 0; it is at least 1"),
        ("a.wav", {"channel": "left"}, "channel is 'left'"),
        (np.zeros(1600, np.float32), {"rate_hz": 16}, "rate_hz is 16, not a sample rate"),
        (np.zeros(1600, np.float32), {"rate_hz": "16000"}, "not a sample rate"),
        (np.full(1600, 20_000.0), {"rate_hz": 16_000}, "far beyond 1"),
        (b"RIFF", {}, "type bytes"),
        (None, {}, "type NoneType"),
        ([None], {}, "type NoneType"),
        (torch.zeros(1600), {"rate_hz": 16_000}, "type Tensor"),
    ],
)
def test_a_mistake_is_an_error_with_a_remedy(folders, audio, more, message):
    model = load_model(folders["ctc"], device="cpu")

    with pytest.raises(AsrError, match=message) as caught:
        model.transcribe(audio, **more)

    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        (5, {}, "named by text"),
        ("demo", {"device": None}, "named by text"),
        ("demo", {"dtype": torch.float32}, "option dtype is 'torch.float32', of type dtype"),
        ("demo", {"batch_s": -1}, "batch_s is -1; it is at least"),
        ("demo", {"int8": "yes"}, "option int8 is 'yes', of type str"),
        ("demo", {"kind": "ctc"}, "no option 'kind'"),
        ("demo", {"temperatures": 0.2}, "option temperatures is '0.2', of type float"),
    ],
)
def test_a_mistake_in_loading_is_an_error_with_a_remedy(name, more, message):
    with pytest.raises(AsrError, match=message) as caught:
        load_model(name, **{"device": "cpu", **more})

    assert caught.value.remedy


def test_a_path_names_a_model_and_a_list_serves_as_a_tuple(folders, clips):
    model = load_model(Path(folders["seq2seq"]), device="cpu", temperatures=[0], vad="off")

    assert model.name == folders["seq2seq"]
    assert model.transcribe(clips[0], temperatures=(0.0,)) == model.transcribe(clips[0])


def test_loading_and_transcribing_leave_the_number_of_threads_alone(folders, clips, monkeypatch):
    # Other tests run commands, which configure this process.
    monkeypatch.setattr("gaudi_asr_cli.core.runtime._PROCESS.configured", False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        load_model(folders["ctc"], device="cpu").transcribe(clips)
        found = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)

    assert found == 3


def test_importing_the_package_or_score_loads_nothing_heavy():
    code = (
        "import sys, gaudi_asr_cli; before = [m for m in sys.argv[1:] if m in sys.modules];"
        "from gaudi_asr_cli import score, Transcript; "
        "after = [m for m in ('torch', 'transformers', 'datasets') if m in sys.modules];"
        "print(before, after)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True
    )

    assert done.stdout.split("\n")[0] == "[] []"


def test_each_public_name_is_there_and_no_other():
    assert all(getattr(gaudi_asr_cli, name) is not None for name in gaudi_asr_cli.__all__)
    assert {*gaudi_asr_cli.__all__} <= {*dir(gaudi_asr_cli)}
    with pytest.raises(AttributeError, match="load_modle"):
        _ = gaudi_asr_cli.load_modle


def test_scores_are_counted_over_all_pairs_after_normalising():
    found = score(["One two.", "three"], ["one too", "THREE"])

    assert (found.wer, found.raw_wer) == (1 / 3, 1.0)
    assert found.words.substitutions == 1
    assert score(["One"], ["one"], normalizer="none").wer == 1.0
    assert score(["Işık"], ["ışık"], language="tr").wer == 0.0


@pytest.mark.parametrize(
    ("references", "hypotheses", "more", "message"),
    [
        (["a"], [], {}, "1 references and 0 hypotheses"),
        ("a", "a", {}, "references are of type str"),
        (["a"], "a", {}, "hypotheses are of type str"),
        ({"a"}, {"a"}, {}, "references are of type set"),
        (None, ["a"], {}, "references are of type NoneType"),
        (["a", None], ["a", "b"], {}, "Number 1 of the references is of type NoneType"),
        (["a"], [b"a"], {}, "Number 0 of the hypotheses is of type bytes"),
        ([], [], {}, "no text to score"),
        (["a"], ["a"], {"normalizer": "magic"}, "no normaliser 'magic'"),
        (["a"], ["a"], {"language": 5}, "named by text"),
    ],
)
def test_what_is_no_list_of_texts_is_an_error(references, hypotheses, more, message):
    with pytest.raises(AsrError, match=message):
        score(references, hypotheses, **more)


def test_texts_to_score_may_come_from_generators():
    texts = ["one two", "three"]

    assert score((one for one in texts), iter(texts)) == score(texts, texts)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "/tmp/models/tiny.en"])
def test_real_clips_give_the_text_of_infer(name, shared_data):
    if name != "demo" and not Path(name).is_dir():
        pytest.skip(f"needs {name}")
    paths = sorted(
        path
        for path in (shared_data / "snippets").rglob("*")
        if path.suffix in {".aiff", ".flac", ".mp3", ".wav"}
    )

    done = run_here("infer", *paths, "--model", name, "--json", "--device", "cpu")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    good = [line for line in lines if line["error"] is None]
    transcripts = load_model(name, device="cpu").transcribe([line["path"] for line in good])
    assert len(good) > 10
    assert [one.text for one in transcripts] == [line["text"] for line in good]
