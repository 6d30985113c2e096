import json

import pytest
from helpers.run import run_here
from helpers.tiny_models import save_tiny_model
from helpers.tiny_text_models import save_tiny_text_model


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    root = tmp_path_factory.mktemp("halves")
    return save_tiny_model(root / "ctc"), save_tiny_text_model(root / "bart")


def create(halves, out, *more):
    words = ["--encoder", halves[0], "--decoder", halves[1], "--out", out, *more]
    return run_here("create-seq2seq", *words)


def test_weights_are_listed_by_part_as_pretrained_or_random(halves, tmp_path):
    result = create(halves, tmp_path / "both", "--json")

    answer = json.loads(result.stdout)
    parts = {one["part"]: one for one in answer["weights"]}
    assert result.exit_code == 0
    assert answer["schema"] == "create-seq2seq/1"
    assert parts["adapter"]["pretrained"] == 0
    assert parts["decoder"]["random"] == 0
    assert (tmp_path / "both" / "model.safetensors").exists()


def test_tables_say_what_to_do_next(halves, tmp_path):
    result = create(halves, tmp_path / "both")

    assert "finetune-seq2seq --model" in result.stderr
    assert "adapter" in result.stderr
    shown = " ".join(result.stderr.split())
    # Frames of 5 ms, halved three times; 15 characters of read speech a second.
    assert "a state every 40 ms" in shown
    assert "about 4.5 characters or 300 ms of read speech each" in shown


def test_too_few_states_for_the_tokens_give_a_warning(halves, tmp_path):
    result = create(halves, tmp_path / "both", "--adapter-layers", "8")

    assert "a state has to stand for several" in result.stderr
    assert "--adapter-layers" in result.stderr


def test_a_short_positional_convolution_gives_a_warning(halves, tmp_path):
    narrow = create(halves, tmp_path / "narrow", "--json")
    wide = create(halves, tmp_path / "wide", "--position-frames", "600", "--json")

    assert "hardly encode their order" in " ".join(json.loads(narrow.stdout)["warnings"])
    assert json.loads(wide.stdout)["warnings"] == []


def test_an_existing_folder_is_left_alone(halves, tmp_path):
    (tmp_path / "mine").mkdir()

    result = create(halves, tmp_path / "mine")

    assert result.exit_code == 2
    assert list((tmp_path / "mine").iterdir()) == []


def test_no_partial_folder_is_left_if_a_part_cannot_be_opened(halves, tmp_path):
    result = run_here(
        "create-seq2seq", "--encoder", halves[0], "--decoder", tmp_path, "--out", tmp_path / "out"
    )

    assert result.exit_code == 4
    assert list(tmp_path.iterdir()) == []
