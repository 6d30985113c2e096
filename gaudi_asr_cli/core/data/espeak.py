"""The espeak-ng speech synthesiser, called through ctypes (extra `demo`)."""

from __future__ import annotations

import ctypes
import importlib.metadata
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.errors import AsrError, MachineError

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
            "The demo's speech synthesiser, espeak-ng, is not installed.",
            remedy="Run pip install 'gaudi-asr[demo]', or bring your own data with --train.",
        ) from None


class Espeak:
    """An opened synthesiser; espeak-ng keeps its state per process, so open one at a time."""

    def __init__(self, library: ctypes.CDLL, data: Path) -> None:
        self._library = library
        self._variants = data / "voices" / "!v"
        self._heard: list[NDArray[np.int16]] = []
        # Kept on the object: the library holds only the address.
        self._on_samples = _OnSamples(self._hear)
        library.espeak_SetSynthCallback(self._on_samples)

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
        self._heard.clear()
        spoken = text.encode() + b"\0"
        status = self._library.espeak_Synth(
            spoken, ctypes.c_size_t(len(spoken)), 0, 0, 0, _CHARS_UTF8, None, None
        )
        _check(status, f"the text {text!r}")
        if not self._heard:
            return np.zeros(0, dtype=np.float32)
        return np.concatenate(self._heard).astype(np.float32) / np.float32(32768)

    def _set_voice(self, voice: str) -> None:
        _, _, variant = voice.partition("+")
        # espeak-ng reports success for a variant that does not exist and speaks without it.
        if variant and not (self._variants / variant).is_file():
            _check(-1, f"the voice {voice}")
        _check(self._library.espeak_SetVoiceByName(voice.encode()), f"the voice {voice}")

    def _hear(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: object) -> int:
        if samples and count:
            self._heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
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
