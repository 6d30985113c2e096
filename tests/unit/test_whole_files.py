"""Files are whole or not there: full disks, failures, names that exist."""

import errno
import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from gaudi_asr_cli.core.whole_files import (
    make_folder,
    open_whole,
    open_whole_folder,
    remove_parts,
    write_json,
    write_whole,
)


@contextmanager
def full_disk(limit=4096):
    """Let no file grow beyond a size: the system's own error in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_where_none_can_be_created_is_named():
    with pytest.raises(PermissionError) as raised:
        make_folder(Path("/proc/none/folder"))

    assert raised.value.filename == "/proc/none/folder"


def test_a_full_disk_leaves_the_old_file_and_the_error_names_it(tmp_path):
    path = tmp_path / "report.json"
    write_whole(path, "old")

    with full_disk(), pytest.raises(OSError, match="File too large") as raised:
        write_json(path, {"text": "x" * 100_000})

    assert raised.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_in_the_block_leaves_no_file(tmp_path):
    def write_half():
        with open_whole(tmp_path / "a.csv") as file:
            file.write("half")
            raise KeyError("b")

    with pytest.raises(KeyError):
        write_half()

    assert list(tmp_path.iterdir()) == []


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as raised, open_whole(tmp_path / "a.csv"):
        (tmp_path / "missing").read_text()

    assert raised.value.filename == str(tmp_path / "missing")


def test_a_new_file_never_replaces_one(tmp_path):
    path = tmp_path / "bench.json"
    path.write_text("old")

    with pytest.raises(FileExistsError), open_whole(path, new=True) as file:
        file.write("new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_is_written_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)

    with open_whole(tmp_path / "a", new=True) as file:
        file.write("new")

    assert (tmp_path / "a").read_text() == "new"


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    path = tmp_path / ("é" * 127)

    write_whole(path, "text")

    assert path.read_text() == "text"


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_appears_with_all_its_files(exists, tmp_path, monkeypatch):
    out = tmp_path / "model"
    if exists:
        out.mkdir()
        monkeypatch.chdir(out)

    with open_whole_folder(out.relative_to(out) if exists else out) as folder:
        (folder / "a").write_text("a")
        (folder / "b").write_text("b")
        assert not (out / "a").exists()

    assert {path.name for path in out.iterdir()} == {"a", "b"}
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_failed_leaves_what_was_there(exists, tmp_path):
    out = tmp_path / "model"
    if exists:
        out.mkdir()
        (out / "a").write_text("old")

    def write_half():
        with open_whole_folder(out) as folder:
            (folder / "a").write_text("new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space") as raised:
        write_half()

    assert raised.value.filename == str(out)
    assert [path.read_text() for path in tmp_path.rglob("a")] == (["old"] if exists else [])
    assert {path.name for path in tmp_path.iterdir()} == ({"model"} if exists else set())


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".report.json.12.part").write_text("half")
    (tmp_path / ".model.12.part").mkdir()
    (tmp_path / "report.json").write_text("whole")

    remove_parts(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
