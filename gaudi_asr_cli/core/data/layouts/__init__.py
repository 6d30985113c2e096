"""Dataset layouts: a new one is a file that defines a `Layout`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gaudi_asr_cli.core.registry import Registry

if TYPE_CHECKING:
    from gaudi_asr_cli.core.data.layouts.options import Layout

LAYOUTS: Registry[Layout] = Registry(
    "layout",
    {
        "kaldi": "gaudi_asr_cli.core.data.layouts.kaldi:KALDI",
        "commonvoice": "gaudi_asr_cli.core.data.layouts.commonvoice:COMMONVOICE",
        "spontaneous": "gaudi_asr_cli.core.data.layouts.spontaneous:SPONTANEOUS",
        "audiofolder": "gaudi_asr_cli.core.data.layouts.audiofolder:AUDIOFOLDER",
        "ljspeech": "gaudi_asr_cli.core.data.layouts.ljspeech:LJSPEECH",
        "mls": "gaudi_asr_cli.core.data.layouts.mls:MLS",
        "librispeech": "gaudi_asr_cli.core.data.layouts.librispeech:LIBRISPEECH",
        "manifest": "gaudi_asr_cli.core.data.layouts.manifest:MANIFEST",
        "table": "gaudi_asr_cli.core.data.layouts.table:TABLE",
        "parquet": "gaudi_asr_cli.core.data.layouts.parquet:PARQUET",
        "hub": "gaudi_asr_cli.core.data.layouts.hub:HUB",
        "demo": "gaudi_asr_cli.core.data.layouts.demo:DEMO",
        "folder": "gaudi_asr_cli.core.data.layouts.folder:FOLDER",
    },
)
"""Name in LAYOUT:PATH -> its record, in the order in which a bare path is recognised.

The surest signs come first; the plain folder of audio is asked last, wherever it stands.
"""

PLAIN_FOLDER = "folder"
"""The layout of whatever holds audio."""
