import pytest

from gaudi_asr_cli.core.secret_values import (
    hide_in_text,
    hide_in_words,
    hide_in_yaml,
    is_secret_name,
    known_secrets,
    only_secrets,
    secrets_left_out,
    without_secrets,
)

SECRET = (
    "hub_token HF_TOKEN WANDB_API_KEY push_to_hub_token trainer.hub_token --hub-token password "
    "dbPassword api_key apiKey key secret_access_key MLFLOW_TRACKING_PASSWORD token clientSecret "
    "use_auth_token credentials auth_tokens hubtoken accessToken mysql_pwd AZURE_CLIENT_SECRET"
)
OPEN = (
    "pad_token unk_token text.pad_token --pad-token word_delimiter_token phone_delimiter_token "
    "eos_token_id max_tokens --max-tokens tokenizer keyword monkey max_new_tokens PWD OLDPWD "
    "decoder_start_token_id num_key_value_heads include_tokens_per_second key_dim tokens hub "
    "additional_special_tokens no_timestamps_token_id bos_token cls_token mask_token push_to_hub"
)


@pytest.mark.parametrize("name", SECRET.split())
def test_a_name_of_a_secret_is_known(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", OPEN.split())
def test_names_that_only_contain_the_words_are_none(name):
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "words",
    [
        ["--hub_token", "planted-1"],
        ["--hub-token=planted-1"],
        ["--set", "trainer.hub_token=planted-1"],
        ["--set=trainer.hub_token=planted-1"],
        ["--set", "trainer={hub_token: planted-1, seed: 1}"],
        ["--set", 'trainer={"hub_token": "planted-1"}'],
        ["HF_TOKEN=planted-1", "python"],
        ["HF_TOKEN=planted-1 python run.py --hub_token planted-1 --seed 1"],
        ["--train", "https://somebody:planted-1@example.org/data"],
    ],
)
def test_a_command_line_is_shown_without_its_secrets(words):
    hidden = " ".join(hide_in_words(words))

    assert "planted-1" not in hidden
    assert "***" in hidden
    assert hide_in_words(["--pad-token", "<pad>", "--seed=1"]) == [
        "--pad-token",
        "<pad>",
        "--seed=1",
    ]


def test_a_command_without_words_has_no_secrets():
    assert hide_in_words([]) == []


def test_keys_of_yaml_that_are_no_strings_are_kept():
    assert without_secrets({None: 1, 2: {None: 3, "api_key": "k"}}) == {None: 1, 2: {None: 3}}


def test_what_is_secret_is_taken_apart_and_put_together_again():
    values = {"seed": 1, "trainer": {"hub_token": 12345678, "nested": {"api_key": "k", "n": 2}}}

    assert without_secrets(values) == {"seed": 1, "trainer": {"nested": {"n": 2}}}
    assert only_secrets(values) == {"trainer": {"hub_token": 12345678, "nested": {"api_key": "k"}}}


def test_secrets_come_back_after_the_block_whatever_ends_it():
    values = {"hub_token": "planted-1", "seed": 1}

    def fill_the_disk():
        with secrets_left_out(values):
            assert values == {"hub_token": None, "seed": 1}
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fill_the_disk()
    assert values == {"hub_token": "planted-1", "seed": 1}


def test_text_is_shown_without_the_secrets_of_command_line_and_environment():
    secrets = known_secrets(
        ["--hub_token", "planted-1"], {"WANDB_API_KEY": "planted-2", "A": "text"}
    )

    shown = hide_in_text("planted-1, planted-2, text", secrets)

    assert shown == "***, ***, text"
    assert hide_in_text("hf_abcdefghijklmnopqrstuvwxyz012345", ()) == "***"
    assert hide_in_text("not of the form key=value", secrets) == "not of the form key=value"


def test_yaml_keeps_its_comments_and_loses_its_secrets():
    text = "# mine\ntrainer:\n  hub_token: planted-1 # of hf\ntext: {pad_token: x}\n"

    assert hide_in_yaml(text) == "# mine\ntrainer:\n  hub_token: '***'\ntext: {pad_token: x}\n"
