"""The folder of `--out-dir`: what of the inputs is left to do, and whole files of what is done."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.events import Noticed, Observer, UtteranceDone
from gaudi_asr_cli.core.formats import FORMATS
from gaudi_asr_cli.core.formats.cues import DEFAULT_STYLE, CueStyle
from gaudi_asr_cli.core.formats.record import Format
from gaudi_asr_cli.core.inference.inputs import STDIN, AudioInputs
from gaudi_asr_cli.core.run_lock import hold_lock
from gaudi_asr_cli.core.whole_files import PART_SUFFIX, make_folder
from gaudi_asr_cli.core.workflows.infer_job.committing import CommittedFiles, Committer
from gaudi_asr_cli.core.workflows.infer_job.journal import (
    FileStamp,
    Journal,
    JournalEntry,
    JournalWriter,
    read_journal,
)
from gaudi_asr_cli.core.workflows.infer_job.names import plan_names
from gaudi_asr_cli.core.workflows.infer_job.settings import check_options

JOURNAL_NAME = ".infer-journal.jsonl"
LOCK_NAME = ".infer-lock"
STOPS_WHOLE = "the files that it has written are whole, and --resume continues"
_PART = re.compile(rf"\..*\.\d+-\d+{re.escape(PART_SUFFIX)}")


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """Where transcripts go and in which formats, and what to do with those of an earlier run.

    `resume` leaves out what is done and unchanged; `retry_failed` does so too, but for what has
    failed; `overwrite` transcribes everything and replaces the files.
    """

    folder: Path
    formats: tuple[str, ...] = ("txt",)
    style: CueStyle = DEFAULT_STYLE
    resume: bool = False
    retry_failed: bool = False
    overwrite: bool = False

    @property
    def resumes(self) -> bool:
        return self.resume or self.retry_failed


@dataclass(frozen=True, slots=True)
class _Work:
    """An input that is to be transcribed: its path, the name of its files, its stamp."""

    path: str
    name: str
    stamp: FileStamp | None


class OutputFolder:
    """Writes the transcripts of inputs, in any order, and keeps the journal.

    `left` are the inputs that are to be transcribed; `failed_before` counts those that are left
    out although an earlier run has failed on them.
    """

    def __init__(
        self,
        request: OutputRequest,
        left: AudioInputs,
        work: Mapping[str, _Work],
        committer: Committer,
        failed_before: int,
    ) -> None:
        self.left = left
        self.failed_before = failed_before
        self._folder = request.folder
        self._formats = _formats_of(request)
        self._work = work
        self._committer = committer

    def write(self, done: UtteranceDone) -> None:
        """Write the files of a result soon; they are complete when the folder is closed.

        Raises:
            OSError: Files of this or an earlier result could not be written.
            UsageError: The format needs what this model does not give.
        """
        work = self._work[done.utterance_id]
        texts, stale = {}, []
        for suffix, one in self._formats.items():
            path = self._folder / f"{work.name}.{suffix}"
            if done.transcript is not None or one.writes_failures:
                texts[path] = "".join(one.write([done]))
            else:
                stale.append(path)
        entry = JournalEntry(work.path, work.stamp, work.name, done.duration_s, done.error)
        self._committer.put(CommittedFiles(texts, tuple(stale), entry))


@contextmanager
def opened_output_folder(
    request: OutputRequest,
    inputs: AudioInputs,
    options: Mapping[str, object],
    observe: Observer,
) -> Iterator[OutputFolder]:
    """Yield the folder of transcripts, locked until the block ends.

    Raises:
        UsageError: It is not empty and nothing was said about that; another process writes to it;
            its transcripts were made with other options; or a file of it would be replaced that
            is not a transcript.
        OSError: It cannot be created, or files cannot be written.
    """
    folder = request.folder
    _check_empty(request)
    is_new = not folder.exists()
    make_folder(folder)
    with ExitStack() as stack:
        stack.callback(_remove_if_empty, folder, is_new)
        stack.enter_context(hold_lock(folder / LOCK_NAME, stopped=STOPS_WHOLE))
        journal = Journal() if request.overwrite else read_journal(folder / JOURNAL_NAME)
        if journal.options is not None:
            check_options(journal.options, options, str(folder))
        root = _choose_root(journal, inputs)
        work = _plan_work(request, inputs, journal, root)
        _check_targets(request, work, is_first=journal.options is None)
        left, failed_before = _leave_out_done(request, inputs, journal, work, observe)
        _remove_parts(folder, work)
        writer = stack.enter_context(
            JournalWriter(folder / JOURNAL_NAME, options, root, new=journal.options is None)
        )
        committer = stack.enter_context(Committer(writer))
        yield OutputFolder(request, left, work, committer, failed_before)


def _formats_of(request: OutputRequest) -> dict[str, Format]:
    return {name: FORMATS.find(name).in_style(request.style) for name in request.formats}


def _check_empty(request: OutputRequest) -> None:
    folder = request.folder
    if not folder.exists() or request.resumes or request.overwrite:
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UsageError(
            f"{folder} exists already and is not an empty folder.",
            remedy="Continue an earlier run with --resume, replace its files with --overwrite, or "
            "name another --out-dir.",
        )


def _remove_if_empty(folder: Path, is_new: bool) -> None:
    # A run that failed before its first transcript leaves nothing behind.
    if is_new:
        with suppress(OSError):
            folder.rmdir()


def _choose_root(journal: Journal, inputs: AudioInputs) -> str:
    """Return the folder whose tree is mirrored: that of the journal, if it holds all inputs."""
    own = str(inputs.root)
    prefix = journal.root.rstrip("/") + "/"
    return journal.root if journal.root and f"{own}/".startswith(prefix) else own


def _plan_work(
    request: OutputRequest, inputs: AudioInputs, journal: Journal, root: str
) -> dict[str, _Work]:
    """Return the work of each input by its id; a file that was named twice has one."""
    paths = {one.id: _absolute(one.id) for one in inputs.utterances}
    unique = list(dict.fromkeys(paths.values()))
    kept = {path: one.name for path, one in journal.entries.items()}
    names = plan_names(unique, root, request.formats, kept)
    first = {path: name for name, path in reversed(paths.items())}
    return {
        one: _Work(path, names[path], _stamp(path))
        for one, path in paths.items()
        if first[path] == one
    }


def _absolute(name: str) -> str:
    return name if name == STDIN else os.path.abspath(name)  # noqa: PTH100 - links stay


def _stamp(path: str) -> FileStamp | None:
    # Standard input is another each time.
    if path == STDIN:
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 - 50,000 times
    except (OSError, ValueError):
        return None
    return FileStamp(found.st_size, found.st_mtime_ns)


def _check_targets(request: OutputRequest, work: Mapping[str, _Work], *, is_first: bool) -> None:
    """Check that no file is replaced that is an input, or that an earlier run did not write."""
    inputs = {identity for one in work.values() if (identity := _identify(one.path))}
    for one in work.values():
        for suffix in request.formats:
            target = f"{request.folder}/{one.name}.{suffix}"
            found = _identify(target)
            if found is None:
                continue
            if found in inputs:
                raise UsageError(
                    f"{target} is itself an input: its transcript would replace it.",
                    remedy="Name another --out-dir.",
                )
            if is_first and not request.overwrite:
                raise UsageError(
                    f"{target} exists already, and no earlier run of infer has written it.",
                    remedy="Name another --out-dir, or replace such files with --overwrite.",
                )


def _identify(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - 50,000 times
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _leave_out_done(
    request: OutputRequest,
    inputs: AudioInputs,
    journal: Journal,
    work: Mapping[str, _Work],
    observe: Observer,
) -> tuple[AudioInputs, int]:
    """Return the inputs that are left to do, and how many failed before and are left out."""
    done, failed, changed = set(), set(), 0
    for name, one in work.items():
        entry = journal.entries.get(one.path)
        if entry is None or one.path == STDIN:
            continue
        if entry.stamp != one.stamp:
            changed += 1
        elif entry.error is not None:
            failed.update([] if request.retry_failed else [name])
        elif _has_files(request, one):
            done.add(name)
    twice = len(inputs.utterances) - len(work)
    for notice in _describe(journal, len(work), len(done), len(failed), changed, twice):
        observe(notice)
    skipped = done | failed
    left = tuple(one for one in inputs.utterances if one.id in work and one.id not in skipped)
    kept = {one.id for one in left}
    rejected = {name: why for name, why in inputs.rejected.items() if name in kept}
    return replace(inputs, utterances=left, rejected=rejected), len(failed)


def _has_files(request: OutputRequest, work: _Work) -> bool:
    return all(
        os.path.exists(f"{request.folder}/{work.name}.{suffix}")  # noqa: PTH110 - 50,000 times
        for suffix in request.formats
    )


def _describe(
    journal: Journal, total: int, done: int, failed: int, changed: int, twice: int
) -> Iterator[Noticed]:
    if twice:
        yield Noticed(f"{twice} inputs are named twice; each is transcribed once.")
    if journal.damaged:
        yield Noticed(
            f"{journal.damaged} lines of {JOURNAL_NAME} are damaged; what they say is done again."
        )
    if done:
        yield Noticed(f"{done:,} of {total:,} inputs are done and unchanged; they are skipped.")
    if changed:
        yield Noticed(f"{changed:,} inputs have changed since and are transcribed again.")
    if failed:
        yield Noticed(
            f"{failed:,} inputs failed before and are skipped.",
            remedy="Try them again with --retry-failed.",
        )


def _remove_parts(folder: Path, work: Mapping[str, _Work]) -> None:
    """Remove the temporary files of a process that was killed."""
    parents: Sequence[str] = [os.path.dirname(one.name) for one in work.values()]  # noqa: PTH120
    for parent in dict.fromkeys(parents):
        with suppress(OSError):
            for path in (folder / parent).iterdir():
                if _PART.fullmatch(path.name):
                    path.unlink(missing_ok=True)
