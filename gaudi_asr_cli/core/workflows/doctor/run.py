"""`doctor`: report devices, versions, audio decoders, hub access, caches and free space."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.errors import AsrError, MachineError
from gaudi_asr_cli.core.workflows.doctor.findings import DoctorFinding, State
from gaudi_asr_cli.core.workflows.doctor.gaudi import examine_gaudi

if TYPE_CHECKING:
    from gaudi_asr_cli.core.devices.base import DeviceSpec

PROBE_TIMEOUT_S = 3.0
_PACKAGES = (
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "optimum-habana",
    "numpy",
    "soundfile",
    "av",
    "soxr",
    "jiwer",
    "llvmlite",
    "safetensors",
    "typer",
)
_OPTIONAL_PACKAGES = {"optimum-habana", "llvmlite"}
_AUDIO_SUFFIXES = ("wav", "flac", "mp3")
_IMPORT_ERRORS = (ImportError, OSError, RuntimeError, AttributeError, ValueError)
"""Raised by the import of a package that is missing or broken, or whose dependency is."""
_GIB = 1024**3
_LITTLE_DISK_BYTES = 2 * _GIB


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All findings, in the order they are shown."""

    findings: tuple[DoctorFinding, ...]

    @property
    def healthy(self) -> bool:
        return all(finding.state is not State.broken for finding in self.findings)

    @property
    def exit_code(self) -> int:
        return 0 if self.healthy else MachineError.exit_code

    def to_json(self) -> dict[str, Any]:
        groups: dict[str, dict[str, Any]] = {}
        for finding in self.findings:
            entry = asdict(finding)
            del entry["group"], entry["name"]
            groups.setdefault(finding.group, {})[finding.name] = entry
        return {"schema": "doctor/1", "healthy": self.healthy, **groups}


def doctor(*, hub_timeout_s: float = PROBE_TIMEOUT_S) -> DoctorReport:
    """Examine everything; takes seconds, also without a network.

    Args:
        hub_timeout_s: How long to wait for the hub.
    """
    return DoctorReport(
        (
            *examine_devices(),
            *examine_gaudi(),
            *examine_versions(),
            *examine_audio(),
            *examine_reach(hub_timeout_s),
            *examine_space(),
        )
    )


def examine_devices() -> Iterator[DoctorFinding]:
    """Yield a finding for each device, opened briefly, in the order of `--device auto`."""
    from gaudi_asr_cli.core.devices import DEVICES

    for name, spec in DEVICES.items():
        yield _examine_device(name, spec)
        if spec.describe is not None:
            yield DoctorFinding("devices", f"{name} features", State.works, spec.describe())
        if spec.explain_dtype is not None:
            detail = f"--dtype auto is {spec.explain_dtype()}"
            yield DoctorFinding("devices", f"{name} dtype", State.works, detail)


def _examine_device(name: str, spec: DeviceSpec) -> DoctorFinding:
    try:
        device = spec.open()
    except MachineError as error:
        return DoctorFinding("devices", name, State.absent, error.message, error.remedy)
    except _IMPORT_ERRORS as error:
        missing = getattr(error, "name", None) or type(error).__name__
        remedy = f"pip install --force-reinstall {missing if missing in _PACKAGES else 'gaudi-asr'}"
        return DoctorFinding("devices", name, State.broken, f"cannot be opened: {error}", remedy)
    detail = f"{device.description}, --dtype auto is {device.choose_dtype('auto')}"
    return DoctorFinding("devices", name, State.works, detail)


def examine_versions() -> Iterator[DoctorFinding]:
    """Yield the versions of Python and of each package in use."""
    yield DoctorFinding("versions", "python", State.works, platform.python_version())
    for package in _PACKAGES:
        yield _examine_package(package)


def _examine_package(package: str) -> DoctorFinding:
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        version = None
    if package in _OPTIONAL_PACKAGES:
        remedy = "On a Gaudi machine: pip install 'gaudi-asr[gaudi]'"
        found = (
            (State.absent, "not installed", remedy) if version is None else (State.works, version)
        )
        return DoctorFinding("versions", package, *found)
    reason = _why_not_importable(package)
    if reason is None:
        return DoctorFinding("versions", package, State.works, version or "of unknown version")
    detail = "not installed" if version is None else f"{version}, but not importable: {reason}"
    remedy = f"pip install {'' if version is None else '--force-reinstall '}{package}"
    return DoctorFinding("versions", package, State.broken, detail, remedy)


def _why_not_importable(package: str) -> str | None:
    try:
        importlib.import_module(package)
    except _IMPORT_ERRORS as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return None


