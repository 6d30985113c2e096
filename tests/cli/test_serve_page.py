"""The page of `serve` in a headless Chromium: files, words, downloads, recordings and keys."""

import re

import pytest
from helpers.chromium import find_chromium, opened_chromium
from helpers.served import running_server
from helpers.spoken import NUMBERS, speak_numbers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine"),
]
KEY = "open sesame"


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    return speak_numbers(tmp_path_factory.mktemp("spoken") / "numbers.wav")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server"), "--model", "demo") as server:
        yield server.url


@pytest.fixture
def tab(url, tmp_path):
    with opened_chromium(tmp_path) as tab:
        tab.show()
        tab.open(url)
        tab.wait_for("!document.getElementById('choose').disabled")
        yield tab


def transcribe(tab, file):
    tab.set_files("#file", file)
    tab.wait_for("!document.getElementById('downloads').hidden")


def text_of(tab, selector):
    return tab.run(f"document.querySelector('{selector}').textContent")


def test_a_file_becomes_segments_whose_words_play(tab, numbers):
    transcribe(tab, numbers)
    words = tab.run("[...document.querySelectorAll('.word')].map((one) => one.textContent)")
    tab.click(".word:nth-of-type(3)")
    start_s = float(tab.run("document.querySelectorAll('.word')[2].dataset.start"))
    tab.wait_for(f"audio.currentTime >= {start_s} && !audio.paused")

    assert len(words) >= 5
    assert words[:2] == NUMBERS[0].split()[:2]
    assert "of audio in" in text_of(tab, "#status")
    assert 1 < start_s < tab.run("audio.currentTime") + 0.01


def test_nothing_leaves_for_another_server_and_nothing_fails(tab, url, numbers):
    transcribe(tab, numbers)

    foreign = [one for one in tab.requests if not re.match(rf"data:|(blob:)?{url}/", one)]
    assert foreign == []
    assert any(one.endswith("/v1/audio/transcriptions") for one in tab.requests)
    assert tab.messages == []


def test_the_keyboard_reaches_words_and_plays_them(tab, numbers):
    transcribe(tab, numbers)
    tab.run("document.querySelector('.word').focus()")
    tab.press("ArrowRight")
    tab.press("ArrowRight")
    tab.press("Enter")

    focused = "document.activeElement === document.querySelectorAll('.word')[2]"
    assert tab.run(focused)
    assert tab.run("audio.currentTime >= Number(document.activeElement.dataset.start)")
    assert tab.run("document.querySelectorAll('.word[tabindex=\"0\"]').length") == 1


def test_the_transcript_is_downloaded_in_three_formats(tab, numbers, tmp_path):
    transcribe(tab, numbers)
    for name in ("txt", "srt", "vtt"):
        tab.click(f"[data-format={name}]")
        file = tmp_path / f"numbers.{name}"
        tab.wait_for("true")
        until = 100
        while not file.is_file() and until:
            tab.run("new Promise((done) => setTimeout(done, 50))")
            until -= 1

    assert (tmp_path / "numbers.txt").read_text().startswith("four seven")
    srt = (tmp_path / "numbers.srt").read_text()
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:0\d,\d{3}\nfour seven", srt)
    assert (tmp_path / "numbers.vtt").read_text().startswith("WEBVTT\n\n00:00:0")


def test_an_error_is_shown_with_what_to_do(tab, tmp_path):
    file = tmp_path / "broken.wav"
    file.write_bytes(b"no audio at all" * 100)
    tab.set_files("#file", file)
    tab.wait_for("!document.getElementById('error').hidden")

    assert "finds audio in it" in text_of(tab, "#error")
    assert not tab.run("document.getElementById('choose').disabled")


def test_the_page_fits_a_phone(tab, numbers):
    tab.show(width=360, height=740)
    transcribe(tab, numbers)

    assert tab.run("document.documentElement.scrollWidth") <= 360


def test_a_recording_is_transcribed_while_it_is_made_and_the_key_is_asked_for(numbers, tmp_path):
    started = running_server(tmp_path / "server", "--model", "demo", env={"GAUDI_ASR_API_KEY": KEY})
    with started as server, opened_chromium(tmp_path, microphone=numbers) as tab:
        tab.open(server.url)
        tab.wait_for("document.activeElement === key")
        tab.send("Input.insertText", text="wrong")
        tab.press("Tab")
        tab.wait_for("!document.getElementById('error').hidden")
        tab.run("key.value = ''; key.focus()")
        tab.send("Input.insertText", text=KEY)
        tab.press("Tab")
        tab.wait_for("!document.getElementById('record').disabled")
        tab.click("#record")
        tab.wait_for("document.querySelectorAll('li:not(.partial)').length >= 1")
        assert text_of(tab, "#record-text") == "Stop"
        tab.wait_for("document.querySelectorAll('li:not(.partial)').length >= 2")
        tab.click("#record")
        tab.wait_for("!document.getElementById('downloads').hidden")
        tab.click("li:nth-child(2) .word")
        tab.wait_for("audio.currentTime > 1")

        assert re.search("four|seven|two", tab.run("document.querySelector('ol').textContent"))
        assert tab.run("audio.duration") > 3
        assert not tab.run("document.getElementById('error').textContent")
        exceptions = [one for one in tab.messages if "401" not in one]
        assert exceptions == []
