"""The model card: what its metadata says, and that huggingface_hub accepts it."""

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.records import ErrorCounts, Score
from gaudi_asr_cli.core.training.card import (
    CardFacts,
    CardSource,
    CardSplit,
    complete_card,
    write_card,
)

SCORE = Score(
    wer=0.0423,
    wer_low=0.039,
    wer_high=0.0461,
    cer=0.0125,
    words=ErrorCounts(hits=90, substitutions=5, deletions=3, insertions=2),
    sentence_error_rate=0.5,
    utterances=99,
    utterances_total=100,
    audio_s=60.0,
    audio_s_total=61.0,
    normalizer="basic/2",
    raw_wer=0.05,
    raw_cer=0.02,
)
HUB = CardSource("openslr/librispeech_asr", hub_id="openslr/librispeech_asr")
LOCAL = CardSource("dev.jsonl")
FACTS = CardFacts(
    kind="finetune-ctc",
    name="run-1",
    base="facebook/wav2vec2-base",
    from_scratch=False,
    sources=(HUB, LOCAL),
    hours=1.5,
    steps=20,
    recipe="kind: finetune-ctc\n",
    splits={"eval": CardSplit((LOCAL,), SCORE), "test": CardSplit((HUB,), SCORE, "clean", "test")},
    language="en",
    selected_on="eval",
)


def metadata_of(facts):
    return ModelCard(write_card(facts)).data


def test_metadata_has_ids_and_scores_with_their_interval():
    data = metadata_of(FACTS).to_dict()

    assert data["base_model"] == "facebook/wav2vec2-base"
    assert data["datasets"] == ["openslr/librispeech_asr"]
    assert data["language"] == "en"
    assert data["metrics"] == ["wer", "cer"]
    assert "license" not in data
    name, results = model_index_to_eval_results(data["model-index"])
    assert name == "run-1"
    rates = {(one.dataset_type, one.metric_type): one for one in results}
    wer = rates["openslr/librispeech_asr", "wer"]
    assert (wer.dataset_config, wer.dataset_split, wer.metric_value) == ("clean", "test", 4.23)
    assert wer.metric_args["interval_95"] == {"low": 3.9, "high": 4.61}
    assert rates["local", "wer"].dataset_name == "dev.jsonl"
    assert rates["local", "cer"].metric_value == 1.25


def test_what_is_not_known_is_not_in_the_metadata():
    facts = replace(FACTS, base=None, sources=(LOCAL,), splits={}, language=None)

    data = metadata_of(facts).to_dict()

    assert data.keys() == {"library_name", "pipeline_tag", "tags"}
    assert "It was not scored." in write_card(facts)


def test_phonemes_have_their_own_rate():
    phonemes = CardSplit((LOCAL,), replace(SCORE, unit="phoneme"))

    card = write_card(replace(FACTS, splits={"eval": phonemes}))

    assert "| data | PER" in card
    assert ModelCard(card).data.metrics == ["per", "cer"]


def test_a_score_over_several_data_sets_names_none_of_them():
    both = CardSplit((HUB, CardSource("a/b", hub_id="a/b")), SCORE)

    (wer, _) = metadata_of(replace(FACTS, splits={"eval": both})).eval_results

    assert wer.dataset_type == "several"
    assert wer.dataset_name == "openslr/librispeech_asr + a/b"


def test_a_licence_is_set_and_text_that_was_added_stays():
    edited = write_card(FACTS) + "\nMy own words.\n"

    card = complete_card(edited, license="cc-by-4.0", language="hi")

    assert ModelCard(card).data.license == "cc-by-4.0"
    assert ModelCard(card).data.language == "hi"
    assert card.endswith("\nMy own words.\n")


@pytest.mark.parametrize("values", [{"license": "My licence"}, {"language": "english"}])
def test_what_is_no_identifier_is_rejected(values):
    with pytest.raises(UsageError):
        complete_card(write_card(FACTS), **values)


@pytest.mark.parametrize(
    "text", ["---\n- a\n---\n", "---\na: [\n---\n", "---\nmodel-index: [{name: x}]\n---\n"]
)
def test_broken_metadata_is_an_error(text):
    with pytest.raises(DataError):
        complete_card(text)


@pytest.mark.parametrize(
    ("base", "kept"),
    [
        ("/home/me/model", None),
        ("demo", None),
        (3, None),
        (["a/b", "/home/me/model"], ["a/b"]),
        ("openai/whisper-small", "openai/whisper-small"),
    ],
)
def test_only_hub_ids_stay_as_base_models(base, kept):
    card = complete_card(f"---\nbase_model: {base}\n---\n")

    assert ModelCard(card).data.base_model == kept
