"""Recognise the layout at a path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from gaudi_asr_cli.core.data.layouts import manifest, parquet, table
from gaudi_asr_cli.core.data.layouts.audiofolder import find_metadata
from gaudi_asr_cli.core.data.layouts.commonvoice import has_sentences, holds_release
from gaudi_asr_cli.core.data.layouts.folder import AUDIO_SUFFIXES, find_audio_files
from gaudi_asr_cli.core.data.layouts.kaldi import find_kaldi
from gaudi_asr_cli.core.data.layouts.librispeech import find_librispeech
from gaudi_asr_cli.core.data.layouts.ljspeech import find_ljspeech, is_ljspeech
from gaudi_asr_cli.core.data.layouts.mls import find_mls
from gaudi_asr_cli.core.data.layouts.spontaneous import find_spontaneous, is_spontaneous
from gaudi_asr_cli.core.errors import DataError

_DIRECTORIES: dict[str, Callable[[Path], bool]] = {
    "kaldi": lambda path: bool(find_kaldi(path)),
    "commonvoice": holds_release,
    "spontaneous": lambda path: bool(find_spontaneous(path)),
    "audiofolder": lambda path: bool(find_metadata(path)),
    "ljspeech": lambda path: bool(find_ljspeech(path)),
    "mls": lambda path: bool(find_mls(path)),
    "librispeech": lambda path: bool(find_librispeech(path)),
    "manifest": lambda path: bool(manifest.find_manifests(path)),
    "parquet": lambda path: bool(parquet.find_shards(path)),
    "folder": lambda path: next(find_audio_files(path), None) is not None,
}
"""Layout -> whether a directory has it; the most specific come first, plain audio last."""

_SHOWN_ENTRIES = 8


def recognise_layout(path: Path) -> str:
    """Return the name of the layout at `path`, which exists.

    Raises:
        DataError: No layout is recognised.
    """
    layout = _recognise_directory(path) if path.is_dir() else _recognise_file(path)
    if layout is None:
        held = (
            ", ".join(sorted(p.name for p in path.iterdir())[:_SHOWN_ENTRIES])
            if path.is_dir()
            else ""
        )
        what = (
            f"it holds {held or 'nothing'}" if path.is_dir() else f"a {path.suffix or 'bare'} file"
        )
        raise DataError(
            f"{path}: no known layout of speech data ({what}).",
            remedy=f"Name the layout: LAYOUT:{path}, one of {', '.join(_DIRECTORIES)}, table.",
        )
    return layout


def _recognise_directory(path: Path) -> str | None:
    return next(find_layouts(path), None)


def find_layouts(path: Path) -> Iterator[str]:
    """Return the layouts that match a directory, the most specific first."""
    return (layout for layout, holds in _DIRECTORIES.items() if holds(path))


def _recognise_file(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix == ".tsv" and (path.parent / "clips").is_dir() and has_sentences(path):
        return "commonvoice"
    if suffix == ".tsv" and is_spontaneous(path):
        return "spontaneous"
    if suffix == ".csv" and is_ljspeech(path):
        return "ljspeech"
    by_suffix = {
        "manifest": manifest.MANIFEST_SUFFIXES,
        "table": table.TABLE_SUFFIXES,
        "parquet": parquet.PARQUET_SUFFIXES,
        "folder": AUDIO_SUFFIXES,
    }
    return next((layout for layout, known in by_suffix.items() if suffix in known), None)
