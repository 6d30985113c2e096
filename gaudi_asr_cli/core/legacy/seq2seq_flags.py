"""Flags of run_speech_recognition_seq2seq.py: transformers' and optimum-habana's."""

from __future__ import annotations

from gaudi_asr_cli.core.legacy.ctc_flags import DATA_FLAGS
from gaudi_asr_cli.core.legacy.flags import (
    OldFlag,
    dropped,
    dropped_all,
    moved,
    renamed,
)

SEQ2SEQ_FLAGS: tuple[OldFlag, ...] = (
    *DATA_FLAGS,
    *dropped_all("config_name tokenizer_name feature_extractor_name",
                 "a model's folder holds its configuration, tokenizer and feature extractor"),
    dropped("use_fast_tokenizer", "switch", "the one that the model's folder has"),
    dropped("model_revision", "text", "main; another: hf download ID --revision REV --local-dir "
            "DIR, and --model DIR"),
    moved("freeze_feature_encoder", "switch", "--freeze feature-encoder",
          "true unless told: false is --freeze none"),
    moved("freeze_encoder", "switch", "--freeze encoder"),
    *dropped_all("forced_decoder_ids suppress_tokens", "the model's own; --language and --task say "
                 "what is written"),
    moved("apply_spec_augment", "switch", "--spec-augment SHARE"),
    dropped("text_column", "text", "the script never read it; --text-column names the column"),
    moved("do_lower_case", "switch", "--case lower", "true unless told: false is --case keep"),
    renamed("language", "text", "language"),
    renamed("task", "text", "task"),
    dropped("label_features_max_length", "number", "labels are padded to their bucket, and no "
            "reference is ever cut: texts over the model's limit are listed"),
    dropped("predict_with_generate", "switch", "always: a score is of text that was generated"),
    renamed("generation_max_length", "number", "generation.max_tokens"),
    renamed("generation_num_beams", "number", "generation.beams"),
    dropped("generation_config", "text", "generation_config.json in the model's folder"),
    dropped("sortish_sampler", "switch", "batches are always made of similar lengths"),
    dropped("ignore_eos", "switch", "a text ends where the model ends it"),
)  # fmt: skip
