import pytest

from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.recipes.in_place import (
    PlacedValue,
    Reading,
    place_data,
    place_model,
    place_reading,
    read_in_place,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "clean").mkdir()
    (tmp_path / "dev.jsonl").write_text("{}")
    return tmp_path


def test_a_model_is_taken_from_where_it_lies():
    replacements = read_in_place(["facebook/wav2vec2-base=models/tiny"])

    assert place_model("facebook/wav2vec2-base", replacements) == "models/tiny"
    assert place_model("facebook/wav2vec2-large", replacements) == "facebook/wav2vec2-large"


def test_a_folder_keeps_split_and_configuration_where_it_has_them(folder):
    replacements = read_in_place([f"librispeech_asr={folder}"])
    sources = ["openslr/librispeech_asr"]

    assert place_data(sources, "train.100", "clean", replacements) == PlacedValue(
        (f"{folder}#train.100",), config="clean"
    )
    assert place_data(sources, None, "other", replacements) == PlacedValue((str(folder),))


def test_a_single_file_has_neither(folder):
    file = folder / "dev.jsonl"

    placed = place_data(["a/b"], "train+test", "x", read_in_place([f"a/b={file}"]))

    assert placed == PlacedValue((str(file),))


def test_one_split_may_lie_elsewhere(folder):
    replacements = read_in_place([f"a/b={folder}", "a/b#test=t.jsonl#mine"])

    assert place_data(["a/b"], "train+test", None, replacements) == PlacedValue(
        (f"{folder}#train", "t.jsonl#mine")
    )
    assert place_data(["a/b#test"], None, None, replacements) == PlacedValue(("t.jsonl#mine",))


def test_what_is_not_replaced_keeps_its_split_and_configuration():
    placed = place_data(["a/b", "c/d"], "train", "de", read_in_place(["a/b=x#y"]))

    assert placed == PlacedValue(("x#y", "c/d#train"), config="de")
    assert place_data(["c/d"], "train", "de", ()) == PlacedValue(("c/d",), "train", "de")


def test_model_and_data_at_once():
    asked = Reading("m/n", ("a/b",), ReadOptions(split="test", text_column="sentence"))

    placed = place_reading(asked, ["m/n=model", "a/b=data"])

    assert placed == Reading("model", ("data#test",), ReadOptions(text_column="sentence"))


@pytest.mark.parametrize("word", ["x", "=x", "x=", "#a=x"])
def test_another_form_is_refused(word):
    with pytest.raises(UsageError, match="ID=PATH"):
        read_in_place([word])


def test_what_nobody_names_is_refused_with_what_is_named():
    with pytest.raises(UsageError) as caught:
        place_reading(Reading("m/n", ("a/b",), ReadOptions()), ["a/bb=x"])

    assert "m/n, a/b" in caught.value.remedy
