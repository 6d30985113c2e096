"""espeak-ng through ctypes (extra `demo`): speech synthesis and grapheme-to-phoneme conversion."""

from __future__ import annotations

import ctypes
import difflib
import importlib.metadata
import re
import tempfile
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.errors import AsrError, DataError, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ESPEAK_RATE_HZ = 22_050

# Numbers of espeak-ng's speak_lib.h.
_OUTPUT_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3

# International alphabet (2), and a space between phonemes (bits 8 to 23).
_IPA_SPACED = 0x02 | ord(" ") << 8
# Language switches within the text are marked: (en)...(tr).
_SWITCHES = re.compile(r"\([a-z-]+\)")
_NO_STRESS = str.maketrans("", "", "ˈˌ'-")

# espeak-ng truncates the path of its data to 160 bytes, and then finds nothing.
_LONGEST_DATA_PATH = 120

_OnSamples = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def read_espeak_version() -> str:
    """Return the version of the installed espeak-ng.

    Raises:
        MachineError: The `demo` extra is not installed.
    """
    try:
        return importlib.metadata.version("espeakng-loader")
    except importlib.metadata.PackageNotFoundError:
        raise MachineError(
            "espeak-ng, which the demo and phoneme models need, is not installed.",
            remedy="Run pip install 'gaudi-asr[demo]' (the licence of espeak-ng is GPL-3), "
            "or use your own data with --train.",
        ) from None


class Espeak:
    """An open synthesiser; espeak-ng keeps its state per process, so open one at a time."""

    def __init__(self, library: ctypes.CDLL, data: Path) -> None:
        self._library = library
        self._variants = data / "voices" / "!v"
        self._languages = data / "lang"
        self._chunks: list[NDArray[np.int16]] = []
        # Kept on the object: the library holds only the address.
        self._on_samples = _OnSamples(self._collect)
        library.espeak_SetSynthCallback(self._on_samples)
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def synthesise(
        self, text: str, *, voice: str, rate_wpm: int, pitch: int
    ) -> NDArray[np.float32]:
        """Synthesise `text` with a voice like `en-us+f3`.

        Args:
            text: Text in the language of the voice.
            voice: A language, and after `+` a variant of the voice.
            rate_wpm: Words per minute, 80 to 450.
            pitch: 0 to 99; 50 is the default of the voice.

        Returns:
            Samples (T,) between -1 and 1 at `ESPEAK_RATE_HZ`. Repeated calls in one process give
            different samples: only a new process reproduces them.

        Raises:
            AsrError: There is no such voice, or espeak-ng rejects a setting.
        """
        self._set_voice(voice)
        # After the voice, which sets its own rate and pitch.
        for parameter, setting in ((_PARAMETER_RATE, rate_wpm), (_PARAMETER_PITCH, pitch)):
            _check(self._library.espeak_SetParameter(parameter, setting, 0), f"the value {setting}")
        self._chunks.clear()
        encoded = text.encode() + b"\0"
        status = self._library.espeak_Synth(
            encoded, ctypes.c_size_t(len(encoded)), 0, 0, 0, _CHARS_UTF8, None, None
        )
        _check(status, f"the text {text!r}")
        if not self._chunks:
            return np.zeros(0, dtype=np.float32)
        return np.concatenate(self._chunks).astype(np.float32) / np.float32(32768)

    def pronounce(self, text: str, language: str) -> tuple[str, ...]:
        """Return the phonemes of `text` in the International Phonetic Alphabet, without stress.

        Words that espeak-ng attributes to another language are pronounced as in that language.

        Args:
            text: Text to convert.
            language: espeak-ng's code of the language, such as `tr` or `en-us`.

        Raises:
            DataError: espeak-ng does not know the language; similar codes are suggested.
        """
        self._set_language(language)
        encoded = ctypes.create_string_buffer(text.encode() + b"\0")
        rest = ctypes.c_void_p(ctypes.addressof(encoded))
        clauses: list[str] = []
        # One clause per call; espeak-ng advances the pointer, and sets it to null at the end.
        while rest.value:
            clause = self._library.espeak_TextToPhonemes(
                ctypes.byref(rest), _CHARS_UTF8, _IPA_SPACED
            )
            clauses.append((clause or b"").decode())
        plain = _SWITCHES.sub(" ", " ".join(clauses)).translate(_NO_STRESS)
        return tuple(plain.split())

    def _set_language(self, language: str) -> None:
        known = self.languages
        if language.lower() not in known:
            near = ", ".join(difflib.get_close_matches(language.lower(), known, n=3, cutoff=0.4))
            raise DataError(
                f"espeak-ng knows no language {language!r}.",
                remedy=f"Similar ones are {near}. "
                if near
                else "Use its codes, such as tr, it, sv, de.",
            )
        self._set_voice(language)

    @cached_property
    def languages(self) -> frozenset[str]:
        """The languages it has rules for, by the names of their files in lower case."""
        return frozenset(path.name.lower() for path in self._languages.rglob("*") if path.is_file())

    def _set_voice(self, voice: str) -> None:
        _, _, variant = voice.partition("+")
        # espeak-ng reports success for a variant that does not exist and speaks without it.
        if variant and not (self._variants / variant).is_file():
            _check(-1, f"the voice {voice}")
        _check(self._library.espeak_SetVoiceByName(voice.encode()), f"the voice {voice}")

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: object) -> int:
        if samples and count:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


@contextmanager
def open_espeak() -> Iterator[Espeak]:
    """Load the library and its voices, and close it on leaving.

    Raises:
        MachineError: The `demo` extra is not installed, or its library cannot be loaded.
    """
    read_espeak_version()
    import espeakng_loader

    with ExitStack() as stack:
        data = stack.enter_context(_short_path(Path(espeakng_loader.get_data_path())))
        try:
            library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise _does_not_start(str(error)) from error
        rate_hz = library.espeak_Initialize(
            _OUTPUT_SYNCHRONOUS, 0, str(data).encode(), _DO_NOT_EXIT
        )
        if rate_hz != ESPEAK_RATE_HZ:
            raise _does_not_start(f"espeak_Initialize returned {rate_hz} for {data}")
        stack.callback(library.espeak_Terminate)
        # Without this the clock is the seed: breathy voices (f2, Alicia) would differ each time.
        library.espeak_ng_SetRandSeed(ctypes.c_long(0))
        yield Espeak(library, data)


@contextmanager
def _short_path(data: Path) -> Iterator[Path]:
    """Yield the folder itself, or a link to it that is short enough for espeak-ng's buffer."""
    if len(str(data).encode()) <= _LONGEST_DATA_PATH:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="espeak-") as folder:
        link = Path(folder) / data.name
        link.symlink_to(data)
        yield link


def _does_not_start(reason: str) -> MachineError:
    return MachineError(
        f"The speech synthesiser espeak-ng does not start on this machine: {reason}.",
        remedy="Reinstall it with pip install --force-reinstall espeakng-loader.",
    )


def _check(status: int, subject: str) -> None:
    if status != 0:
        raise AsrError(
            f"espeak-ng rejected {subject} (status {status}).",
            remedy="Install the version that this release was tested with: espeakng-loader 0.2.4.",
        )
