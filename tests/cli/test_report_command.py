import base64
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from helpers.run import run_here

from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.workflows.report import run as report_workflow
from gaudi_asr_cli.core.workflows.report.charts import MAX_POINTS, ChartLine, draw_lines

HOSTILE = "<script>alert(1)</script> \"'&amp; {{ 7*7 }} </svg><img src=http://x/y>"


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def read_page(path):
    text = path.read_text(encoding="utf-8")
    return Page(text)


def write_run(folder, lines, *, events=(), **report):
    folder.mkdir(parents=True)
    whole = {"reference": "one two", "hypothesis": "one too", "duration_s": 1.0, "speaker": None}
    lines = [json.dumps({**whole, "id": f"u{number}", **one}) for number, one in enumerate(lines)]
    (folder / "predictions.jsonl").write_text("\n".join(lines))
    (folder / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    score = {"schema": "eval-ctc/1", "normalizer": "basic/2", "unit": "word", "wer": 0.5}
    (folder / "report.json").write_text(json.dumps({**score, **report}))
    return folder


@pytest.fixture
def audio(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.sin(np.arange(32000) / 20), 16000)
    return path


def assert_needs_no_network(page):
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            link = attributes.get(name, "#")
            assert link.startswith(("#", "data:")), (tag, link[:80])
    assert not {"script", "iframe", "object", "base"} & {tag for tag, _ in page.tags}


def test_a_run_becomes_one_page_with_players_that_the_keyboard_reaches(tmp_path, audio):
    part = {"path": str(audio), "start_s": 0.5, "duration_s": 1.0}
    run = write_run(tmp_path / "run", [part, {"path": "/gone.wav"}, {"hypothesis": "one two"}])

    done = run_here("report", run)

    page = read_page(run / "report.html")
    (player,) = page.all("audio")
    packed = base64.b64decode(player["src"].partition(",")[2])
    samples, rate = soundfile.read(io.BytesIO(packed))
    assert done.stdout == f"{run / 'report.html'}\n"
    assert_needs_no_network(page)
    assert len(samples) / rate == pytest.approx(1.0, abs=0.15)  # frames of MP3
    assert "controls" in player  # native controls are in the order of the Tab key
    assert player["aria-label"] == "audio of u0"
    assert len(page.all("article")) == 2
    assert "50.00 %" in page.text


def test_texts_of_the_data_are_escaped(tmp_path):
    hostile = dict.fromkeys(("id", "reference", "hypothesis", "speaker", "path"), HOSTILE)
    slices = {HOSTILE: {HOSTILE: {"utterances": 1, "audio_s": 1.0, "wer": 0.5}}}
    run = write_run(
        tmp_path / "run",
        [{**hostile, "hypothesis": f"{HOSTILE} <b>"}],
        slices=slices,
        notes=[HOSTILE],
        model=HOSTILE,
        normalizer=HOSTILE,
    )

    assert run_here("report", run).exit_code == 0

    page = read_page(run / "report.html")
    assert_needs_no_network(page)
    assert not page.all("img")
    assert page.text.count("<script>alert(1)</script>") >= 6
    assert "49" not in page.text.replace("7*7", "")


def test_a_page_without_audio_stays_below_a_megabyte(tmp_path, audio):
    long = " ".join(f"word{number}" for number in range(600))
    wrong = " ".join(f"w{number}" for number in range(600))
    lines = [{"reference": long, "hypothesis": wrong, "path": str(audio)}] * 60
    events = [
        {"event": "StepLogged", "step": step, "loss": 1 / step, "learning_rate": 1e-4,
         "audio_s_per_s": 30.0}
        for step in range(1, 20_000)
    ]  # fmt: skip
    run = write_run(tmp_path / "run", lines, events=events)

    answer = json.loads(run_here("report", run, "--no-audio", "--json").stdout)

    page = read_page(run / "report.html")
    assert answer["size_bytes"] == (run / "report.html").stat().st_size < 1_000_000
    assert (answer["utterances"], answer["with_audio"], page.all("audio")) == (50, 0, [])
    assert len(page.all("polyline")) == 3
    assert "more errors" in page.text


def test_the_curves_have_loss_error_rate_with_interval_and_calibration(tmp_path):
    steps = [
        {"event": "StepLogged", "step": 10 * n, "loss": 3 / n, "learning_rate": 1e-4 / n,
         "audio_s_per_s": 30.0 + n}
        for n in (1, 2, 3)
    ]  # fmt: skip
    score = {"wer": 0.4, "wer_low": 0.3, "wer_high": 0.5, "cer": 0.2, "unit": "word"}
    scored = [
        {"event": "Evaluated", "step": step, "score": score, "loss": 1.0, "best": step == 30}
        for step in (20, 30)
    ]
    run = write_run(
        tmp_path / "run",
        [{"confidences": [0.9, 0.4]}],
        events=[*steps, {"event": "StepLogged", "step": 40, "loss": float("nan")}, *scored],
    )

    run_here("report", run)

    page = read_page(run / "report.html")
    charts = [one["aria-label"] for one in page.all("svg")]
    assert [one.partition(".")[0] for one in charts] == [
        "loss", "WER with 95 % interval", "learning rate", "training speed, RTFx",
        "Accuracy by confidence; expected calibration error 25",
    ]  # fmt: skip
    assert "training: 1 at the end; evaluation: 1 at the end" in charts[0]
    assert len(page.all("polygon")) == 1
    assert "best so far" in page.text


def test_a_line_of_many_points_is_thinned_to_its_ends():
    points = [(float(step), float(step % 7)) for step in range(10_000)]

    svg = draw_lines("loss", [ChartLine("loss", points)], str)

    drawn = svg.partition('class="line s0" points="')[2].partition('"')[0].split()
    assert len(drawn) == MAX_POINTS
    assert draw_lines("loss", [ChartLine("loss", [])], str) == ""


def test_text_without_spaces_is_aligned_by_characters(tmp_path):
    run = write_run(tmp_path / "run", [{"reference": "今天很好", "hypothesis": "今天不好"}])

    run_here("report", run)

    page = read_page(run / "report.html")
    assert "".join(page.text.split()).count("今天很不好") == 1


def test_a_comparison_becomes_a_page(tmp_path, audio):
    a = write_run(tmp_path / "a", [{"path": str(audio), "hypothesis": "one two"}] * 3)
    b = write_run(tmp_path / "b", [{"path": str(audio)}, {}, {}])
    saved = tmp_path / "c.json"
    run_here("compare", a, b, "--save", saved)

    done = run_here("report", saved)

    page = read_page(tmp_path / "c.html")
    assert done.exit_code == 0
    assert_needs_no_network(page)
    assert "No difference is shown between b and a" in page.text
    assert "3 reference words broken by B" in page.text
    assert len(page.all("audio")) == 3


@pytest.mark.parametrize(
    "content", ["", "{}", '{"schema": "compare/1"}', '{"schema": "bench/1"}', "[]"]
)
def test_a_broken_comparison_is_named(tmp_path, content):
    path = tmp_path / "c.json"
    path.write_text(content)

    done = run_here("report", path)

    assert done.exit_code == 4
    assert str(path) in done.stderr


def test_an_unfinished_run_has_a_page_of_what_there_is(tmp_path):
    run = write_run(tmp_path / "run", [{}], events=[{"event": "StepLogged", "step": 1, "loss": 2}])
    (run / "report.json").unlink()
    (run / "predictions.jsonl").unlink()
    with (run / "events.jsonl").open("a") as file:
        file.write('\n{"event": "StepLogged", "step": 2, "lo')  # cut by a full disk

    assert run_here("report", run).exit_code == 0

    page = read_page(run / "report.html")
    assert "This run did not finish" in page.text
    assert len(page.all("svg")) == 1


@pytest.mark.parametrize("changes", [{"slices": {"speaker": [1]}}, {"notes": 3}])
def test_a_broken_report_is_named(tmp_path, changes):
    run = write_run(tmp_path / "run", [{}], **changes)

    done = run_here("report", run)

    assert done.exit_code == 4
    assert "is not a whole report" in done.stderr


def test_a_folder_without_a_run_and_a_page_of_another_program_are_refused(tmp_path):
    run = write_run(tmp_path / "run", [{}])
    (run / "report.html").write_text("<html>mine</html>")

    assert run_here("report", tmp_path).exit_code == 4
    assert run_here("report", tmp_path / "gone").exit_code == 4
    assert run_here("report", run).exit_code == 2
    assert (run / "report.html").read_text() == "<html>mine</html>"
    assert run_here("report", run, "--out", tmp_path / "new" / "p.html").exit_code == 0
    assert run_here("report", run, "--out", tmp_path / "new" / "p.html").exit_code == 0


def test_a_page_that_cannot_be_written_never_fails_a_run(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr(report_workflow, "describe_run", fail)
    events = []

    report_workflow.report_after_training(RunFolder(tmp_path), events.append)

    (notice,) = events
    assert isinstance(notice, Noticed)
    assert notice.message == "report.html could not be written: broken"
