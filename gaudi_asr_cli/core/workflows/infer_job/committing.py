"""Transcripts written to the disk in groups, on a thread: waiting for a disk takes milliseconds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from types import TracebackType

from gaudi_asr_cli.core.whole_files import make_folder, write_whole_files
from gaudi_asr_cli.core.workflows.infer_job.journal import JournalEntry, JournalWriter

WAITING = 64
"""Results that wait for the disk, and most of a group; they are done again after a `kill -9`."""


@dataclass(frozen=True, slots=True)
class CommittedFiles:
    """The files of an input by path, those of an earlier run to remove, and the journal's entry."""

    texts: dict[Path, str]
    stale: tuple[Path, ...]
    entry: JournalEntry


class Committer:
    """Writes files, and then the entries of the journal. Use it as a context manager.

    Leaving it waits until all is written, also after an error.

    Args:
        journal: Gets an entry when all files of an input are on the disk.
    """

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._queue: Queue[CommittedFiles | None] = Queue(WAITING)
        self._failure: BaseException | None = None
        self._folders: set[Path] = set()
        self._thread = Thread(target=self._run, name="write-transcripts", daemon=True)

    def __enter__(self) -> Committer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, at: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def put(self, files: CommittedFiles) -> None:
        """Have the files of an input written.

        Raises:
            OSError: Those of an earlier input could not be written.
        """
        if self._failure is not None:
            raise self._failure
        self._queue.put(files)

    def _run(self) -> None:
        ended = False
        while not ended:
            first = self._queue.get()
            group = [] if first is None else [first]
            ended = first is None
            with suppress(Empty):
                while not ended and len(group) < WAITING:
                    another = self._queue.get_nowait()
                    ended = another is None
                    group += [] if another is None else [another]
            if group and self._failure is None:
                try:
                    self._commit(group)
                except BaseException as failure:  # noqa: BLE001 - raised by `put` and at the end
                    self._failure = failure

    def _commit(self, group: list[CommittedFiles]) -> None:
        texts = {path: text for one in group for path, text in one.texts.items()}
        for folder in {path.parent for path in texts} - self._folders:
            make_folder(folder)
            self._folders.add(folder)
        write_whole_files(texts, errors="surrogateescape")
        for one in group:
            for path in one.stale:
                path.unlink(missing_ok=True)
        self._journal.append(one.entry for one in group)
