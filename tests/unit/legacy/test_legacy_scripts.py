import pytest

from gaudi_asr_cli.core.legacy.scripts import SCRIPTS, translate


def settings(*words):
    translation = translate(
        SCRIPTS["ctc"],
        ["--do_train", *words],
        format_key=lambda key: key,
        is_current=lambda word: False,
    )
    return translation.settings


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
def test_flags_are_translated_to_recipe_keys(words, key, value):
    assert settings(*words)[key] == value


def test_training_steps_are_captured_only_without_random_masks_or_accumulation():
    graphs = "--use_hpu_graphs_for_training"
    deterministic = ["--mask_time_prob", "0", graphs]

    assert settings(*deterministic)["trainer.use_hpu_graphs_for_training"] is True
    assert "trainer.use_hpu_graphs_for_training" not in settings(graphs)
    assert "trainer.use_hpu_graphs_for_training" not in settings(
        *deterministic, "--layerdrop", "0.1"
    )
    assert "trainer.use_hpu_graphs_for_training" not in settings(
        *deterministic, "--gradient_accumulation_steps", "2"
    )
