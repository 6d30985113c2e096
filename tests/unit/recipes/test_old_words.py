# ruff: noqa: RUF001 - the quotation marks are those of the old commands
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.reading import read_words
from gaudi_asr_cli.core.legacy.scripts import SCRIPTS, translate
from gaudi_asr_cli.core.recipes.loading import KINDS, list_keys

TABLE = SCRIPTS["ctc"].table


def read(*words, ours=(), **more):
    return read_words(words, TABLE, lambda word: word.partition("=")[0] in ours, **more)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--bf16"], "true"),
        (["--bf16", "True"], "true"),
        (["--bf16", "no"], "false"),
        (["--bf16", "0"], "false"),
        (["--bf16=False"], "false"),
        (["--no_bf16"], "false"),
        (["--no-bf16", "--do_train"], "false"),
        (["--bf16", "--do_train"], "true"),
        (["--bf16", "--bf16", "false"], "false"),
    ],
)
def test_a_switch_has_a_value_or_not(words, value):
    assert read(*words).values["bf16"] == value


def test_a_bare_switch_takes_no_word_that_may_be_an_argument():
    found = read("--do_eval", "1", "--bf16", "true", has_arguments=True)

    assert found.values == {"do_eval": "true", "bf16": "true"}
    assert found.rest == ("1",)


def test_a_switch_takes_only_what_is_true_or_false():
    assert read("--do_eval", "a.wav").rest == ("a.wav",)
    with pytest.raises(UsageError, match="true or false"):
        read("--do_eval=a.wav")


@pytest.mark.parametrize(
    "words",
    [
        [",", "?", ".", "!", "-", ";", ":", '"', "“", "%", "‘", "”"],
        [',?.!-;:"“%‘”'],
    ],
)
def test_a_list_is_taken_without_quotes_or_as_one_string(words):
    found = read("--chars_to_ignore", *words, "--do_train")

    assert "".join(found.lists["chars_to_ignore"]) == ',?.!-;:"“%‘”'
    assert found.values == {"do_train": "true"}


def test_a_misspelt_flag_is_refused_before_it_could_swallow_anything():
    with pytest.raises(UsageError) as caught:
        read("--do_train", "--evaluaton_strategy", "steps")

    assert "--evaluaton_strategy" in caught.value.message
    assert "--evaluation_strategy" in caught.value.remedy


def test_words_of_today_stay_in_order_with_what_follows_them():
    found = read("--json", "--set", "a=b", "--do_train", "--", "--bf16", ours=("--json", "--set"))

    assert found.rest == ("--json", "--set", "a=b", "--", "--bf16")


def test_values_may_be_negative_numbers_but_not_flags():
    assert read("--max_steps", "-1").values == {"max_steps": "-1"}
    with pytest.raises(UsageError, match="no value"):
        read("--max_steps", "--do_train")


def test_what_is_given_twice_counts_once_and_is_told():
    found = read("--sdp_on_bf16", "--seed", "1", "--sdp_on_bf16", "--seed=2")

    assert found.repeated == ("sdp_on_bf16", "seed")
    assert found.values["seed"] == "2"


@given(st.sampled_from(sorted(TABLE)), st.booleans())
def test_hyphens_and_underscores_are_the_same(name, equals):
    flag = TABLE[name]
    spelt = f"--{name.replace('_', '-')}"
    word = "true" if flag.takes == "switch" else "7"

    found = read(f"{spelt}={word}") if equals else read(spelt, word)

    assert name in found


def test_every_key_of_the_table_is_one_of_a_recipe_or_of_the_trainer():
    known = {name: set(list_keys(KINDS[f"finetune-{name}"])) for name in ("ctc", "seq2seq")}

    for script, keys in known.items():
        for flag in SCRIPTS[script].table.values():
            assert not flag.key or flag.key in keys or flag.key.startswith("trainer."), flag.name


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_of_the_table_says_what_became_of_it(script):
    for flag in SCRIPTS[script].table.values():
        assert flag.told(lambda key: f"--{key}"), flag.name


def settings(*words):
    found = translate(
        SCRIPTS["ctc"], ["--do_train", *words], spell=lambda key: key, is_ours=lambda word: False
    )
    return found.settings


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--warmup_ratio", "0.1"], "optimizer.warmup", "10%"),
        (["--warmup_ratio", "0.1", "--warmup_steps", "7"], "optimizer.warmup", 7),
        (["--warmup_steps", "0.25"], "optimizer.warmup", "25%"),
        (["--evaluation_strategy", "epoch"], "evaluation.every", "epoch"),
        (["--eval_strategy", "steps"], "evaluation.every", 500),
        (["--eval_strategy", "steps", "--logging_steps", "20"], "evaluation.every", 20),
        (["--save_strategy", "no"], "evaluation.save_every", "end"),
        (["--lr_scheduler_type", "cosine"], "optimizer.schedule", "cosine"),
        (["--lr_scheduler_type", "polynomial"], "trainer.lr_scheduler_type", "polynomial"),
        (["--adam_beta2", "0.98"], "optimizer.betas", [0.9, 0.98]),
        (["--tokenizer_name_or_path", "x", "--model_name_or_path", "x"], "vocab", "model"),
        (["--tokenizer_name_or_path", "y", "--model_name_or_path", "x"], "vocab", "y"),
        (["--label_smoothing_factor", "0.1"], "trainer.label_smoothing_factor", "0.1"),
        (["--use_habana"], "optimizer.epsilon", 1e-6),
        (["--eval_strategy", "steps"], "evaluation.keep", "last"),
        (["--load_best_model_at_end"], "evaluation.keep", "best"),
        (["--dataset_name", "librispeech_asr"], "train.split", "train+validation"),
    ],
)
def test_flags_that_share_a_key_or_need_a_word(words, key, value):
    assert settings(*words)[key] == value


def test_captured_training_steps_only_where_nothing_is_drawn():
    graphs = "--use_hpu_graphs_for_training"
    still = ["--mask_time_prob", "0", graphs]

    assert settings(*still)["trainer.use_hpu_graphs_for_training"] is True
    assert "trainer.use_hpu_graphs_for_training" not in settings(graphs)
    assert "trainer.use_hpu_graphs_for_training" not in settings(*still, "--layerdrop", "0.1")
    assert "trainer.use_hpu_graphs_for_training" not in settings(
        *still, "--gradient_accumulation_steps", "2"
    )
