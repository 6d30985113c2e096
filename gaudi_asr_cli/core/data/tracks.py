"""Audio tracks of a container: which one to read, by number or by language."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_asr_cli.core.languages import CODES_BY_NAME

_CODES = """
af afr, am amh, ar ara, as asm, az aze, ba bak, be bel, bg bul, bn ben, bo bod tib, br bre, bs bos,
ca cat, cs ces cze, cy cym wel, da dan, de deu ger, el ell gre, en eng, es spa, et est, eu eus baq,
fa fas per, fi fin, fo fao, fr fra fre, ga gle, gl glg, gu guj, ha hau, haw haw, he heb, hi hin,
hr hrv, ht hat, hu hun, hy hye arm, id ind, is isl ice, it ita, ja jpn, jw jav, jv jav, ka kat geo,
kk kaz, km khm, kn kan, ko kor, ku kur, ky kir, la lat, lb ltz, ln lin, lo lao, lt lit, lv lav,
mg mlg, mi mri mao, mk mkd mac, ml mal, mn mon, mr mar, ms msa may, mt mlt, my mya bur, ne nep,
nl nld dut, nn nno, no nor, nb nob, oc oci, or ori, pa pan, pl pol, ps pus, pt por, ro ron rum,
ru rus, rw kin, sa san, sd snd, si sin, sk slk slo, sl slv, sn sna, so som, sq sqi alb, sr srp,
su sun, sv swe, sw swa, ta tam, te tel, tg tgk, th tha, tk tuk, tl tgl, tr tur, tt tat, uk ukr,
ur urd, uz uzb, vi vie, yi yid, yo yor, yue yue, zh zho chi, zu zul
"""
"""ISO 639-1 codes and their terminological and bibliographic ISO 639-2 codes, with which
containers are tagged."""

_CANONICAL = {
    code: codes.split()[0]
    for codes in reversed(_CODES.replace("\n", " ").split(","))
    for code in codes.split()
}
_UNKNOWN = {"", "und", "mul", "zxx"}


class NoTrackError(Exception):
    """There is no such track; the message says which there are."""


def find_track(languages: Sequence[str], default: int, wanted: int | str | None) -> int:
    """Return the number of a track: `wanted`, or the first of that language, or the default.

    Args:
        languages: The language tags of the audio tracks, "" for none.
        default: The track that the container marks as its default.
        wanted: A number from 0, or a language, of which there need not be a track.

    Raises:
        NoTrackError: There is no track of that number.
        IndexError: There is no track at all.
    """
    if isinstance(wanted, int):
        if languages and wanted >= len(languages):
            raise NoTrackError(
                f"there is no audio track {wanted}, the file has {describe_tracks(languages)}"
            )
        return wanted
    if wanted:
        same = (n for n, tag in enumerate(languages) if is_language(tag, wanted))
        return next(same, default)
    return default


def is_language(tag: str, wanted: str) -> bool:
    """Return whether a container's language tag is that of `wanted`, a code or an English name."""
    first, second = (one.lower().replace("_", "-").partition("-")[0] for one in (tag, wanted))
    if first in _UNKNOWN:
        return False
    return _CANONICAL.get(first, first) == _CANONICAL.get(second, _find_code(second))


def _find_code(name: str) -> str:
    """Return the code of a language by its English name, as Whisper takes them."""
    if len(name) <= 3:
        return name
    code = CODES_BY_NAME.get(name, name)
    return _CANONICAL.get(code, code)


def describe_tracks(languages: Sequence[str]) -> str:
    """Return the number of tracks and their languages."""
    named = ", ".join(f"{n}: {tag or 'und'}" for n, tag in enumerate(languages))
    return f"{len(languages)} audio track{'s' if len(languages) != 1 else ''} ({named})"
