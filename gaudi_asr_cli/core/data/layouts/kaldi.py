"""The `kaldi` layout: wav.scp, text, and optionally segments, utt2spk, utt2dur and reco2dur."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.lines import read_lines
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import pick_split
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance


def read_kaldi(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Utterances of a data directory; relative paths in wav.scp start at it.

    Raises:
        DataError: wav.scp holds a command (nothing is ever run), files contradict one another,
            or several data directories lie below `path` and none is named.
    """
    directory = pick_split(find_kaldi(path), options.split, path)
    spans = _read_spans(directory)
    texts = _read_texts(directory, options)
    speakers = _read_map(directory / "utt2spk")
    for name in spans:
        yield Utterance(name, spans[name], text=texts.get(name), speaker=speakers.get(name))
    _refuse_texts_without_audio(texts, spans, directory)


def find_kaldi(path: Path) -> dict[str, Path]:
    """Split -> data directory: `path` itself, or its sub-folders, or those of data/."""
    if (path / "wav.scp").is_file():
        return {path.name: path}
    for parent in (path, path / "data"):
        found = {file.parent.name: file.parent for file in sorted(parent.glob("*/wav.scp"))}
        if found:
            return found
    return {}


def _read_spans(directory: Path) -> dict[str, AudioSpan]:
    recordings = _read_recordings(directory)
    segments = directory / "segments"
    if segments.is_file():
        return dict(_read_segments(segments, recordings))
    lengths_s = _read_lengths_s(directory / "reco2dur") or _read_lengths_s(directory / "utt2dur")
    return {
        name: AudioSpan(path, duration_s=lengths_s.get(name)) for name, path in recordings.items()
    }


def _read_lengths_s(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    try:
        return {name: float(length) for name, length in _read_map(path).items()}
    except ValueError as error:
        raise DataError(f"{path}: {error}.", remedy="Write: RECORDING SECONDS") from error


def _read_recordings(directory: Path) -> dict[str, Path]:
    return {
        name: directory / _checked(place, directory / "wav.scp", line)
        for line, name, place in _read_pairs(directory / "wav.scp")
    }


def _checked(place: str, scp: Path, line: int) -> str:
    if place.startswith("|") or place.endswith("|") or place == "-":
        raise DataError(
            f"{scp}, line {line}: {place!r} is a command, and commands in data are never run.",
            remedy="Run it yourself, once, into a file, and write the file's path in wav.scp.",
        )
    if not place:
        raise DataError(f"{scp}, line {line}: no path.", remedy="Write: RECORDING PATH")
    return place


def _read_segments(
    segments: Path, recordings: Mapping[str, Path]
) -> Iterator[tuple[str, AudioSpan]]:
    for line, name, rest in _read_pairs(segments):
        try:
            recording, start, end = rest.split()[:3]
            start_s, end_s = float(start), float(end)
            path = recordings[recording]
        except (ValueError, KeyError) as error:
            what = "not in wav.scp" if isinstance(error, KeyError) else "broken"
            raise DataError(
                f"{segments}, line {line}: {rest!r} is {what}.",
                remedy="Write: UTTERANCE RECORDING START END, in seconds.",
            ) from error
        if end_s != -1 and not 0 <= start_s < end_s:
            raise DataError(
                f"{segments}, line {line}: {name} ends at {end_s} s, not after {start_s} s.",
                remedy="Mend the times or take the line out.",
            )
        # -1 is Kaldi's word for "to the end of the recording".
        yield name, AudioSpan(path, start_s, None if end_s == -1 else round(end_s - start_s, 6))


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
    """Line number, the first word, and what follows it."""
    for line, entry in read_lines(path):
        name, *rest = entry.split(maxsplit=1)
        yield line, name, rest[0].strip() if rest else ""


def _refuse_texts_without_audio(
    texts: Mapping[str, str], spans: Mapping[str, AudioSpan], directory: Path
) -> None:
    orphans = [name for name in texts if name not in spans]
    if orphans:
        raise DataError(
            f"{directory / 'text'}: {len(orphans)} utterances have no audio, {orphans[0]} first.",
            remedy="Kaldi's utils/fix_data_dir.sh takes them out.",
        )
