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


def test_a_model_is_replaced_by_its_local_path():
    replacements = read_in_place(["facebook/wav2vec2-base=models/tiny"])

    assert place_model("facebook/wav2vec2-base", replacements) == "models/tiny"
    assert place_model("facebook/wav2vec2-large", replacements) == "facebook/wav2vec2-large"


def test_a_folder_keeps_its_split_and_an_existing_configuration(folder):
    replacements = read_in_place([f"librispeech_asr={folder}"])
    sources = ["openslr/librispeech_asr"]

    assert place_data(sources, "train.100", "clean", replacements) == PlacedValue(
        (f"{folder}#train.100",), config="clean"
    )
    assert place_data(sources, None, "other", replacements) == PlacedValue((str(folder),))


def test_a_single_file_has_no_split_and_configuration(folder):
    file = folder / "dev.jsonl"

    placed = place_data(["a/b"], "train+test", "x", read_in_place([f"a/b={file}"]))

    assert placed == PlacedValue((str(file),))


def test_one_split_can_be_replaced(folder):
    replacements = read_in_place([f"a/b={folder}", "a/b#test=t.jsonl#mine"])

    assert place_data(["a/b"], "train+test", None, replacements) == PlacedValue(
        (f"{folder}#train", "t.jsonl#mine")
    )
    assert place_data(["a/b#test"], None, None, replacements) == PlacedValue(("t.jsonl#mine",))


def test_other_sources_keep_their_split_and_configuration():
    placed = place_data(["a/b", "c/d"], "train", "de", read_in_place(["a/b=x#y"]))

    assert placed == PlacedValue(("x#y", "c/d#train"), config="de")
    assert place_data(["c/d"], "train", "de", ()) == PlacedValue(("c/d",), "train", "de")


def test_model_and_data_are_replaced_together():
    reading = Reading("m/n", ("a/b",), ReadOptions(split="test", text_column="sentence"))

    placed = place_reading(reading, ["m/n=model", "a/b=data"])

    assert placed == Reading("model", ("data#test",), ReadOptions(text_column="sentence"))


@pytest.mark.parametrize("word", ["x", "=x", "x=", "#a=x"])
def test_another_form_is_rejected(word):
    with pytest.raises(UsageError, match="ID=PATH"):
        read_in_place([word])


def test_an_unused_id_is_rejected_with_the_used_ones():
    with pytest.raises(UsageError) as caught:
        place_reading(Reading("m/n", ("a/b",), ReadOptions()), ["a/bb=x"])

    assert "m/n, a/b" in caught.value.remedy
