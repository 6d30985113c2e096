"""Transcripts as they come: on standard output, or in a file for each sound."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from gaudi_asr_cli.core.errors import AsrError, UsageError
from gaudi_asr_cli.core.events import Event, Observer, StageStarted, UtteranceDone
from gaudi_asr_cli.core.formats import DOCUMENTS, FORMATS
from gaudi_asr_cli.core.formats.jsonl import transcript_json
from gaudi_asr_cli.ui.console import print_result
from gaudi_asr_cli.ui.json_lines import print_json
from gaudi_asr_cli.ui.messages import show_error


class TextPrinter:
    """One file: its text alone. Several: path, tab, text. What failed is told on standard error."""

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
            print_result(prefix + done.transcript.text)


class JsonPrinter:
    """A JSON line for each file, failed ones included."""

    def __init__(self, language: str | None = None) -> None:
        self.language = language

    def __call__(self, event: Event) -> None:
        if isinstance(event, UtteranceDone):
            print_json(transcript_json(event, language=self.language))


class FormatPrinter:
    """One format on standard output; what failed is told on standard error."""

    def __init__(self, format_name: str) -> None:
        self.format_name = format_name

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted) and event.unit == "files":
            self._refuse_several(event.total)
        elif isinstance(event, UtteranceDone) and event.transcript is None:
            show_failure(event)
        elif isinstance(event, UtteranceDone):
            print_result("".join(FORMATS[self.format_name]([event])).removesuffix("\n"))

    def _refuse_several(self, files: float | None) -> None:
        if self.format_name in DOCUMENTS and files != 1:
            raise UsageError(
                f"{self.format_name} is one document for each file.",
                remedy="Name a folder with --out-dir, which gets a document for each.",
            )


class FileWriter:
    """A file for each sound and format, `NAME.txt` beside `NAME.jsonl`, in a new folder."""

    def __init__(self, folder: Path, formats: tuple[str, ...]) -> None:
        self.folder = folder
        self.formats = formats
        self.names: Counter[str] = Counter()
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
        self.folder.mkdir(parents=True, exist_ok=True)
        name = self._unused_name(Path(event.path).stem)
        for format_name in self.formats:
            # A line that says what failed belongs to JSON lines; other formats have no such thing.
            if event.transcript is not None or format_name == "jsonl":
                text = "".join(FORMATS[format_name]([event]))
                (self.folder / f"{name}.{format_name}").write_text(text, encoding="utf-8")

    def _unused_name(self, stem: str) -> str:
        # Sounds of several folders may share a name: the second one's is "NAME-2".
        self.names[stem] += 1
        return stem if self.names[stem] == 1 else f"{stem}-{self.names[stem]}"


NEED_TIMES = frozenset({"srt", "vtt", "tsv", "ctm"})
"""Formats that are nothing without the times of words."""


def transcript_observer(
    *,
    formats: tuple[str, ...],
    out_dir: Path | None,
    language: str | None,
    timestamps: str = "word",
) -> Observer:
    """Where transcripts go.

    Raises:
        UsageError: Several formats without a folder, a folder that is in use, or a format that
            needs the times that were not asked for.
    """
    timeless = NEED_TIMES.intersection(formats) if timestamps == "none" else set()
    if timeless:
        raise UsageError(
            f"{', '.join(sorted(timeless))} cannot be written without the times of words.",
            remedy="Leave --timestamps out.",
        )
    if out_dir is not None:
        return FileWriter(out_dir, formats or ("txt",))
    if len(set(formats)) > 1:
        raise UsageError(
            "Several formats cannot share standard output.", remedy="Name a folder with --out-dir."
        )
    if formats == ("jsonl",):
        return JsonPrinter(language)
    return FormatPrinter(formats[0]) if formats not in {(), ("txt",)} else TextPrinter()


def show_failure(done: UtteranceDone) -> None:
    """A file that failed; the others go on."""
    reason = (done.error or "").removeprefix(f"{done.path}: ")
    show_error(
        AsrError(
            f"{done.path}: {reason}",
            remedy="Check the path; gaudi-asr doctor shows which formats can be decoded here.",
        )
    )
