"""`push` and `--push-to-hub` with huggingface_hub's own client, against a stand-in of the hub."""

import json
import shutil

import pytest
from helpers.hub_server import GOOD_TOKEN, READ_TOKEN, running_hub
from helpers.run import run, run_here

FILES = {"config.json", "model.safetensors", "preprocessor_config.json", "special_tokens_map.json",
         "tokenizer_config.json", "vocab.json", "README.md"}  # fmt: skip
SMALL = [
    "--recipe", "digits", "--max-steps", "1", "--batch-seconds", "4", "--device", "cpu",
    "--set", "architecture.num_hidden_layers=1", "--set", "evaluation.every=end",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("push") / "digits-a"
    data = ["--train", corpus, "--eval", corpus]
    assert run_here("finetune-ctc", *SMALL, *data, "--run", folder).exit_code == 0
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "digits-a")


@pytest.fixture(scope="module")
def hub():
    with running_hub() as server:
        yield server


@pytest.fixture
def pushed(hub, tmp_path):
    def run_with_hub(*words, **changes):
        return run(*words, env={**hub.environment(tmp_path / "home"), **changes})

    return run_with_hub


def test_the_model_arrives_whole_in_a_new_repository(trained, hub, pushed, tmp_path):
    done = pushed("push", trained, "me/arrives", "--license", "mit", "--language", "en", "--json")

    answer = json.loads(done.stdout)
    files = hub.repositories["me/arrives"]
    assert done.exit_code == 0, done.stderr
    assert answer["url"].endswith("/me/arrives")
    assert set(files) == FILES == {one["name"] for one in answer["files"]}
    weights = (trained / "model/model.safetensors").read_bytes()
    assert files["model.safetensors"] == weights
    assert hub.messages[-1] == "Upload digits-a"
    card = files["README.md"].decode()
    assert "license: mit" in card
    assert "language: en" in card
    assert "--model me/arrives" in card
    assert GOOD_TOKEN not in done.stdout + done.stderr
    assert not any(GOOD_TOKEN.encode() in content for content in files.values())


def test_nothing_but_the_model_is_sent_and_no_path_of_this_machine(copied, hub, pushed, corpus):
    model = copied / "model"
    for name in ("training_args.bin", "optimizer.pt", "notes.txt", ".env"):
        (model / name).write_text("x")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "_name_or_path": str(model)}))

    done = pushed("push", copied, "me/only")

    files = hub.repositories["me/only"]
    assert set(files) == FILES
    assert "training_args.bin" in done.stderr
    assert json.loads(files["config.json"])["_name_or_path"] == "/path/to/model"
    for content in files.values():
        assert str(corpus.parent).encode() not in content
        assert str(copied).encode() not in content


def test_a_dry_run_shows_files_and_card_and_sends_nothing(trained, hub):
    before = list(hub.requests)

    done = run_here("push", trained, "me/dry", "--dry-run")

    assert done.exit_code == 0
    assert hub.requests == before
    assert set(done.stderr.split()) >= FILES
    assert "model-index:" in done.stderr
    assert "Nothing was sent" in done.stderr


@pytest.mark.slow
def test_a_private_repository_is_created_as_one_and_a_public_one_is_not_used(trained, hub, pushed):
    created = pushed("push", trained, "me/secret", "--private")
    pushed("push", trained, "me/open")
    sent = dict(hub.repositories["me/open"])
    refused = pushed("push", trained, "me/open", "--private")

    assert (created.exit_code, hub.private["me/secret"]) == (0, True)
    assert refused.exit_code == 2
    assert "is public" in refused.stderr
    assert hub.repositories["me/open"] == sent


