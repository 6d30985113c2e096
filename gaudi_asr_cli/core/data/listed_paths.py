"""From a path as a list writes it to the file: other systems' separators, URLs, two Unicodes."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gaudi_asr_cli.core.data.paths import expand_home

_LISTED_FOLDERS = 256
_URL = re.compile(r"[a-z][a-z0-9+.-]*://|file:/", re.IGNORECASE)
_WINDOWS = re.compile(r"[a-z]:[\\/]|\\\\\w", re.IGNORECASE)


def find_file(base: Path, written: str) -> Path:
    """Return the file that a list means by `written`, relative to `base` or absolute.

    What exists as it is written is taken so. Otherwise white space around it is left out, a
    `file:` URL, `~` and Windows' separators are resolved, and a name that differs only in how
    Unicode composes its accents is looked for in its folder.

    Raises:
        ValueError: It is no path, or it is the URL of another machine; the message says so.
    """
    if not written.strip() or "\0" in written:
        raise ValueError(f"{written!r} is not the path of an audio file")
    if _is_plain(written) or _exists(base / written):
        return base / written
    place = _from_url(written.strip())
    if place.startswith("~"):
        place = str(expand_home(place))
    if "\\" in place and not _exists(base / place):
        place = place.replace("\\", "/")
    path = base / place
    if _exists(path):
        return path
    if _WINDOWS.match(written.strip()):
        raise ValueError(
            f"{written!r} is a path of another system (a Windows drive or share); write paths "
            "relative to the list, or absolute ones of this machine"
        )
    return _find_composed(path)


def _is_plain(written: str) -> bool:
    """Tell whether there is one way to read the path, so that no disk need be asked."""
    odd = written[0] in " ~\t" or written[-1] in " \t\r" or "\\" in written or ":" in written
    return written.isascii() and not odd


def _from_url(place: str) -> str:
    # file:/a.wav is one too.
    if not _URL.match(place):
        return place
    url = urlsplit(place)
    if url.scheme != "file" or url.netloc not in ("", "localhost"):
        raise ValueError(f"{place!r} is not on this machine; fetch it, and write the file's path")
    path = unquote(url.path, errors="surrogateescape")
    # file:///C:/a.wav
    return path[1:] if path[2:3] == ":" else path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _find_composed(path: Path) -> Path:
    """Return the path with each missing part as its folder spells it, composed or decomposed."""
    if str(path).isascii():
        return path
    found = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        if not part.isascii() and not _exists(found / part):
            part = _list_names(found).get(_compose(part), part)
        found /= part
    return found if _exists(found) else path


@lru_cache(maxsize=_LISTED_FOLDERS)
def _list_names(folder: Path) -> dict[str, str]:
    try:
        return {_compose(entry.name): entry.name for entry in folder.iterdir()}
    except OSError:
        return {}


def _compose(name: str) -> str:
    return unicodedata.normalize("NFC", name)
