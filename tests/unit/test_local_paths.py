import pytest

from gaudi_asr_cli.core.local_paths import hide_local_path, hide_local_paths, is_local_path


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("/home/me/data/train.jsonl", "/path/to/train.jsonl"),
        ("manifest:/data/x/train.jsonl#a+b", "manifest:/path/to/train.jsonl#a+b"),
        ("~/corpus/", "/path/to/corpus"),
        ("./models/mine", "/path/to/mine"),
        ("../mine", "/path/to/mine"),
        (r"C:\data\train.csv", "/path/to/train.csv"),
        ("file:///data/x", "/path/to/x"),
    ],
)
def test_a_local_path_keeps_only_its_name(text, hidden):
    assert hide_local_path(text) == hidden
    assert hide_local_path(hidden) == hidden


@pytest.mark.parametrize(
    "text",
    ["openai/whisper-small", "openslr/librispeech_asr#train.100", "demo", "/", "|", "</s>", "",
     "https://example.org/a", "a/b: c", "/s", "3.0e-4", "and/or"],
)  # fmt: skip
def test_other_text_is_unchanged(text):
    assert hide_local_path(text) == text
    assert not is_local_path(text)


def test_a_relative_path_that_exists_is_local(tmp_path, monkeypatch):
    (tmp_path / "runs/mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert hide_local_path("runs/mine") == "/path/to/mine"


def test_values_at_any_depth_are_hidden():
    value = {"a": ["/home/me/x", 1, None], "b": {"c": "/home/me/y"}}

    assert hide_local_paths(value) == {"a": ["/path/to/x", 1, None], "b": {"c": "/path/to/y"}}
