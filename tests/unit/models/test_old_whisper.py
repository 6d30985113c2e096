"""Whisper folders of older versions: forced ids, suppressed tokens, languages and tasks."""

import json
import shutil

import pytest
from helpers.run import run_here
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import make_batch
from helpers.tiny_seq2seq import LANGUAGES, save_tiny_whisper

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.cpu.whisper_generation import pack_whisper
from gaudi_asr_cli.core.models.seq2seq.fallback import Fallback
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model
from gaudi_asr_cli.core.models.seq2seq.old_whisper import read_tokens

CPU = open_device("cpu")
BATCH = make_batch([16_000, 9_000, 30_000])
MOVED = ("suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("original") / "whisper")


@pytest.fixture
def whisper(original, tmp_path):
    return shutil.copytree(original, tmp_path / "whisper")


def read(path):
    return json.loads(path.read_text())


def edit(path, **fields):
    path.write_text(json.dumps({**read(path), **fields}))


def make_old(model, keeps_file=False, **fields):
    """Move what generation needs to config.json, as versions before 4.31 had it."""
    settings = read(model / "generation_config.json")
    moved = {name: settings[name] for name in MOVED if name in settings}
    edit(model / "config.json", **{**moved, **fields})
    (model / "generation_config.json").unlink()
    if keeps_file:
        kept = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
        content = {name: settings[name] for name in kept}
        (model / "generation_config.json").write_text(json.dumps(content))
    return model


def texts(model, engine="packed", **options):
    opened = open_seq2seq_model(str(model), device=CPU, dtype="fp32")
    generator = pack_whisper(opened) if engine == "packed" else opened.loaded()
    inputs = opened.frontend.prepare(BATCH)
    rows = generator.generate_from(inputs, Generation(max_tokens=12, **options)).rows
    return [(row.tokens, row.language) for row in rows]


def token(model, name):
    return read_tokens_of(model)[name]


def read_tokens_of(model):
    from gaudi_asr_cli.core.models.folder import find_model

    return read_tokens(find_model(str(model), kind=None))


@pytest.mark.parametrize("engine", ["packed", "transformers"])
@pytest.mark.parametrize("keeps_file", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"language": "hi"}, {"language": "de", "task": "translate"}]
)
def test_an_old_folder_gives_the_text_of_the_new_one(
    original, whisper, keeps_file, options, engine
):
    make_old(whisper, keeps_file)

    assert texts(whisper, engine, **options) == texts(original, "packed", **options)


@pytest.mark.parametrize("engine", ["packed", "transformers"])
@pytest.mark.parametrize("place", ["config.json", "generation_config.json"])
def test_a_forced_language_and_task_are_followed(original, whisper, place, engine):
    forced = [[1, token(whisper, "<|hi|>")], [2, token(whisper, "<|translate|>")]]
    if place == "config.json":
        make_old(whisper, forced_decoder_ids=forced)
    else:
        edit(whisper / place, forced_decoder_ids=forced)

    found = texts(whisper, engine)

    assert found == texts(original, "packed", language="hi", task="translate")
    assert {language for _, language in found} == {"hi"}


@pytest.mark.parametrize("engine", ["packed", "transformers"])
def test_an_option_wins_over_forced_ids(original, whisper, engine):
    make_old(whisper, forced_decoder_ids=[[1, token(whisper, "<|hi|>")]])

    assert texts(whisper, engine, language="de") == texts(original, "packed", language="de")


@pytest.mark.parametrize("engine", ["packed", "transformers"])
def test_a_language_of_the_settings_is_followed(original, whisper, engine):
    edit(whisper / "generation_config.json", language="<|zh|>", task="transcribe")

    assert texts(whisper, engine) == texts(original, "packed", language="zh")


def test_forced_ids_of_a_complete_folders_configuration_are_not_followed(original, whisper):
    edit(whisper / "config.json", forced_decoder_ids=[[1, token(whisper, "<|hi|>")]])

    assert texts(whisper) == texts(original)


@pytest.mark.parametrize("engine", ["packed", "transformers"])
def test_suppressed_tokens_of_an_old_configuration_are_never_generated(whisper, engine):
    first = texts(whisper, language="en")[0][0][0]
    make_old(whisper, begin_suppress_tokens=[first])

    assert all(tokens[0] != first for tokens, _ in texts(whisper, engine, language="en"))


@pytest.mark.parametrize("engine", ["packed", "transformers"])
def test_an_old_english_model_has_no_languages(tmp_path, engine):
    model = save_tiny_whisper(tmp_path / "en", multilingual=False)
    expected = texts(model)
    make_old(model, forced_decoder_ids=[[1, token(model, "<|notimestamps|>")]])

    assert texts(model, engine) == expected


def test_languages_are_those_of_the_tokenizer(whisper):
    tokens = read_tokens_of(make_old(whisper))
    settings = open_seq2seq_model(str(whisper), device=CPU).settings

    assert settings.lang_to_id == {f"<|{one}|>": tokens[f"<|{one}|>"] for one in LANGUAGES}
    assert settings.task_to_id["translate"] == tokens["<|translate|>"]


