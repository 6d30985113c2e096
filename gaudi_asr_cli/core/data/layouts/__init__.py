"""Layouts of speech data on disk and on the hub: each has a reader from a path to utterances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.audiofolder import read_audiofolder
from gaudi_asr_cli.core.data.layouts.commonvoice import read_commonvoice
from gaudi_asr_cli.core.data.layouts.folder import read_folder
from gaudi_asr_cli.core.data.layouts.hub import read_hub
from gaudi_asr_cli.core.data.layouts.kaldi import read_kaldi
from gaudi_asr_cli.core.data.layouts.librispeech import read_librispeech
from gaudi_asr_cli.core.data.layouts.ljspeech import read_ljspeech
from gaudi_asr_cli.core.data.layouts.manifest import read_manifest
from gaudi_asr_cli.core.data.layouts.mls import read_mls
from gaudi_asr_cli.core.data.layouts.options import Reader, ReadOptions
from gaudi_asr_cli.core.data.layouts.parquet import read_parquet
from gaudi_asr_cli.core.data.layouts.spontaneous import read_spontaneous
from gaudi_asr_cli.core.data.layouts.table import read_table
from gaudi_asr_cli.core.records import Utterance


def _read_demo(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    # Here, not above: only the demo needs a speech synthesiser.
    from gaudi_asr_cli.core.data.layouts.demo import read_demo

    return read_demo(path, options)


READERS: dict[str, Reader] = {
    "folder": read_folder,
    "audiofolder": read_audiofolder,
    "manifest": read_manifest,
    "table": read_table,
    "librispeech": read_librispeech,
    "ljspeech": read_ljspeech,
    "mls": read_mls,
    "commonvoice": read_commonvoice,
    "spontaneous": read_spontaneous,
    "kaldi": read_kaldi,
    "parquet": read_parquet,
    "hub": read_hub,
    "demo": _read_demo,
}
"""Name of a layout, as in LAYOUT:PATH -> its reader."""
