from gaudi_asr_cli.core.training.blanks import BlankWatch


def verdicts(watch, logs):
    found = (watch.look(step, loss, blank) for step, loss, blank in logs)
    return [verdict for verdict in found if verdict is not None]


def test_early_blanks_are_reported_as_normal_once():
    watch = BlankWatch(total_steps=2000, warmup_steps=200)

    found = verdicts(watch, [(step, 3.0, 1.0) for step in range(10, 300, 10)])

    assert len(found) == 1
    assert not found[0].hopeless


def test_blanks_on_a_plateau_after_the_limit_are_reported_as_hopeless_once():
    watch = BlankWatch(total_steps=2000, warmup_steps=200)

    found = verdicts(watch, [(step, 2.9, 1.0) for step in range(10, 2000, 10)])

    assert [verdict.hopeless for verdict in found] == [False, True]
    assert "learning rate" in found[1].remedy


def test_a_loss_that_still_falls_is_not_hopeless():
    watch = BlankWatch(total_steps=2000, warmup_steps=200)

    found = verdicts(watch, [(step, 300.0 / step, 1.0) for step in range(10, 2000, 10)])

    assert not any(verdict.hopeless for verdict in found)


def test_a_model_that_emits_letters_is_not_reported():
    watch = BlankWatch(total_steps=100, warmup_steps=10)

    assert verdicts(watch, [(step, 1.0, 0.7) for step in range(10, 100, 10)]) == []