@pytest.mark.parametrize("keeps_file", [False, True])
def test_an_old_multilingual_model_is_not_fine_tuned_without_a_language(
    whisper, tmp_path, keeps_file
):
    make_old(whisper, keeps_file)
    corpus = write_corpus(tmp_path / "corpus", utterances=2)

    result = run_here(
        "finetune-seq2seq", "--model", whisper, "--train", corpus, "--eval", corpus,
        "--run", tmp_path / "run", "--device", "cpu", "--max-steps", "1",
    )  # fmt: skip

    assert result.exit_code == 3
    assert "multilingual" in result.stderr
    assert "--language" in result.stderr


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("generation_config.json", {"suppress_tokens": [1, 99_999]}),
        ("generation_config.json", {"no_timestamps_token_id": 99_999}),
        ("generation_config.json", {"lang_to_id": {"<|en|>": 99_999}}),
        ("generation_config.json", {"language": ["en"]}),
        ("generation_config.json", {"forced_eos_token_id": {"a": 1}}),
    ],
)
def test_settings_of_another_models_size_are_named(whisper, file, fields):
    edit(whisper / file, **fields)

    with pytest.raises(DataError, match=next(iter(fields))):
        open_seq2seq_model(str(whisper), device=CPU)


@pytest.mark.parametrize("engine", ["packed", "transformers"])
@pytest.mark.parametrize("kept", [{}, {"transcribe": None}])
def test_tasks_that_the_settings_lack_are_those_of_the_tokenizer(original, whisper, engine, kept):
    tasks = {name: token(whisper, f"<|{name}|>") for name in kept}
    edit(whisper / "generation_config.json", task_to_id=tasks)

    options = {"language": "hi", "task": "translate"}
    assert texts(whisper, engine, **options) == texts(original, "packed", **options)


def test_languages_without_a_task_are_an_error(whisper):
    edit(whisper / "generation_config.json", task_to_id={})
    for name in ("vocab.json", "tokenizer.json", "tokenizer_config.json", "added_tokens.json"):
        path = whisper / name
        if path.exists():
            path.write_text(path.read_text().replace("<|transcribe|>", "<|transcript|>"))

    with pytest.raises(DataError, match="has languages but no task"):
        open_seq2seq_model(str(whisper), device=CPU)


@pytest.mark.parametrize("engine", ["packed", "transformers"])
def test_without_timestamps_the_probability_of_no_speech_is_not_measured(whisper, engine):
    fallback = Fallback(no_speech_threshold=0.6, logprob_threshold=-1.0)
    settings = read(whisper / "generation_config.json")
    del settings["no_timestamps_token_id"]
    (whisper / "generation_config.json").write_text(json.dumps(settings))

    opened = open_seq2seq_model(str(whisper), device=CPU, dtype="fp32")
    generator = pack_whisper(opened) if engine == "packed" else opened.loaded()
    options = Generation(max_tokens=5, language="en", fallback=fallback)
    rows = generator.generate_from(opened.frontend.prepare(BATCH), options).rows

    assert [row.stats.no_speech_probability for row in rows] == [None] * 3


def test_the_kv_cache_is_used_whatever_training_left_in_the_configuration(original, whisper):
    edit(whisper / "config.json", use_cache=False)
    edit(whisper / "generation_config.json", use_cache=False)

    opened = open_seq2seq_model(str(whisper), device=CPU, dtype="fp32")

    assert opened.generate_arguments(Generation(language="<|en|>", task="transcribe"))[
        "generation_config"
    ].use_cache
    assert texts(whisper, "transformers") == texts(original, "transformers")


@pytest.mark.parametrize("field", ["n_fft", "feature_size", "hop_length", "chunk_length"])
def test_an_absurd_size_of_the_features_is_named(whisper, field):
    edit(whisper / "preprocessor_config.json", **{field: 10**7})

    with pytest.raises(DataError, match=f"{field} is 10000000"):
        open_seq2seq_model(str(whisper), device=CPU)


@pytest.mark.parametrize("forced", [[1, 2], [[1]], {"a": 1}, "x"])
def test_forced_ids_that_are_no_pairs_are_named(whisper, forced):
    make_old(whisper, forced_decoder_ids=forced)

    with pytest.raises(DataError, match="forced_decoder_ids"):
        open_seq2seq_model(str(whisper), device=CPU)


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("num_beams", "three", "a positive integer"),
        ("num_beams", 2.5, "a positive integer"),
        ("num_beams", 0, "a positive integer"),
        ("length_penalty", "abc", "a number from -100 to 100"),
        ("length_penalty", [1], "a number from -100 to 100"),
        ("length_penalty", 1000.0, "a number from -100 to 100"),
        ("length_penalty", float("nan"), "a number from -100 to 100"),
        ("early_stopping", "maybe", 'true, false or "never"'),
        ("early_stopping", 1.5, 'true, false or "never"'),
    ],
)
def test_invalid_settings_of_beam_search_are_an_error(whisper, field, value, wanted):
    edit(whisper / "generation_config.json", **{field: value})

    with pytest.raises(DataError, match=rf"{field} in the generation settings .* not {wanted}"):
        open_seq2seq_model(str(whisper), device=CPU, dtype="fp32")


@pytest.mark.parametrize("field", ["num_beams", "length_penalty", "early_stopping"])
def test_settings_of_beam_search_may_be_missing(whisper, field):
    edit(whisper / "generation_config.json", **{field: None})

    assert texts(whisper, beams=3)
