"""What `infer` is asked to listen to: files, folders, globs and standard input."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from gaudi_asr_cli.core.data.layouts.folder import AUDIO_SUFFIXES
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance

STDIN = "-"
COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class AudioInputs:
    """Files to listen to, in order, each once; `passed_over` counts other files of folders."""

    utterances: tuple[Utterance, ...]
    passed_over: int = 0


@contextmanager
def opened_inputs(sources: Sequence[str], stdin: BinaryIO | None) -> Iterator[AudioInputs]:
    """Find what the sources name; standard input lies in a file of its own meanwhile.

    A folder gives every file below it that looks like audio, sorted by path; a file that is named
    is always given, whatever it is called, and so is one that does not exist: it fails alone.

    Raises:
        DataError: Nothing is left to listen to.
    """
    with TemporaryDirectory(prefix="gaudi-asr-") as scratch:
        utterances: dict[str, Utterance] = {}
        passed_over = 0
        for source in sources:
            if source == STDIN:
                utterances.setdefault(STDIN, _copy_stdin(stdin, Path(scratch)))
                continue
            found, other = _find_files(source)
            passed_over += other
            for path in found:
                utterances.setdefault(str(path), Utterance(str(path), AudioSpan(path)))
        if not utterances:
            raise DataError(
                f"There is no audio file in {', '.join(sources)}"
                f" ({passed_over} other files passed over).",
                remedy="Name the files themselves if they are audio under unusual names.",
            )
        yield AudioInputs(tuple(utterances.values()), passed_over)


def _find_files(source: str) -> tuple[list[Path], int]:
    """Files that a source names, and how many others were passed over in folders."""
    path = Path(source).expanduser()
    if path.is_dir():
        return _list_folder(path)
    if path.exists() or not glob.has_magic(source):
        return [path], 0
    found: list[Path] = []
    passed_over = 0
    # Path.glob takes no pattern with a folder in front of it.
    for match in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207
        files, other = _find_files(match)
        found += files
        passed_over += other
    return found, passed_over


def _list_folder(folder: Path) -> tuple[list[Path], int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    audio = [path for path in files if _looks_like_audio(path)]
    return audio, len(files) - len(audio)


def _looks_like_audio(path: Path) -> bool:
    # macOS leaves hidden `._name.wav` files about that hold no sound.
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def _copy_stdin(stdin: BinaryIO | None, directory: Path) -> Utterance:
    # Decoders look back and forth in what they read, which a pipe cannot do.
    path = directory / "stdin"
    with path.open("wb") as file:
        while stdin is not None and (block := stdin.read(COPY_BYTES)):
            file.write(block)
    return Utterance(STDIN, AudioSpan(path))