@pytest.mark.parametrize(
    ("repository", "changes", "words"),
    [
        ("me/a", {"HF_TOKEN": "hf_refusedtoken4711"}, "refused the token"),
        ("other/a", {}, "may not write to other/a"),
        ("me/a", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
        pytest.param(
            *("me/a", {"HF_TOKEN": READ_TOKEN}, "may not write to me/a"), marks=pytest.mark.slow
        ),
        pytest.param("me/a", {"HF_TOKEN": "hf_ü"}, "has characters", marks=pytest.mark.slow),
        pytest.param("me/a", {"HF_TOKEN": ""}, "no token", marks=pytest.mark.slow),
    ],
)
def test_what_the_hub_refuses_is_an_error_with_a_remedy(
    repository, changes, words, trained, pushed, hub
):
    done = pushed("push", trained, repository, **changes)

    assert done.exit_code == 6
    assert words in done.stderr
    assert "try: " in done.stderr
    assert "hf_refusedtoken4711" not in done.stderr
    assert "Traceback" not in done.stderr
    assert repository not in hub.repositories


def test_nothing_is_sent_where_the_hub_is_switched_off(trained):
    done = run_here("push", trained, "me/a")

    assert done.exit_code == 6
    assert "HF_HUB_OFFLINE" in done.stderr


@pytest.mark.parametrize(
    ("repository", "words"),
    [
        ("datasets/me/a", "of data sets"),
        ("https://huggingface.co/me/a", "Write me/a"),
        ("a", "OWNER/NAME"),
        ("me/..", "OWNER/NAME"),
        ("me/a b", "OWNER/NAME"),
        ("me/a/b", "OWNER/NAME"),
        ("", "OWNER/NAME"),
        ("me/" + 100 * "a", "OWNER/NAME"),
    ],
)
def test_a_name_that_is_no_model_repository_is_rejected(repository, words, trained):
    done = run_here("push", trained, repository, "--dry-run")

    assert done.exit_code == 2
    assert words in done.stderr


@pytest.mark.slow
def test_a_card_that_the_hub_refuses_leaves_no_empty_repository(trained, hub, pushed):
    done = pushed("push", trained, "me/nonsense", "--license", "nonsense")

    assert done.exit_code == 4
    assert "license" in done.stderr
    assert "me/nonsense" not in hub.repositories


def test_an_unfinished_run_is_rejected_with_the_command_that_finishes_it(copied):
    (copied / "report.json").unlink()

    done = run_here("push", copied, "me/x", "--dry-run")

    assert done.exit_code == 4
    assert f"finetune-ctc --resume --run {copied}" in done.stderr


def test_a_card_that_is_not_text_is_an_error(copied):
    (copied / "model/README.md").write_bytes(b"---\na: \xff\n---\n")

    assert run_here("push", copied, "me/x", "--dry-run").exit_code == 4


def test_a_file_that_is_a_link_is_sent(copied, tmp_path):
    vocabulary = copied / "model/vocab.json"
    vocabulary.rename(tmp_path / "v.json")
    vocabulary.symlink_to(tmp_path / "v.json")

    done = run_here("push", copied, "me/x", "--dry-run", "--json")

    assert "vocab.json" in [one["name"] for one in json.loads(done.stdout)["files"]]


def test_a_damaged_model_is_not_published(copied):
    (copied / "model/model.safetensors").write_bytes(b"")

    assert run_here("push", copied, "me/x", "--dry-run").exit_code == 4


def test_a_card_with_a_token_is_not_published(copied):
    card = copied / "model/README.md"
    card.write_text(card.read_text() + "\nhf_abcdefghijklmnop\n")

    done = run_here("push", copied, "me/x", "--dry-run")

    assert done.exit_code == 4
    assert "hf_abc" not in done.stdout + done.stderr


def test_a_folder_without_a_run_is_rejected(tmp_path):
    assert run_here("push", tmp_path, "me/x", "--dry-run").exit_code == 2


def test_the_card_of_an_earlier_version_loses_its_local_paths(copied, tmp_path):
    card = copied / "model/README.md"
    base = tmp_path / "models/base"
    base.mkdir(parents=True)
    card.write_text(f"---\nbase_model: {base}\n---\n# Mine, from {copied}\n")

    done = run_here("push", copied, "me/x", "--dry-run", "--json")

    sent = json.loads(done.stdout)["card"]
    assert "base_model" not in sent
    assert str(tmp_path) not in sent
    assert "# Mine" in sent


@pytest.mark.slow
def test_training_ends_with_an_upload(corpus, hub, pushed, tmp_path):
    words = ["--train", corpus, "--run", tmp_path / "run", "--push-to-hub", "me/after", "--private"]

    done = pushed("finetune-ctc", *SMALL, *words)

    assert done.exit_code == 0, done.stderr
    assert set(hub.repositories["me/after"]) == FILES
    assert hub.private["me/after"]
    assert GOOD_TOKEN not in done.stderr
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not any(GOOD_TOKEN.encode() in path.read_bytes() for path in written)


def test_a_failed_upload_loses_no_run_and_says_how_to_do_it_later(corpus, tmp_path, monkeypatch):
    from gaudi_asr_cli.core.errors import UnreachableError
    from gaudi_asr_cli.core.workflows import push

    def refuse(*_, **__):
        raise UnreachableError("The hub is away.", remedy="Wait.")

    monkeypatch.setattr(push, "check_access", lambda repository: None)
    monkeypatch.setattr(push, "upload_folder", refuse)
    folder = tmp_path / "run"
    words = ["--train", corpus, "--run", folder, "--push-to-hub", "me/x", "--license", "mit"]

    done = run_here("finetune-ctc", *SMALL, *words)

    assert done.exit_code == 0
    assert (folder / "report.json").exists()
    assert "The hub is away." in done.stderr
    assert f"gaudi-asr push {folder} me/x --license mit" in done.stderr


def test_a_refused_token_stops_the_command_before_training(corpus, pushed, tmp_path):
    words = ["--train", corpus, "--run", tmp_path / "run", "--push-to-hub", "me/x"]

    done = pushed("finetune-ctc", *SMALL, *words, HF_TOKEN=READ_TOKEN)

    assert done.exit_code == 6
    assert "may only read" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("alone", [["--private"], ["--license", "mit"]])
def test_options_of_an_upload_need_one(alone, corpus):
    done = run_here("finetune-ctc", *SMALL, "--train", corpus, "--dry-run", *alone)

    assert done.exit_code == 2
    assert "--push-to-hub" in done.stderr


def test_the_trainers_own_upload_is_pointed_to_the_option(corpus, tmp_path):
    words = ["finetune-ctc", *SMALL, "--train", corpus, "--dry-run"]

    rejected = run_here(*words, "--set", "trainer.push_to_hub=true")
    ignored = run_here(*words, "--hub-model-id", "me/x")

    assert rejected.exit_code == 3
    assert "--push-to-hub OWNER/NAME" in rejected.stderr
    assert ignored.exit_code == 0
    assert "trainer.hub_model_id is ignored" in ignored.stderr


def test_the_ranks_of_a_launch_are_asked_to_upload(corpus, tmp_path, monkeypatch):
    from gaudi_asr_cli.cli import cards
    from gaudi_asr_cli.core.workflows import push

    launched = []
    monkeypatch.setattr(push, "check_access", lambda repository: None)
    monkeypatch.setattr(cards, "start_ranks", lambda words, *rest: launched.extend(words))
    words = ["--train", corpus, "--run", tmp_path / "run", "--cards", 2, "--license", "mit"]

    done = run_here("finetune-ctc", *SMALL, *words, "--push-to-hub", "me/x", "--private")

    assert done.exit_code == 0
    assert launched == [
        "finetune-ctc", "--push-to-hub", "me/x", "--private", "--license", "mit",
    ]  # fmt: skip
