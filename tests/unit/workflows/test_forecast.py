"""The estimated cost of a run: planned batches times the duration of a step."""

import pytest
from helpers import standins
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import TINY, save_tiny_model

from gaudi_asr_cli.core.data.known_splits import LIBRISPEECH_ID, find_known
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import DataError, RecipeError, UnreachableError
from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.records import BucketPlan, PlannedBatch
from gaudi_asr_cli.core.training.probe import ProbedStep
from gaudi_asr_cli.core.workflows import forecast as module
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest
from gaudi_asr_cli.core.workflows.finetune.run import plan_finetune
from gaudi_asr_cli.core.workflows.forecast import ForecastRequest, forecast, forecast_hours

LIBRI = "ctc-wavlm-large-librispeech100"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny", head=False)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def ask(recipe, *settings, cards=1, events=None):
    observe = (lambda event: None) if events is None else events.append
    return forecast(ForecastRequest(recipe, settings, cards), open_device("cpu"), observe)


def test_the_forecast_of_local_data_equals_its_dry_run(corpus, model):
    settings = (f"train.data={corpus}", f"model={model}", "dtype=fp32", "batching.batch=2")

    found = ask("ctc-script-defaults", *settings)

    plan = plan_finetune(FinetuneRequest("ctc-script-defaults", settings), open_device("cpu"))
    for name in ("utterances", "edges_s", "padding", "batches_per_epoch", "steps", "epochs"):
        assert getattr(found, name) == getattr(plan, name), name
    for name in ("weights", "trained_weights", "memory_mb", "disk_mb"):
        assert getattr(found, name) == getattr(plan, name), name
    assert (found.known, found.timed) == ("read", "its own weights")
    assert found.hours > 0


def test_hours_are_steps_times_the_time_of_a_step():
    plan = BucketPlan((PlannedBatch((0, 1), 5.0, 9), PlannedBatch((2,), 2.0, 9)))
    probe = ProbedStep(sound_s=4.0, learning_s=2.0, update_s=1.0)

    hours = forecast_hours(probe, plan, steps=100, accumulate=2)

    # Both batches together: 12 s of padded audio at half real time, and an update.
    assert hours == pytest.approx(100 * (12.0 / 2 + 1.0) / 3600)


def test_more_devices_need_fewer_steps(corpus, model):
    settings = (f"train.data={corpus}", f"model={model}", "dtype=fp32", "batching.batch=1")

    one, four = (ask("ctc-script-defaults", *settings, cards=cards) for cards in (1, 4))

    assert (one.steps, four.steps) == (36, 9)


def test_unreachable_data_has_its_published_size(model):
    found = ask(LIBRI, f"model={model}", "dtype=fp32")

    assert found.known.startswith("unreachable; 28,539 utterances and 100.6 h")
    assert found.utterances + found.left_out == 28_539
    assert found.audio_hours == pytest.approx(100.6, rel=0.01)
    assert (found.published_hours, found.published_on) == (1.5, "8 x V100")


def test_modelled_durations_have_the_published_count_and_sum():
    known = find_known((LIBRISPEECH_ID,), "clean", "train.100")

    drawn = known.draw_durations_s()

    assert len(drawn) == 28_539
    assert sum(drawn) / 3600 == pytest.approx(100.6, rel=1e-3)
    assert 1.4 <= min(drawn) < max(drawn) <= 24.5
    assert drawn == known.draw_durations_s()


def test_unreachable_data_of_unknown_size_is_an_error(model):
    with pytest.raises(UnreachableError) as caught:
        ask("ctc-xlsr-53-mls-german", f"model={model}")

    assert "--train" in caught.value.remedy


def test_an_unreachable_model_is_timed_with_one_of_its_shape(corpus, monkeypatch):
    monkeypatch.setitem(module.SHAPES, "wav2vec2-base", TINY)
    model = "model=facebook/wav2vec2-base"

    found = ask("ctc-script-defaults", f"train.data={corpus}", model, "dtype=fp32")

    assert found.timed == "unreachable; random weights in the shape of wav2vec2-base"
    assert found.hours > 0


def test_without_model_and_shape_the_time_is_not_known(corpus):
    events = []
    model = "model=facebook/wav2vec2-xls-r-1b"

    found = ask("ctc-script-defaults", f"train.data={corpus}", model, events=events)

    assert (found.hours, found.weights) == (None, None)
    assert found.steps > 0
    assert any("--model" in one.remedy for one in events if isinstance(one, Noticed))


def test_a_recipe_that_does_not_train_has_no_forecast():
    with pytest.raises(RecipeError, match="a recipe for bench"):
        ask("bench-wav2vec2-base-bf16")


def test_data_that_is_all_too_long_is_an_error(corpus, model):
    settings = (f"train.data={corpus}", f"model={model}", "batching.max_seconds=0.1")

    with pytest.raises(DataError, match="too short or too long"):
        ask("ctc-script-defaults", *settings)


def test_the_length_of_phoneme_recipes_is_that_of_their_data(tmp_path, model):
    release = standins.write_common_voice(tmp_path / "sv", "swedish")
    settings = (f"train.data=commonvoice:{release}", f"model={model}", "dtype=fp32")

    found = ask("ctc-xls-r-300m-cv-sv-phonemes", *settings)

    assert (found.utterances, found.data.split()[-1]) == (6, "train+validation")
