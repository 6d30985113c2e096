import io

import pytest

from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.inference.file_lists import read_file_list
from gaudi_asr_cli.core.inference.inputs import opened_inputs


def read(data, **options):
    return read_file_list("-", io.BytesIO(data), **options)


def test_names_stand_on_lines_and_are_taken_as_they_are(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"\xef\xbb\xbfa b.wav\r\n\n~/*.wav\ncaf\xff.wav")

    assert read_file_list(str(path), None) == ("a b.wav", "~/*.wav", "caf\udcff.wav")


def test_names_that_end_with_nul_may_hold_line_feeds():
    assert read(b"a\nb.wav\0 c.wav\0", null=True) == ("a\nb.wav", " c.wav")


def test_names_that_end_with_nul_need_the_option():
    with pytest.raises(UsageError) as error:
        read(b"a.wav\0b.wav\0")

    assert "--null" in error.value.remedy


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\0"])
def test_an_empty_list_is_an_error(data):
    with pytest.raises(DataError, match="names no file"):
        read(data, null=b"\0" in data)


def test_a_list_that_cannot_be_read_is_named(tmp_path):
    for name, problem in ((tmp_path / "gone", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(DataError, match=problem) as error:
            read_file_list(str(name), None)

        assert f"--files-from {name}" in error.value.message


def test_listed_folders_are_searched_and_a_missing_file_is_only_an_error_of_its_own(tmp_path):
    for name in ("a/x.wav", "b/y[1].wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")
    names = [str(tmp_path / one) for one in ("a", "b/y[1].wav", "b/gone.wav")]

    with opened_inputs((), None, listed=names) as inputs:
        found = [one.id.removeprefix(f"{tmp_path}/") for one in inputs.utterances]

        assert found == ["a/x.wav", "b/y[1].wav", "b/gone.wav"]
        assert [*inputs.rejected] == [names[2]]
        assert inputs.root == tmp_path


@pytest.mark.parametrize(
    ("sources", "root"),
    [
        (["in"], "in"),
        (["in/a"], "in/a"),
        (["in/a", "in/b"], "in"),
        (["in/a/x.wav"], "in/a"),
        (["in/a/x.wav", "in/b/x.wav"], "in"),
        (["in/*/x.wav"], "in"),
        (["in/a/../b/x.wav"], "in/b"),
    ],
)
def test_the_root_is_the_folder_that_all_sources_lie_in(tmp_path, sources, root):
    for name in ("in/a/x.wav", "in/b/x.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"1")

    with opened_inputs([f"{tmp_path}/{one}" for one in sources], None) as inputs:
        assert inputs.root == tmp_path / root


def test_relative_names_of_a_list_keep_their_folders_whatever_else_the_list_names(
    tmp_path, monkeypatch
):
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/a/x.wav").write_bytes(b"1")
    monkeypatch.chdir(tmp_path / "in")

    for names, root in ((["a/x.wav"], "in"), (["./a"], "in"), (["../in/a/x.wav"], "in")):
        with opened_inputs((), None, listed=names) as inputs:
            assert inputs.root == tmp_path / root
    with opened_inputs((), None, listed=["../y.wav", "a/x.wav"]) as inputs:
        assert inputs.root == tmp_path
