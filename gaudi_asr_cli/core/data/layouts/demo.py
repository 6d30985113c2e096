"""The `demo` layout: spoken digits, synthesised once and kept in the cache."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.data.layouts.options import Layout
from gaudi_asr_cli.core.data.synthesis import (
    CONTENTS_NAME,
    DEMO_SPLITS,
    DemoSplit,
    hash_specification,
)
from gaudi_asr_cli.core.errors import AsrError, DataError, MachineError
from gaudi_asr_cli.core.events import (
    Observer,
    StageAdvanced,
    StageFinished,
    StageStarted,
    ignore,
)
from gaudi_asr_cli.core.records import AudioSpan, Utterance

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gaudi_asr_cli.core.data.layouts.options import ReadOptions

SYNTHESIS_STAGE = "synthesise"
_STALE_PREFIX = "partial-"


def read_demo(path: Path | str, options: ReadOptions) -> Iterator[Utterance]:
    """Read the utterances of the split that `options` names, after synthesising the set if needed.

    Args:
        path: Empty, `.` or `demo` for the set in the cache; another folder has a set of its own.
        options: `split` is `train`, `dev` or `test`, or several joined by `+`.

    Raises:
        DataError: No split is given, or there is none of that name.
        MachineError: The `demo` extra is not installed.
        AsrError: The set could not be written.
    """
    names = _split_names(options.split)
    root = find_cache_root() if str(path) in {"", ".", "demo"} else Path(path)
    return _read_splits(root, names)


def _read_splits(root: Path, names: Sequence[str]) -> Iterator[Utterance]:
    directory = ensure_demo_set(root)
    for name in names:
        with (directory / f"{name}.jsonl").open(encoding="utf-8") as manifest:
            for line in manifest:
                yield _read_line(directory, json.loads(line))


def find_cache_root() -> Path:
    """Return the folder of reproducible files: GAUDI_ASR_CACHE, else the XDG cache folder."""
    named = os.environ.get("GAUDI_ASR_CACHE")
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "gaudi-asr"


def ensure_demo_set(
    root: Path | None = None,
    observe: Observer = ignore,
    splits: Sequence[DemoSplit] = DEMO_SPLITS,
) -> Path:
    """Return the folder of the demo set, after synthesising it (about eight seconds) if needed.

    A set is written to a temporary folder and renamed when it is complete, under a lock:
    concurrent runs create it once, and the next run removes what a killed one left.

    Args:
        root: Parent of the set's folder; the cache by default.
        observe: Receives the progress of the synthesis.
        splits: Splits of the set; another size is another set.

    Raises:
        MachineError: The `demo` extra is not installed.
        AsrError: The set could not be written, or the synthesiser failed.
    """
    root = find_cache_root() if root is None else root
    directory = root / f"demo-{hash_specification(splits)}"
    if _is_complete(directory):
        return directory
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f"{directory.name}.lock"):
            # Another process may have created it while this one waited for the lock.
            if not _is_complete(directory):
                _create_demo_set(directory, splits, observe)
    except OSError as error:
        raise _cannot_write(directory, error.strerror or str(error)) from error
    return directory


def _split_names(split: str | None) -> list[str]:
    known = [split.name for split in DEMO_SPLITS]
    names = split.split("+") if split else []
    unknown = [name for name in names if name not in known]
    if names and not unknown:
        return names
    what = f"The demo has no split {unknown[0]!r}." if unknown else "The demo has several splits."
    raise DataError(what, remedy=f"Name one of {', '.join(known)}: demo#{known[-1]} for example.")


def _read_line(directory: Path, line: dict[str, str]) -> Utterance:
    path = directory / line["audio_filepath"]
    span = AudioSpan(path, duration_s=float(line["duration"]))
    return Utterance(path.stem, span, text=line["text"], speaker=line["speaker"])


def _is_complete(directory: Path) -> bool:
    """Return whether every file exists in its full size, unlike in a half-cleaned cache."""
    try:
        sizes = json.loads((directory / CONTENTS_NAME).read_text())["sizes"]
        return all((directory / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The system releases this lock when its holder dies, so a killed run blocks no other.
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _create_demo_set(directory: Path, splits: Sequence[DemoSplit], observe: Observer) -> None:
    """Synthesise into a sibling of `directory` and rename it; the caller holds the lock."""
    prefix = f"{directory.name}.{_STALE_PREFIX}"
    for stale in directory.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=prefix, dir=directory.parent))
    try:
        _synthesise(partial, splits, observe)
        if not _is_complete(partial):
            raise _cannot_write(directory, "the synthesiser left an incomplete set")
        # Only a damaged set can be here; rename replaces nothing but an empty folder.
        shutil.rmtree(directory, ignore_errors=True)
        partial.chmod(0o755)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _synthesise(partial: Path, splits: Sequence[DemoSplit], observe: Observer) -> None:
    """Run the synthesiser in a process of its own: only a new one reproduces its samples."""
    started_s = time.monotonic()
    observe(StageStarted(SYNTHESIS_STAGE, float(sum(split.utterances for split in splits))))
    sizes = [f"{split.name}={split.utterances}" for split in splits]
    command = [sys.executable, "-m", "gaudi_asr_cli.core.data.synthesis", str(partial), *sizes]
    last_line = ""
    with subprocess.Popen(  # noqa: S603 - our own module, without user input
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_child_environment(),
    ) as process:
        try:
            for line in process.stdout or ():
                if line.strip().isdecimal():
                    observe(StageAdvanced(SYNTHESIS_STAGE, float(line)))
                else:
                    last_line = line.strip() or last_line
        except BaseException:
            # Ctrl-C, or an observer that failed: do not leave a process that keeps writing.
            process.kill()
            raise
    if process.returncode != 0:
        raise _explain(partial, process.returncode, last_line)
    observe(StageFinished(SYNTHESIS_STAGE, time.monotonic() - started_s))


def _child_environment() -> dict[str, str]:
    """Return our environment with the path of this package, which may be on sys.path only."""
    package_root = str(Path(__file__).parents[4])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _explain(partial: Path, status: int, last_line: str) -> AsrError:
    """Return the synthesiser's own error if it reported one, else its last line and exit status."""
    try:
        report = json.loads(last_line)
        reason, remedy = str(report["error"]), str(report["remedy"])
    except (ValueError, KeyError, TypeError):
        return _cannot_write(partial, f"the synthesiser ended with status {status}: {last_line}")
    if not remedy:
        return _cannot_write(partial, reason)
    kind = MachineError if status == MachineError.exit_code else AsrError
    return kind(reason, remedy=remedy)


def _cannot_write(directory: Path, reason: str) -> AsrError:
    return AsrError(
        f"The demo set could not be written under {directory.parent}: {reason}.",
        remedy="It takes 160 MB. Free some space, or set GAUDI_ASR_CACHE to another folder.",
    )


DEMO = Layout(read_demo, needs_path=False)