def examine_audio() -> Iterator[DoctorFinding]:
    """Write a second of audio in each format and decode it as the commands do."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in _AUDIO_SUFFIXES:
            yield _examine_decoder(Path(folder) / f"tone.{suffix}")
    yield _examine_espeak()


def _examine_decoder(path: Path) -> DoctorFinding:
    name = path.suffix[1:]
    remedy = "pip install --force-reinstall soundfile av soxr"
    try:
        detail, correct = _decode_tone(path)
    except (AsrError, *_IMPORT_ERRORS) as error:
        return DoctorFinding("audio", name, State.broken, str(error), remedy)
    return DoctorFinding(
        "audio", name, State.works if correct else State.broken, detail, remedy * (not correct)
    )


def _decode_tone(path: Path) -> tuple[str, bool]:
    """Decode a second of a 440 Hz stereo tone; return the result and whether it is correct."""
    import numpy as np
    import soundfile

    from gaudi_asr_cli.core.data.audio import load_audio
    from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan

    times_s = np.arange(44_100) / 44_100
    tone = np.float32(0.5) * np.sin(2 * np.pi * 440 * times_s).astype(np.float32)
    soundfile.write(path, np.stack([tone, tone], axis=1), 44_100)
    samples = load_audio(AudioSpan(path)).samples
    peak_hz = int(np.abs(np.fft.rfft(samples)).argmax()) * SAMPLE_RATE_HZ / len(samples)
    correct = abs(len(samples) / SAMPLE_RATE_HZ - 1.0) < 0.1 and abs(peak_hz - 440) < 5
    duration_s = len(samples) / SAMPLE_RATE_HZ
    return f"decoded {duration_s:.2f} s, peak at {peak_hz:.0f} Hz (expected 440)", correct


def _examine_espeak() -> DoctorFinding:
    name, remedy = "espeak-ng (demo)", "pip install 'gaudi-asr[demo]'"
    if importlib.util.find_spec("espeakng_loader") is None:
        return DoctorFinding(
            "audio", name, State.absent, "not installed: no synthetic speech", remedy
        )
    import espeakng_loader

    library = Path(espeakng_loader.get_library_path())
    if library.exists():
        return DoctorFinding("audio", name, State.works, f"library at {library}")
    return DoctorFinding("audio", name, State.broken, f"its library is not at {library}", remedy)


def examine_reach(timeout_s: float) -> Iterator[DoctorFinding]:
    """Yield whether the hub answers, and where models and datasets are cached."""
    try:
        from huggingface_hub import constants
    except _IMPORT_ERRORS as error:
        remedy = "pip install --force-reinstall huggingface_hub"
        yield DoctorFinding(
            "reach", "hub", State.broken, f"huggingface_hub cannot be imported: {error}", remedy
        )
        return
    yield _examine_hub(constants.ENDPOINT, timeout_s, offline=bool(constants.HF_HUB_OFFLINE))
    yield _examine_cache("model cache", Path(constants.HF_HUB_CACHE))
    datasets_cache = os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets"
    yield _examine_cache("dataset cache", Path(datasets_cache))


def _examine_hub(endpoint: str, timeout_s: float, *, offline: bool) -> DoctorFinding:
    if offline:
        return DoctorFinding(
            "reach", "hub", State.absent, "HF_HUB_OFFLINE is set: only the cache is used"
        )
    answers: list[str] = []
    # In a thread, because a DNS lookup has no timeout of its own.
    request = threading.Thread(target=_ping, args=(endpoint, timeout_s, answers), daemon=True)
    request.start()
    request.join(timeout_s)
    answer = answers[0] if answers else f"no answer within {timeout_s:g} s"
    if answer == "":
        return DoctorFinding("reach", "hub", State.works, f"{endpoint} answers")
    remedy = "Local files, --model demo and what is in the cache work without it."
    return DoctorFinding("reach", "hub", State.absent, f"{endpoint}: {answer}", remedy)


def _ping(endpoint: str, timeout_s: float, answers: list[str]) -> None:
    """Append "" to `answers` if the hub answers, otherwise the reason."""
    if not endpoint.startswith(("http://", "https://")):
        answers.append("not a web address (HF_ENDPOINT)")
        return
    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 - checked above
    try:
        urllib.request.urlopen(request, timeout=timeout_s).close()  # noqa: S310 - checked above
    except urllib.error.HTTPError as error:
        answers.append("" if error.code < 500 else f"answers with {error.code}")
    except (OSError, ValueError) as error:
        answers.append(str(getattr(error, "reason", error)))
    else:
        answers.append("")


def _examine_cache(name: str, folder: Path) -> DoctorFinding:
    nearest = next(path for path in [folder, *folder.parents] if path.exists())
    if not os.access(nearest, os.W_OK):
        remedy = "Set HF_HOME to a folder that can be written."
        return DoctorFinding("reach", name, State.broken, f"{folder} cannot be written", remedy)
    entries = sum(1 for path in folder.glob("*--*")) if folder.exists() else 0
    return DoctorFinding("reach", name, State.works, f"{folder} ({entries} cached)")


def examine_space() -> Iterator[DoctorFinding]:
    """Yield the free disk space of the current folder, and the memory."""
    here = Path.cwd()
    free_bytes = shutil.disk_usage(here).free
    state = State.works if free_bytes > _LITTLE_DISK_BYTES else State.broken
    remedy = (
        "" if state is State.works else "A fine-tuned base model and its checkpoints need 4 GiB."
    )
    yield DoctorFinding(
        "space", "disk", state, f"{free_bytes / _GIB:.1f} GiB free in {here}", remedy
    )
    yield DoctorFinding("space", "memory", State.works, _describe_memory())


def _describe_memory() -> str:
    available, total = _memory_bytes()
    if total is None:
        return "unknown on this system"
    return (
        f"{available / _GIB:.1f} GiB available of {total / _GIB:.1f} GiB"
        if available
        else (f"{total / _GIB:.1f} GiB")
    )


def _memory_bytes() -> tuple[int | None, int | None]:
    """Return (available, total), at most the limit of the container."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None, None
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    total, available = kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024
    limit = _container_limit_bytes()
    return (min(available, limit), min(total, limit)) if limit else (available, total)


def _container_limit_bytes() -> int | None:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() else None
    return None
