"""`report`: write a run or a comparison as one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.paths import expand_home
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import Noticed, Observer
from gaudi_asr_cli.core.json_files import is_special
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.secret_values import hide_in_text
from gaudi_asr_cli.core.whole_files import make_folder, write_whole
from gaudi_asr_cli.core.workflows.report.comparison_page import describe_comparison
from gaudi_asr_cli.core.workflows.report.run_page import Content, describe_run

PAGE_NAME = "report.html"
_GENERATOR = '<meta name="generator" content="gaudi-asr report">'
_TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True, slots=True)
class PageWritten:
    """The page, its size, and how many of its utterances have audio."""

    path: Path
    size_bytes: int
    utterances: int
    with_audio: int

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "report/1",
            "path": str(self.path),
            "size_bytes": self.size_bytes,
            "utterances": self.utterances,
            "with_audio": self.with_audio,
        }


def make_report(source: str, out: Path | None = None, *, audio: bool = True) -> PageWritten:
    """Write the page of a run's folder, or of the file of `compare --save`.

    Args:
        source: The folder or the file.
        out: The page; `report.html` in the run, or next to the file, by default.
        audio: Embed the audio of the utterances, where it is still there.

    Raises:
        DataError: The source does not exist, or holds nothing to report.
        UsageError: The page would replace a file that is not such a page.
    """
    path = expand_home(source)
    if not path.exists() or is_special(path):
        raise DataError(
            f"{path} is no folder of a run and no file of a comparison.",
            remedy="Name the folder of a run, or the file of compare --save.",
        )
    if path.is_dir():
        run = RunFolder(path)
        target = out or run.root / PAGE_NAME
        _require_replaceable(target)
        try:
            content = describe_run(run, audio=audio)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{run.report} is not a whole report: {error}.",
                remedy="Is it of this program, and unchanged? Remove it to report the rest.",
            ) from error
        return _write_page(target, content)
    target = out or path.with_suffix(".html")
    _require_replaceable(target)
    return _write_page(target, describe_comparison(path, audio=audio))


def report_after_training(run: RunFolder, observe: Observer) -> None:
    """Write the page of a finished run, without audio; a failure is a notice, never an error."""
    try:
        _write_page(run.root / PAGE_NAME, describe_run(run, audio=False))
    except Exception as error:  # noqa: BLE001 - the run has finished and must not fail for a page
        observe(
            Noticed(
                f"{PAGE_NAME} could not be written: {error}",
                remedy=f"The run is complete; gaudi-asr report {run.root} tries again.",
            )
        )


def _require_replaceable(path: Path) -> None:
    """Raise an error unless the page is new, or replaces one of ours."""
    if not path.exists():
        return
    start = path.read_bytes()[:1000] if path.is_file() else b""
    if _GENERATOR.encode() not in start:
        raise UsageError(
            f"{path} exists and is no report of this program.", remedy="Choose another --out."
        )


def render_page(content: Content) -> str:
    """Return the HTML of a page; every text of the data is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda rate: f"{100 * rate:.2f} %"
    environment.filters["points"] = lambda rate: f"{round(100 * rate, 2) + 0.0:+.2f}"
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(page=content)
    # File names that are not UTF-8 hold lone surrogates, which no page can.
    return page.encode("utf-8", "replace").decode("utf-8")


def _write_page(path: Path, content: Content) -> PageWritten:
    page = hide_in_text(render_page(content))
    make_folder(path.parent)
    write_whole(path, page)
    return PageWritten(
        path=path,
        size_bytes=len(page.encode()),
        utterances=len(content["worst"]),
        with_audio=sum(one["audio"] is not None for one in content["worst"]),
    )
