"""Temperature fallback: when a text is generated again, and when there is none."""

import pytest
import torch

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.models.seq2seq.fallback import (
    Fallback,
    choose_best,
    generate_with_fallback,
    with_stats,
)
from gaudi_asr_cli.core.models.seq2seq.sampling import SamplingProcessor, TokenSampler
from gaudi_asr_cli.core.records import Hypothesis

OPENAI = Fallback((0.0, 0.2, 0.4), 2.4, -1.0, 0.6, best_of=5)
END = 7


def hypothesis(text, logprob=-0.2, no_speech=0.1, temperature=0.0, tokens=(1, 2)):
    return with_stats(Hypothesis(tokens, text), temperature, logprob, no_speech)


def attempts(*texts):
    """Return an attempt that gives these hypotheses in turn, and the temperatures it got."""
    given = []

    def attempt(rows, temperature):
        given.append(temperature)
        return [texts[len(given) - 1] for _ in rows]

    return attempt, given


def test_a_good_text_is_kept_at_the_first_temperature():
    attempt, temperatures = attempts(hypothesis("and so my fellow Americans"))

    (kept,) = generate_with_fallback(attempt, 1, OPENAI)

    assert kept.text == "and so my fellow Americans"
    assert temperatures == [0.0]


@pytest.mark.parametrize(
    "poor", [hypothesis("no no " * 40), hypothesis("improbable words", logprob=-1.01)]
)
def test_a_text_that_fails_a_threshold_is_generated_again(poor):
    attempt, temperatures = attempts(poor, hypothesis("better", temperature=0.2))

    (kept,) = generate_with_fallback(attempt, 1, OPENAI)

    assert (kept.text, kept.stats.temperature) == ("better", 0.2)
    assert temperatures == [0.0, 0.2]


def test_the_last_attempt_stands_whatever_it_is():
    attempt, temperatures = attempts(*[hypothesis(f"poor {i}", logprob=-3) for i in range(3)])

    (kept,) = generate_with_fallback(attempt, 1, OPENAI)

    assert kept.text == "poor 2"
    assert temperatures == [0.0, 0.2, 0.4]


def test_an_improbable_text_without_speech_is_dropped_and_not_generated_again():
    attempt, temperatures = attempts(hypothesis("Thank you", logprob=-1.5, no_speech=0.9))

    (kept,) = generate_with_fallback(attempt, 1, OPENAI)

    assert (kept.text, kept.tokens, kept.segments) == ("", (), ())
    assert kept.stats.no_speech_probability == 0.9
    assert temperatures == [0.0]


def test_a_probable_text_is_kept_in_spite_of_a_high_probability_of_no_speech():
    attempt, _ = attempts(hypothesis("yes", logprob=-0.5, no_speech=0.9))

    assert generate_with_fallback(attempt, 1, OPENAI)[0].text == "yes"


def test_only_the_rows_that_failed_are_generated_again():
    asked = []

    def attempt(rows, temperature):
        asked.append(list(rows))
        bad = temperature == 0.0
        return [hypothesis(f"{row}", logprob=-2 if bad and row == 1 else -0.1) for row in rows]

    kept = generate_with_fallback(attempt, 3, OPENAI)

    assert [one.text for one in kept] == ["0", "1", "2"]
    assert asked == [[0, 1, 2], [1]]


def test_the_best_sample_is_the_most_probable_per_token():
    samples = [hypothesis("a", tokens=(1,)), hypothesis("b", tokens=(1, 2, 3, 4))] * 2

    assert choose_best(samples, [-1.0, -2.0, -0.1, -2.0], best_of=2) == [1, 2]


@pytest.mark.parametrize("temperatures", [(), (-0.1,), (float("nan"),), (float("inf"),)])
def test_impossible_temperatures_are_a_usage_error(temperatures):
    with pytest.raises(UsageError):
        Fallback(temperatures).check()


def test_greedy_choice_sums_the_log_probabilities_up_to_the_end_token():
    sampler = TokenSampler(2, 0.0, [END])
    logits = torch.zeros(2, 8)
    logits[0, 3], logits[1, END] = 2.0, 2.0
    rows = torch.arange(2)

    chosen = [sampler.choose(logits, rows).tolist() for _ in range(2)]

    one = float(torch.log_softmax(logits[0], -1)[3])
    assert chosen == [[3, END], [3, END]]
    assert sampler.sum_logprobs.tolist() == pytest.approx([2 * one, one])
    assert sampler.finished.tolist() == [False, True]


def test_samples_follow_the_distribution_and_the_seed():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1]])).expand(2000, 3)
    rows = torch.arange(2000)

    first, again, other = (
        TokenSampler(2000, 1.0, [END], best_of=2000, seed=seed).choose(logits, rows)
        for seed in (1, 1, 2)
    )

    shares = torch.bincount(first, minlength=3) / 2000
    assert shares.tolist() == pytest.approx([0.7, 0.2, 0.1], abs=0.04)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_sample_does_not_depend_on_the_other_rows_of_the_batch():
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))

    together = TokenSampler(3, 0.8, [END]).choose(logits, torch.arange(3))

    apart = [TokenSampler(1, 0.8, [END]).choose(row[None], torch.arange(1)) for row in logits]
    assert together.tolist() == [int(one) for one in apart]


def test_the_processor_of_transformers_chooses_the_same_tokens():
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(1))
    sampler = TokenSampler(4, 0.8, [END], best_of=2, seed=3)
    processor = SamplingProcessor(4, 0.8, [END], best_of=2, seed=3)

    chosen = sampler.choose(logits, torch.arange(4))

    assert torch.equal(processor(None, logits).argmax(-1), chosen)
    assert torch.equal(processor.sum_logprobs, sampler.sum_logprobs)
