"""The `kaldi` layout: wav.scp, text, and optionally segments, utt2spk, utt2dur and reco2dur."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.lines import read_lines
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import pick_split
from gaudi_asr_cli.core.data.layouts.times import LONGEST_RECORDING_S
from gaudi_asr_cli.core.data.listed_paths import find_file
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance

_IN_ARCHIVE = re.compile(r"\.ark(:\d+)?(\[[\d:,]*\])?$|^(ark|scp)(,\w+)*:")


def read_kaldi(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read the utterances of a data directory; relative paths in wav.scp start at it.

    Raises:
        DataError: wav.scp contains a command (none is ever run), files contradict each other, or
            there are several data directories below `path` and none is given.
    """
    directory = pick_split(find_kaldi(path), options.split, path)
    spans = _read_spans(directory)
    texts = _read_texts(directory, options)
    speakers = _read_map(directory / "utt2spk")
    for name, found in spans.items():
        yield Utterance(
            name,
            found.span,
            text=texts.get(name),
            speaker=speakers.get(name),
            origin=found.origin,
            rejection=f"{found.origin}: {found.problem}" if found.problem else "",
        )
    _reject_texts_without_audio(texts, spans, directory)


@dataclass(frozen=True, slots=True)
class _Found:
    """The audio of an utterance, the line that names it, and what is wrong with its times."""

    span: AudioSpan
    origin: str
    problem: str = ""


def find_kaldi(path: Path) -> dict[str, Path]:
    """Return split -> data directory: `path` itself, or its sub-folders, or those of data/."""
    if (path / "wav.scp").is_file():
        return {path.name: path}
    for parent in (path, path / "data"):
        found = {file.parent.name: file.parent for file in sorted(parent.glob("*/wav.scp"))}
        if found:
            return found
    return {}


def _read_spans(directory: Path) -> dict[str, _Found]:
    recordings = _read_recordings(directory)
    _reject_channels(recordings, directory)
    segments = directory / "segments"
    if segments.is_file():
        return dict(_read_segments(segments, recordings))
    lengths_s = _read_lengths_s(directory / "reco2dur") or _read_lengths_s(directory / "utt2dur")
    return {
        name: _locate(path, str(directory / "wav.scp"), 0.0, lengths_s.get(name))
        for name, path in recordings.items()
    }


def _read_lengths_s(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    try:
        return {name: float(length) for name, length in _read_map(path).items()}
    except ValueError as error:
        raise DataError(f"{path}: {error}.", remedy="Write: RECORDING SECONDS") from error


def _read_recordings(directory: Path) -> dict[str, Path]:
    scp = directory / "wav.scp"
    return {
        name: _find_recording(directory, _check_path(path, scp, line), f"{scp}, line {line}")
        for line, name, path in _read_pairs(scp)
    }


def _find_recording(directory: Path, path: str, where: str) -> Path:
    try:
        return find_file(directory, path)
    except ValueError as error:
        raise DataError(f"{where}: {error}.", remedy="Write: RECORDING PATH") from error


def _check_path(path: str, scp: Path, line: int) -> str:
    if path.startswith("|") or path.endswith("|") or path == "-":
        raise DataError(
            f"{scp}, line {line}: {path!r} is a command, and commands in data are never run.",
            remedy="Run it yourself, once, into a file, and write the file's path in wav.scp.",
        )
    if _IN_ARCHIVE.search(path):
        raise DataError(
            f"{scp}, line {line}: {path!r} is audio inside a Kaldi archive, which is not read.",
            remedy="Write each recording to a separate file, once, with Kaldi's "
            "`wav-copy scp:wav.scp` or the Python package kaldiio, and name the files in wav.scp.",
        )
    if not path:
        raise DataError(f"{scp}, line {line}: no path.", remedy="Write: RECORDING PATH")
    return path


def _reject_channels(recordings: Mapping[str, Path], directory: Path) -> None:
    """Reject recordings that are channels of one file: each would be read as their downmix."""
    path = directory / "reco2file_and_channel"
    if path.is_file() and len(set(recordings.values())) < len(recordings):
        raise DataError(
            f"{path}: recordings are channels of one file, and wav.scp does not distinguish them.",
            remedy="Write each channel to a separate file and name those in wav.scp.",
        )


def _read_segments(segments: Path, recordings: Mapping[str, Path]) -> Iterator[tuple[str, _Found]]:
    for line, name, rest in _read_pairs(segments):
        origin = f"{segments}, line {line}"
        try:
            recording, start, end, *more = rest.split()
            start_s, end_s = float(start), float(end)
            path = recordings[recording]
        except (ValueError, KeyError) as error:
            what = "not in wav.scp" if isinstance(error, KeyError) else "broken"
            raise DataError(
                f"{origin}: {rest!r} is {what}.",
                remedy="Write: UTTERANCE RECORDING START END, in seconds.",
            ) from error
        if more:
            raise DataError(
                f"{origin}: {' '.join(more)!r} follows the end, and names a channel.",
                remedy="Write each channel to a separate file and name those in wav.scp, or "
                "remove the column.",
            )
        # In Kaldi, -1 means the end of the recording.
        known_end_s = None if end_s == -1 else end_s
        yield name, _locate(path, origin, start_s, known_end_s)


def _locate(path: Path, origin: str, start_s: float, end_s: float | None) -> _Found:
    problem = _find_time_problem(start_s, end_s)
    if problem:
        return _Found(AudioSpan(path), origin, problem)
    duration_s = None if end_s is None else round(end_s - start_s, 6)
    return _Found(AudioSpan(path, start_s, duration_s), origin)


def _find_time_problem(start_s: float, end_s: float | None) -> str:
    """Return what is wrong with a start and an end; an empty string where nothing is."""
    for name, value in (("start", start_s), ("end", end_s)):
        if value is not None and not 0 <= value < LONGEST_RECORDING_S:
            return f"its {name} is {value} s, not a number of seconds"
    if end_s is not None and end_s <= start_s:
        return f"it ends at {end_s} s, not after {start_s} s, so there is no audio in it"
    return ""


def _read_texts(directory: Path, options: ReadOptions) -> dict[str, str]:
    path = directory / "text"
    if not path.is_file() and options.needs_text:
        raise DataError(
            f"{directory}: there is no file `text`.", remedy="Write one: UTTERANCE WORDS ..."
        )
    return _read_map(path)


def _read_map(path: Path) -> dict[str, str]:
    return {name: rest for _, name, rest in _read_pairs(path)} if path.is_file() else {}


def _read_pairs(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line number, key and the rest of the line; a repeated key is an error."""
    lines: dict[str, int] = {}
    for line, entry in read_lines(path):
        name, *rest = entry.split(maxsplit=1)
        if lines.setdefault(name, line) != line:
            raise DataError(
                f"{path}: lines {lines[name]} and {line} have the same key, {name!r}.",
                remedy="Remove one of them, or give each a unique name.",
            )
        yield line, name, rest[0].strip() if rest else ""


def _reject_texts_without_audio(
    texts: Mapping[str, str], spans: Mapping[str, object], directory: Path
) -> None:
    orphans = [name for name in texts if name not in spans]
    if orphans:
        raise DataError(
            f"{directory / 'text'}: {len(orphans)} utterances have no audio, {orphans[0]} first.",
            remedy="Kaldi's utils/fix_data_dir.sh removes them.",
        )


def detect_kaldi(path: Path) -> bool:
    """Return whether a directory, or directories in it, have a wav.scp."""
    return path.is_dir() and bool(find_kaldi(path))


KALDI = Layout(read_kaldi, detect_kaldi, lists_all_audio=True)
