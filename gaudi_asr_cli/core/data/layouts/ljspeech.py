"""The `ljspeech` layout: metadata.csv of `id|text|normalised text`, and wavs/ID.wav."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.columns import AUDIO_COLUMNS
from gaudi_asr_cli.core.data.layouts.folder import AUDIO_SUFFIXES
from gaudi_asr_cli.core.data.layouts.lines import read_lines
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import pick_split
from gaudi_asr_cli.core.data.listed_paths import find_file
from gaudi_asr_cli.core.data.rejected import reject_row
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance

_TEXTS = ("text", "normalized_text")
"""Names of the second and third column for --text-column; the default is the last one."""

_FOLDERS = ("wavs", "wav")


def read_ljspeech(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read the lines of one metadata file, with the normalised text where there is one.

    Raises:
        DataError: There is no such split, a line is broken, or an id occurs twice.
    """
    file = path if path.is_file() else pick_split(find_ljspeech(path), options.split, path)
    folder = next((file.parent / name for name in _FOLDERS if (file.parent / name).is_dir()), None)
    if folder is None:
        raise DataError(
            f"{file.parent}: there is no folder wavs.", remedy="LJSpeech keeps its audio there."
        )
    lines: dict[str, int] = {}
    for line, entry in read_lines(file):
        name, *texts = entry.split("|")
        where = f"{file}, line {line}"
        _reject_broken(name, texts, where)
        if lines.setdefault(name, line) != line:
            raise DataError(
                f"{file}: lines {lines[name]} and {line} have the same id, {name!r}.",
                remedy="Remove one of them.",
            )
        text = _pick_text(texts, options, where)
        try:
            audio = AudioSpan(_find_audio(folder, name.strip()))
        except (OSError, ValueError) as error:
            yield reject_row(where, error, AudioSpan(file), name.strip(), text)
            continue
        yield Utterance(Path(name.strip()).stem, audio, text=text, origin=where)


def find_ljspeech(path: Path) -> dict[str, Path]:
    """Return split -> metadata file: metadata.csv, or metadata_train.csv and the like."""
    files = sorted(path.glob("metadata*.csv"))
    return {
        file.stem.removeprefix("metadata").strip("_-") or file.stem: file
        for file in files
        if is_ljspeech(file)
    }


def is_ljspeech(file: Path) -> bool:
    """Return whether the file is such a list: without a header, its audio in wavs/."""
    if not any((file.parent / name).is_dir() for name in _FOLDERS):
        return False
    with file.open("rb") as opened:
        cells = opened.readline(65_536).decode("utf-8-sig", "replace").rstrip("\r\n").split("|")
    return len(cells) in (2, 3) and not set(AUDIO_COLUMNS) & {cell.strip() for cell in cells}


def _reject_broken(name: str, texts: Sequence[str], where: str) -> None:
    if not name.strip() or "\0" in name or len(texts) not in (1, 2):
        raise DataError(
            f"{where}: {len(texts) + 1} cells instead of an id and one or two texts.",
            remedy="Write: ID|TEXT|NORMALISED TEXT",
        )


def _pick_text(texts: Sequence[str], options: ReadOptions, where: str) -> str:
    if options.text_column in (None, *_TEXTS):
        wanted = _TEXTS.index(options.text_column) if options.text_column else len(texts) - 1
        if wanted < len(texts):
            return (texts[wanted] or texts[0]).strip()
    raise DataError(
        f"{where}: there is no column named {options.text_column!r}; the columns are id, "
        f"{', '.join(_TEXTS[: len(texts)])}.",
        remedy="Give one of them with --text-column, or leave the option out.",
    )


def _find_audio(folder: Path, name: str) -> Path:
    """Return the file of an id, which may also be a path, or have a suffix already."""
    if Path(name).suffix.lower() in AUDIO_SUFFIXES:
        path = find_file(folder.parent, name)
        return path if path.exists() else find_file(folder, name)
    return find_file(folder, f"{name}.wav")


def detect_ljspeech(path: Path) -> bool:
    """Return whether a directory holds metadata of this kind, or a file is one."""
    if path.is_dir():
        return bool(find_ljspeech(path))
    return path.suffix.lower() == ".csv" and is_ljspeech(path)


LJSPEECH = Layout(read_ljspeech, detect_ljspeech, lists_all_audio=True)
