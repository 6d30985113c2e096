"""espeak-ng, called through ctypes (extra `demo`): it speaks, and tells how text is pronounced."""

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
# Where it changes the language in the middle it says so: (en)...(tr).
_SWITCHES = re.compile(r"\([a-z-]+\)")
_NO_STRESS = str.maketrans("", "", "ˈˌ'-")

# espeak-ng copies the path of its data into 160 bytes, cuts what is longer, and then finds nothing.
_LONGEST_DATA_PATH = 120

_OnSamples = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def read_espeak_version() -> str:
    """The version of the installed synthesiser.

    Raises:
        MachineError: The `demo` extra is not installed.
    """
    try:
        return importlib.metadata.version("espeakng-loader")
    except importlib.metadata.PackageNotFoundError:
        raise MachineError(
            "espeak-ng, which speaks the demo and knows phonemes, is not installed.",
            remedy="Run pip install 'gaudi-asr[demo]' (espeak-ng's licence is the GPL, "
            "version 3), or use your own data with --train.",
        ) from None


class Espeak:
    """An opened synthesiser; espeak-ng keeps its state per process, so open one at a time."""

    def __init__(self, library: ctypes.CDLL, data: Path) -> None:
        self._library = library
        self._variants = data / "voices" / "!v"
        self._languages = data / "lang"
        self._transcribed: list[NDArray[np.int16]] = []
        # Kept on the object: the library holds only the address.
        self._on_samples = _OnSamples(self._transcribe)
        library.espeak_SetSynthCallback(self._on_samples)
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def say(self, text: str, *, voice: str, rate_wpm: int, pitch: int) -> NDArray[np.float32]:
        """Speak `text` with a voice like `en-us+f3`.

        Args:
            text: What to say, in the language of the voice.
            voice: A language, and after `+` a variant of the voice.
            rate_wpm: Words a minute, 80 to 450.
            pitch: 0 to 99; 50 is the voice's own.

        Returns:
            Samples (T,) between -1 and 1 at `ESPEAK_RATE_HZ`. The same call gives other samples
            each time in one process: only a whole fresh process repeats itself.

        Raises:
            MachineError: There is no such voice, or espeak-ng refused a setting.
        """
        self._set_voice(voice)
        # After the voice, which brings its own rate and pitch.
        for parameter, setting in ((_PARAMETER_RATE, rate_wpm), (_PARAMETER_PITCH, pitch)):
            _check(self._library.espeak_SetParameter(parameter, setting, 0), f"the value {setting}")
        self._transcribed.clear()
        spoken = text.encode() + b"\0"
        status = self._library.espeak_Synth(
            spoken, ctypes.c_size_t(len(spoken)), 0, 0, 0, _CHARS_UTF8, None, None
        )
        _check(status, f"the text {text!r}")
        if not self._transcribed:
            return np.zeros(0, dtype=np.float32)
        return np.concatenate(self._transcribed).astype(np.float32) / np.float32(32768)

    def pronounce(self, text: str, language: str) -> tuple[str, ...]:
        """The phonemes of `text` in the International Phonetic Alphabet, without stress.

        Words that espeak-ng takes for another language are pronounced as in that one.

        Args:
            text: What is said.
            language: espeak-ng's name of it, such as `tr` or `en-us`.

        Raises:
            DataError: espeak-ng does not know the language; near ones are suggested.
        """
        self._set_language(language)
        encoded = ctypes.create_string_buffer(text.encode() + b"\0")
        rest = ctypes.c_void_p(ctypes.addressof(encoded))
        clauses: list[str] = []
        # A clause at a time; espeak-ng moves the pointer on, and sets it to null at the end.
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
                remedy=f"Near it are {near}. "
                if near
                else "Use its codes, such as tr, it, sv, de.",
            )
        self._set_voice(language)

    @cached_property
    def languages(self) -> frozenset[str]:
        """The languages that it has rules for, by the names of their files in lower case."""
        return frozenset(path.name.lower() for path in self._languages.rglob("*") if path.is_file())

    def _set_voice(self, voice: str) -> None:
        _, _, variant = voice.partition("+")
        # espeak-ng reports success for a variant that does not exist and speaks without it.
        if variant and not (self._variants / variant).is_file():
            _check(-1, f"the voice {voice}")
        _check(self._library.espeak_SetVoiceByName(voice.encode()), f"the voice {voice}")

    def _transcribe(
        self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: object
    ) -> int:
        if samples and count:
            self._transcribed.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


@contextmanager
def open_espeak() -> Iterator[Espeak]:
    """Load the library and its voices; closed on leaving.

    Raises:
        MachineError: The `demo` extra is not installed, or its library does not start here.
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
            raise _does_not_start(f"it answered {rate_hz} to espeak_Initialize for {data}")
        stack.callback(library.espeak_Terminate)
        # Seeded from the clock otherwise: breathy voices (f2, Alicia) would differ each time.
        library.espeak_ng_SetRandSeed(ctypes.c_long(0))
        yield Espeak(library, data)


@contextmanager
def _short_path(data: Path) -> Iterator[Path]:
    """The folder itself, or a link to it that is short enough for espeak-ng's buffer."""
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
            f"espeak-ng refused {subject} (status {status}).",
            remedy="Install the version that this release was tried with: espeakng-loader 0.2.4.",
        )
