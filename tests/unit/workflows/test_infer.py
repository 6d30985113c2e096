import io
from dataclasses import fields

import numpy as np
import pytest
import soundfile
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import Noticed, StageFinished, StageStarted, UtteranceDone
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.workflows.infer import InferRequest, infer


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def audio(tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal((16_000, 2))
    soundfile.write(tmp_path / "a.wav", noise, 16_000)
    soundfile.write(tmp_path / "c.flac", noise[:8000], 8_000)
    (tmp_path / "b.wav").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no audio")
    return tmp_path


def transcribe_clips(*sources, **arguments):
    events = []
    given = {one.name for one in fields(InferenceOptions)}
    options = {name: arguments.pop(name) for name in {*arguments} & given}
    request = InferRequest(
        tuple(map(str, sources)), options=InferenceOptions(**options), **arguments
    )
    report = infer(request, open_device("cpu"), events.append)
    return report, [one for one in events if isinstance(one, UtteranceDone)], events


def test_one_bad_file_among_many_costs_only_itself(model, audio):
    report, done, _ = transcribe_clips(audio, model=model)

    assert [one.path for one in done] == [str(audio / n) for n in ("a.wav", "b.wav", "c.flac")]
    assert [one.error is None for one in done] == [True, False, True]
    assert "empty" in done[1].error
    assert (report.files, report.failed, report.skipped) == (3, 1, 1)
    assert report.audio_s == pytest.approx(2.0)
    assert report.exit_code == 4


def test_events_come_in_order(model, audio):
    _, _, events = transcribe_clips(audio, model=model)

    kinds = [type(event) for event in events]
    assert kinds == [Noticed, StageStarted, *[UtteranceDone] * 3, StageFinished]
    assert "1 files" in events[0].message
    assert events[1].total == 3


def test_without_failures_the_exit_code_is_0_and_the_report_complete(model, audio):
    report, _, _ = transcribe_clips(audio / "a.wav", model=model, dtype="fp32")

    account = report.to_json()
    assert report.exit_code == 0
    assert (account["schema"], account["passed_over"]) == ("infer/1", 0)
    assert "skipped" not in account
    assert (account["device"], account["dtype"]) == ("cpu", "fp32")
    assert account["rtfx"] == pytest.approx(report.audio_s / report.wall_s)


def test_standard_input_is_named_by_its_dash(model, audio):
    stdin = io.BytesIO((audio / "a.wav").read_bytes())

    _, from_stdin, _ = transcribe_clips("-", model=model, stdin=stdin)
    _, from_file, _ = transcribe_clips(audio / "a.wav", model=model)

    assert from_stdin[0].path == "-"
    assert from_stdin[0].transcript.text == from_file[0].transcript.text


def test_a_channel_can_be_selected(model, audio):
    mixed, left = (
        transcribe_clips(audio / "a.wav", model=model, channel=channel)[1][0].transcript
        for channel in (None, 0)
    )

    assert mixed.text != left.text


def test_word_times_can_be_left_out(model, audio):
    _, with_times, _ = transcribe_clips(audio / "a.wav", model=model)
    _, without, _ = transcribe_clips(audio / "a.wav", model=model, timestamps="none")

    assert with_times[0].transcript.words
    assert without[0].transcript.words == ()
    assert without[0].transcript.text == with_times[0].transcript.text


def test_a_folder_without_audio_is_an_error_before_the_model_is_opened(tmp_path):
    with pytest.raises(DataError, match="no audio file"):
        transcribe_clips(tmp_path, model="no/such-model")


@pytest.mark.parametrize("wrong", [{"timestamps": "phone"}, {"decoder": "magic"}])
def test_an_invalid_choice_is_a_usage_error(audio, model, wrong):
    with pytest.raises(UsageError):
        transcribe_clips(audio, model=model, **wrong)
