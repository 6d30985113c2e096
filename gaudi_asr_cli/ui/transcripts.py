"""Transcripts as they come: on standard output, or in a file for each sound."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gaudi_asr_cli.core.data.paths import shorten_path
from gaudi_asr_cli.core.errors import AsrError, UsageError
from gaudi_asr_cli.core.events import Event, Observer, StageStarted, UtteranceDone
from gaudi_asr_cli.core.formats import FORMATS
from gaudi_asr_cli.core.formats.cues import DEFAULT_STYLE, CueStyle
from gaudi_asr_cli.core.formats.jsonl import transcript_json
from gaudi_asr_cli.core.formats.turns import channel_lines
from gaudi_asr_cli.core.whole_files import make_folder, write_whole
from gaudi_asr_cli.core.workflows.infer_job.names import MAX_NAME_BYTES, fold_name
from gaudi_asr_cli.ui.console import print_result
from gaudi_asr_cli.ui.json_lines import print_json
from gaudi_asr_cli.ui.messages import show_error


class TextPrinter:
    """One file: its text alone. Several: path, tab, text. Failures go to standard error.

    Where each channel was transcribed there is a line for each turn of one.
    """

    def __init__(self) -> None:
        self.several = True

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted) and event.unit == "files":
            self.several = event.total != 1
        elif isinstance(event, UtteranceDone):
            self._print(event)

    def _print(self, done: UtteranceDone) -> None:
        if done.transcript is None:
            show_failure(done)
        else:
            prefix = f"{done.path}\t" if self.several else ""
            for line in channel_lines(done.transcript):
                print_result(prefix + line)


class JsonPrinter:
    """A JSON line for each file, failed ones included."""

    def __init__(self, language: str | None = None) -> None:
        self.language = language

    def __call__(self, event: Event) -> None:
        if isinstance(event, UtteranceDone):
            print_json(transcript_json(event, language=self.language))


class FormatPrinter:
    """One format on standard output; failures go to standard error."""

    def __init__(self, format_name: str, style: CueStyle = DEFAULT_STYLE) -> None:
        self.format_name = format_name
        self.format = FORMATS.find(format_name).in_style(style)

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted) and event.unit == "files":
            self._refuse_several(event.total)
        elif isinstance(event, UtteranceDone) and event.transcript is None:
            show_failure(event)
        elif isinstance(event, UtteranceDone):
            print_result("".join(self.format.write([event])).removesuffix("\n"))

    def _refuse_several(self, files: float | None) -> None:
        if self.format.one_document and files != 1:
            raise UsageError(
                f"{self.format_name} is one document for each file.",
                remedy="Name a folder with --out-dir, which gets a document for each.",
            )


class FileWriter:
    """A file for each input and format, `NAME.txt` beside `NAME.jsonl`, in a new folder."""

    def __init__(self, folder: Path, formats: tuple[str, ...]) -> None:
        self.folder = folder
        self.formats = {name: FORMATS.find(name) for name in formats}
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"{folder} exists already and is not an empty folder.",
                remedy="Name another --out-dir: nothing is overwritten.",
            )

    def __call__(self, event: Event) -> None:
        if not isinstance(event, UtteranceDone):
            return
        if event.transcript is None:
            show_failure(event)
        make_folder(self.folder)
        name = self._take_name(Path(event.path).stem)
        for suffix, one in self.formats.items():
            if event.transcript is not None or one.writes_failures:
                text = "".join(one.write([event]))
                write_whole(self.folder / f"{name}.{suffix}", text, errors="surrogateescape")

    def _take_name(self, stem: str) -> str:
        """The stem, or the first of "STEM-2", "STEM-3" that no input before has taken."""
        number = self._last.get(fold_name(stem), 0)
        while True:
            number += 1
            name = _fit(stem, "" if number == 1 else f"-{number}")
            if fold_name(name) not in self._taken:
                break
        self._last[fold_name(stem)] = number
        self._taken.add(fold_name(name))
        return name


def _fit(stem: str, ending: str) -> str:
    """Return the stem and its ending, shortened so that no file system rejects the file's name."""
    stem = stem or "unnamed"
    # `write_whole` writes to .NAME.SUFFIX.PID.part first.
    added = len("...4194304.part") + max(map(len, FORMATS))
    while len(os.fsencode(stem + ending)) + added > MAX_NAME_BYTES:
        stem = stem[:-1]
    return stem + ending


def check_formats(
    formats: Sequence[str], *, timestamps: str = "word", style: CueStyle = DEFAULT_STYLE
) -> None:
    """Check that the options fit the formats.

    Raises:
        UsageError: A format needs the times that were not asked for, or there are options of
            subtitles without subtitles.
    """
    timed = [name for name in formats if FORMATS.find(name).needs_word_times]
    if timed and timestamps == "none":
        raise UsageError(
            f"{', '.join(sorted(set(timed)))} cannot be written without the times of words.",
            remedy="Leave --timestamps out.",
        )
    subtitles = [name for name in FORMATS if FORMATS[name].takes_style]
    if style != DEFAULT_STYLE and not set(subtitles) & set(formats):
        raise UsageError(
            "--max-line-width, --max-line-count and --highlight-words are of subtitles, and "
            f"{', '.join(formats)} has none.",
            remedy=f"Add --format {' or '.join(subtitles)}.",
        )


def transcript_observer(
    *,
    formats: tuple[str, ...],
    out_dir: Path | None,
    language: str | None,
    timestamps: str = "word",
    style: CueStyle = DEFAULT_STYLE,
) -> Observer:
    """Where transcripts go.

    Raises:
        UsageError: Several formats without a folder, a folder that is in use, or options that do
            not fit the formats (`check_formats`).
    """
    check_formats(formats, timestamps=timestamps, style=style)
    if out_dir is not None:
        return FileWriter(out_dir, formats or ("txt",))
    if len(set(formats)) > 1:
        raise UsageError(
            "Several formats cannot share standard output.", remedy="Name a folder with --out-dir."
        )
    if formats == ("jsonl",):
        return JsonPrinter(language)
    return FormatPrinter(formats[0], style) if formats not in {(), ("txt",)} else TextPrinter()


def show_failures(event: Event) -> None:
    """Show the files that failed, where others are written elsewhere."""
    if isinstance(event, UtteranceDone) and event.transcript is None:
        show_failure(event)


def show_failure(done: UtteranceDone) -> None:
    """A file that failed; the others go on."""
    name = shorten_path(done.path) or "''"
    reason = (done.error or "").removeprefix(f"{done.path}: ").removeprefix(f"{name}: ")
    show_error(
        AsrError(
            f"{name}: {reason}",
            remedy="Check the path; gaudi-asr doctor shows which formats can be decoded here.",
        )
    )
