import sys
import warnings

import pytest

from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.evaluation import metric


@pytest.fixture
def word_error_rate(tmp_path):
    with warnings.catch_warnings():
        # evaluate's own imports are none of our warnings.
        warnings.simplefilter("ignore")
        return metric.WordErrorRate(cache_dir=str(tmp_path))


def test_it_computes_like_any_evaluate_metric(word_error_rate):
    result = word_error_rate.compute(
        predictions=["one too", "three"], references=["one two", "three four"]
    )

    assert result["wer"] == pytest.approx(2 / 4)
    assert (result["substitutions"], result["deletions"], result["insertions"]) == (1, 1, 0)


def test_batches_may_be_added(word_error_rate):
    word_error_rate.add_batch(predictions=["a"], references=["a"])
    word_error_rate.add_batch(predictions=[""], references=["b"])

    assert word_error_rate.compute()["wer"] == pytest.approx(1 / 2)


def test_an_unknown_name_is_no_metric():
    with pytest.raises(AttributeError):
        _ = metric.SentenceErrorRate


def test_without_evaluate_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "evaluate", None)
    metric._make_metric.cache_clear()

    with pytest.raises(MachineError) as caught:
        metric.__getattr__("WordErrorRate")

    assert "pip install 'gaudi-asr[metric]'" in caught.value.remedy
