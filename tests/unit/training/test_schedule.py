import pytest

from gaudi_asr_cli.core.errors import RecipeError
from gaudi_asr_cli.core.training.callbacks import is_exhausted
from gaudi_asr_cli.core.training.schedule import (
    count_interval,
    count_steps,
    count_updates,
    count_warmup,
)


def test_the_last_update_of_an_epoch_may_accumulate_fewer_batches():
    assert count_updates(batches=7, accumulate=3) == 3


@pytest.mark.parametrize(
    ("epochs", "max_steps", "steps"), [(3.0, None, 30), (0.01, None, 1), (3.0, 7, 7)]
)
def test_steps_come_from_epochs_unless_they_are_given(epochs, max_steps, steps):
    assert count_steps(10, epochs, max_steps) == steps


@pytest.mark.parametrize(("warmup", "steps"), [("10%", 20), (500, 500), ("500", 500), ("0%", 0)])
def test_warmup_is_steps_or_a_share(warmup, steps):
    assert count_warmup(warmup, 200) == steps


def test_any_other_warmup_is_an_error():
    with pytest.raises(RecipeError, match="warmup"):
        count_warmup("a while", 200)


@pytest.mark.parametrize(
    ("interval", "steps"), [("epoch", 40), ("end", 100), (30, 30), (1000, 100)]
)
def test_intervals_never_exceed_the_steps_of_the_run(interval, steps):
    assert count_interval(interval, updates=40, steps=100) == steps


@pytest.mark.parametrize(
    ("rates", "patience", "exhausted"),
    [
        ([0.5, 0.4, 0.45], 2, False),
        ([0.5, 0.4, 0.45, 0.41], 2, True),
        ([0.5, 0.5, 0.5], 2, True),
        ([], 1, False),
        ([0.5, 0.9, 0.9, 0.9], None, False),
    ],
)
def test_patience_counts_the_scores_since_the_best(rates, patience, exhausted):
    history = [{"loss": 1.0}, *({"eval_wer": rate} for rate in rates)]

    assert is_exhausted(history, patience) is exhausted
