"""Resolve a path in a list to a file: other systems' separators, URLs, Unicode composition."""

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
    """Return the file that a list refers to as `written`, relative to `base` or absolute.

    A path that exists as written is taken as it is. Otherwise surrounding white space is removed,
    `file:` URLs, `~` and Windows separators are resolved, and a name that differs only in how
    Unicode composes its accents is looked up in its folder.

    Raises:
        ValueError: It is not a path, or the URL of another machine; the message gives the reason.
    """
    if not written.strip() or "\0" in written:
        raise ValueError(f"{written!r} is not the path of an audio file")
    if _is_plain(written) or _exists(base / written):
        return base / written
    location = _from_url(written.strip())
    if location.startswith("~"):
        location = str(expand_home(location))
    if "\\" in location and not _exists(base / location):
        location = location.replace("\\", "/")
    path = base / location
    if _exists(path):
        return path
    if _WINDOWS.match(written.strip()):
        raise ValueError(
            f"{written!r} is a path of another system (a Windows drive or share); write paths "
            "relative to the list, or absolute ones of this machine"
        )
    return _find_composed(path)


def _is_plain(written: str) -> bool:
    """Return whether the path can be read in only one way, so that no disk access is needed."""
    odd = written[0] in " ~\t" or written[-1] in " \t\r" or "\\" in written or ":" in written
    return written.isascii() and not odd


def _from_url(location: str) -> str:
    # file:/a.wav is one too.
    if not _URL.match(location):
        return location
    url = urlsplit(location)
    if url.scheme != "file" or url.netloc not in ("", "localhost"):
        raise ValueError(
            f"{location!r} is not on this machine; download it, and write the file's path"
        )
    path = unquote(url.path, errors="surrogateescape")
    # file:///C:/a.wav
    return path[1:] if path[2:3] == ":" else path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _find_composed(path: Path) -> Path:
    """Return the path with each missing part as it is on disk, composed or decomposed."""
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
