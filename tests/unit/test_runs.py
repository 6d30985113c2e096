import json

import pytest

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.events import Noticed, StageAdvanced
from gaudi_asr_cli.core.runs import CHECKPOINT_MARK, RunFolder
from gaudi_asr_cli.core.whole_files import write_json, write_whole


def test_a_run_folder_is_never_reused(tmp_path):
    RunFolder.create(tmp_path / "run")

    with pytest.raises(UsageError, match="exists already"):
        RunFolder.create(tmp_path / "run")


def test_a_numbered_folder_takes_the_first_free_number(tmp_path):
    (tmp_path / "demo-1").mkdir()

    folder = RunFolder.create_numbered("demo", tmp_path)

    assert folder.root == tmp_path / "demo-2"
    assert folder.root.is_dir()


def test_a_folder_in_a_place_that_is_a_file_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot be created"):
        RunFolder.create_numbered("demo", tmp_path / "file")


def test_only_a_folder_with_a_recipe_can_be_resumed(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    with pytest.raises(UsageError, match="no run to resume"):
        RunFolder.existing(folder.root)

    folder.recipe.write_text("kind: finetune-ctc")

    assert RunFolder.existing(folder.root) == folder


def test_checkpoints_without_their_marker_do_not_count(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    for step in (100, 20, 30):
        (folder.checkpoints / f"checkpoint-{step}").mkdir(parents=True)
    for step in (100, 20):
        write_json(folder.checkpoints / f"checkpoint-{step}" / CHECKPOINT_MARK, {})

    names = [checkpoint.name for checkpoint in folder.whole_checkpoints()]

    assert names == ["checkpoint-20", "checkpoint-100"]


def test_events_are_appended_as_lines_without_progress_ticks(tmp_path):
    folder = RunFolder.create(tmp_path / "run")

    for event in (Noticed("a"), StageAdvanced("read", 3), Noticed("b", "do c")):
        folder.record(event)

    lines = [json.loads(line) for line in folder.events.read_text().splitlines()]
    assert [(line["event"], line["message"]) for line in lines] == [
        ("Noticed", "a"),
        ("Noticed", "b"),
    ]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "report.json"
    write_whole(path, "old")

    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \udc80")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("names", [(), ("notes.txt",), (".lock", "recipe.yaml"), ("report.json",)])
def test_a_folder_with_anything_but_an_unfinished_start_is_not_started_in(names, tmp_path):
    root = tmp_path / "run"
    root.mkdir()
    for name in names:
        (root / name).write_text("")

    with pytest.raises(UsageError, match="exists already"):
        RunFolder.create(root)


def test_a_folder_that_a_killed_start_has_left_is_started_in(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.lock.write_text("")
    folder.logs.mkdir()

    assert RunFolder.create(folder.root) == folder


def test_only_folders_named_as_checkpoints_are_checkpoints(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    for name in ("checkpoint-2", "checkpoint-2-copy", "checkpoint-x"):
        (folder.checkpoints / name).mkdir(parents=True)
    (folder.checkpoints / "checkpoint-3").write_text("")

    assert [path.name for path in folder.all_checkpoints()] == ["checkpoint-2"]
