"""The Python examples of README.md and docs/python.md run as they are written."""

import re
import shutil
from pathlib import Path

import pytest
import soundfile
from helpers.run import run_here

ROOT = Path(__file__).parents[2]
DIGITS = "one two three"
PAGES = ("README.md", "docs/python.md")


def examples(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def talk(tmp_path, monkeypatch):
    """Spoken digits under the names that the examples use, in the current folder."""
    pytest.importorskip("espeakng_loader")
    from gaudi_asr_cli.core.data.espeak import ESPEAK_RATE_HZ, open_espeak

    with open_espeak() as espeak:
        samples = espeak.synthesise(DIGITS, voice="en-us", rate_wpm=150, pitch=50)
    soundfile.write(tmp_path / "talk.wav", samples, ESPEAK_RATE_HZ)
    (tmp_path / "clips").mkdir()
    for name in ("a.wav", "b.wav"):
        shutil.copy(tmp_path / "talk.wav", tmp_path / "clips" / name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("talk")
@pytest.mark.parametrize("page", PAGES)
def test_examples_run_one_after_another(page, capsys):
    names = {}
    for example in examples(page):
        exec(compile(example, page, "exec"), names)

    printed = capsys.readouterr().out
    assert names["transcript"].text == DIGITS
    assert names["transcript"].words
    assert names["transcript"].segments
    assert DIGITS in printed
    if page == "docs/python.md":
        assert (
            printed.count(DIGITS) >= 6
        )  # text, segment, array, two clips, and the best of a beam search
        assert "WER 33.3%, 1 substitution" in printed
        assert "missing.wav" in printed


def test_both_pages_have_examples_and_help_shows_the_page():
    assert [len(examples(page)) for page in PAGES] == [1, 6]
    shown = run_here("help", "python").stdout
    assert "load_model" in shown
