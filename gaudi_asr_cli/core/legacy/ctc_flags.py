"""Flags of run_speech_recognition_ctc.py: transformers', optimum-habana's, optimum-graphcore's."""

from __future__ import annotations

from gaudi_asr_cli.core.legacy.flags import (
    OldFlag,
    dangerous,
    dropped,
    moved,
    renamed,
)

TOKEN = "not read: a token on a command line is seen by everybody; use hf auth login"  # noqa: S105
REMOTE_CODE = "accepted, not followed: no code from the hub is ever run"

DATA_FLAGS: tuple[OldFlag, ...] = (
    renamed("model_name_or_path", "text", "model"),
    moved("dataset_name", "text", "--train and --eval"),
    moved("dataset_config_name", "text", "--config"),
    renamed("train_split_name", "text", "train.split"),
    renamed("eval_split_name", "text", "eval.split"),
    dropped("audio_column_name", "text", "the column of sound is found by its name or kind"),
    moved("text_column_name", "text", "--text-column"),
    renamed("max_train_samples", "number", "train.limit"),
    renamed("max_eval_samples", "number", "eval.limit"),
    renamed("max_duration_in_seconds", "number", "batching.max_seconds",
            "for training: scores are of all data"),
    renamed("min_duration_in_seconds", "number", "batching.min_seconds",
            "for training: scores are of all data"),
    dropped("overwrite_cache", "switch", "there is no cache of prepared sound"),
    dropped("preprocessing_num_workers", "number", "nothing is prepared beforehand: sound is "
            "decoded when its batch is due"),
    moved("preprocessing_only", "switch", "--dry-run",
          "reads and checks everything, trains nothing"),
    dropped("cache_dir", "text", "HF_HOME in the environment says where the cache is"),
    dangerous("token", "text", TOKEN),
    dropped("use_auth_token", "switch", "hf auth login is enough"),
    dangerous("trust_remote_code", "switch", REMOTE_CODE),
)  # fmt: skip
"""Those that the script for sequence-to-sequence models has as well."""

NETWORK = (
    "attention_dropout", "activation_dropout", "feat_proj_dropout", "hidden_dropout",
    "final_dropout", "mask_time_prob", "mask_time_length", "mask_feature_prob",
    "mask_feature_length", "layerdrop",
)  # fmt: skip
"""Fields of the model's configuration that had flags of their own."""

CTC_FLAGS: tuple[OldFlag, ...] = (
    *DATA_FLAGS,
    moved("tokenizer_name_or_path", "text", "--vocab"),
    moved("chars_to_ignore", "list", "--strip-chars", "exactly these characters"),
    moved("freeze_feature_encoder", "switch", "--freeze feature-encoder",
          "true unless told: false is --freeze none"),
    *(renamed(name, "number", f"network.{name}") for name in NETWORK),
    renamed("ctc_loss_reduction", "text", "network.ctc_loss_reduction"),
    renamed("ctc_zero_infinity", "switch", "network.ctc_zero_infinity"),
    renamed("add_adapter", "switch", "network.add_adapter"),
    dropped("eval_metrics", "list", "word and character error rates, always"),
    renamed("unk_token", "text", "text.unk_token"),
    renamed("pad_token", "text", "text.pad_token"),
    renamed("word_delimiter_token", "text", "text.word_delimiter_token"),
    moved("phoneme_language", "text", "--set text.unit=phoneme --set text.language"),
)  # fmt: skip
