"""The `demo` layout: spoken numbers, synthesised once and kept in the cache."""

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
    """The utterances of the split that `options` names; synthesised first where there are none yet.

    Args:
        path: Empty, `.` or `demo` for the set in the cache; another folder keeps its own set.
        options: `split` is `train`, `dev` or `test`, or several joined by `+`.

    Raises:
        DataError: No split is named, or there is none of that name.
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
    """Where things that can be made again are kept: GAUDI_ASR_CACHE, else the XDG cache folder."""
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
    """The folder of the demo's speech, made in about eight seconds if it is not there.

    A set is written beside its place and renamed when it is whole, under a lock: runs at the same
    time make it once, and what a killed run left is removed by the next.

    Args:
        root: Folder that holds the set's folder; the cache by default.
        observe: Told how far the synthesis is, if there is any.
        splits: What the set holds; another size is another set.

    Raises:
        MachineError: The `demo` extra is not installed.
        AsrError: The set could not be written, or the synthesiser failed.
    """
    root = find_cache_root() if root is None else root
    directory = root / f"demo-{hash_specification(splits)}"
    if _is_whole(directory):
        return directory
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f"{directory.name}.lock"):
            # Somebody else may have made it while we waited for the lock.
            if not _is_whole(directory):
                _make_demo_set(directory, splits, observe)
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


def _is_whole(directory: Path) -> bool:
    """Every file is there in its size: a tidied cache or a lost power line shows here."""
    try:
        sizes = json.loads((directory / CONTENTS_NAME).read_text())["sizes"]
        return all((directory / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The system drops this lock when its holder dies, so a killed run blocks nobody.
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_demo_set(directory: Path, splits: Sequence[DemoSplit], observe: Observer) -> None:
    """Synthesise beside `directory` and rename; the caller holds the lock."""
    prefix = f"{directory.name}.{_STALE_PREFIX}"
    for stale in directory.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=prefix, dir=directory.parent))
    try:
        _synthesise(partial, splits, observe)
        if not _is_whole(partial):
            raise _cannot_write(directory, "the synthesiser left an incomplete set")
        # Only a damaged set can stand here; rename replaces nothing but an empty folder.
        shutil.rmtree(directory, ignore_errors=True)
        partial.chmod(0o755)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _synthesise(partial: Path, splits: Sequence[DemoSplit], observe: Observer) -> None:
    """Run the synthesiser in a process of its own: only a fresh one repeats its samples."""
    started_s = time.monotonic()
    observe(StageStarted(SYNTHESIS_STAGE, float(sum(split.utterances for split in splits))))
    sizes = [f"{split.name}={split.utterances}" for split in splits]
    command = [sys.executable, "-m", "gaudi_asr_cli.core.data.synthesis", str(partial), *sizes]
    said = ""
    with subprocess.Popen(  # noqa: S603 - our own module, no words of a user in it
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
                    said = line.strip() or said
        except BaseException:
            # Ctrl-C, or an observer that failed: leave no process behind that goes on writing.
            process.kill()
            raise
    if process.returncode != 0:
        raise _explain(partial, process.returncode, said)
    observe(StageFinished(SYNTHESIS_STAGE, time.monotonic() - started_s))


def _child_environment() -> dict[str, str]:
    """Ours, plus the way to this package: it may have been found through sys.path alone."""
    package_root = str(Path(__file__).parents[4])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _explain(partial: Path, status: int, said: str) -> AsrError:
    """The synthesiser's own error where it told one, else its last line and exit status."""
    try:
        told = json.loads(said)
        reason, remedy = str(told["error"]), str(told["remedy"])
    except (ValueError, KeyError, TypeError):
        return _cannot_write(partial, f"the synthesiser ended with status {status}: {said}")
    if not remedy:
        return _cannot_write(partial, reason)
    kind = MachineError if status == MachineError.exit_code else AsrError
    return kind(reason, remedy=remedy)


def _cannot_write(directory: Path, reason: str) -> AsrError:
    return AsrError(
        f"The demo's speech could not be written under {directory.parent}: {reason}.",
        remedy="It takes 160 MB. Free some space, or name another folder in GAUDI_ASR_CACHE.",
    )


DEMO = Layout(read_demo, needs_path=False)
