"""The flags of the legacy scripts: the values that each takes, and what replaces it here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

ValueKind = Literal["switch", "text", "number", "list", "any"]

FormatKey = Callable[[str], str]
"""Return the option of the current command line that sets a recipe key."""


class FlagStatus(str, Enum):
    """The status of a legacy flag. Kept and passed-on flags need no notice: nothing changes."""

    RENAMED = "renamed"
    KEPT = "kept"
    PASSED = "passed on"
    DROPPED = "dropped"
    DANGEROUS = "dangerous"


@dataclass(frozen=True, slots=True)
class LegacyFlag:
    """A flag of a legacy script.

    Args:
        name: The flag as the script defines it, without leading hyphens.
        value_kind: A switch, with or without a value; text or a number; a list of unquoted words;
            `any` for zero or one value that is ignored.
        status: What happens to the flag.
        key: The recipe key that takes its value unchanged; empty where a translation is needed.
        replacement: The options that replace it, where that is not the option for `key`.
        about: One line for the user, with the consequence.
    """

    name: str
    value_kind: ValueKind
    status: FlagStatus
    key: str = ""
    replacement: str = ""
    about: str = ""

    @property
    def option(self) -> str:
        return f"--{self.name}"

    def describe(self, format_key: FormatKey) -> str:
        """Return one sentence on what replaces the flag, without its name.

        Args:
            format_key: Maps a recipe key to the option that sets it.
        """
        option = self.replacement or (format_key(self.key) if self.key else "")
        replaced_by = f"is {option}" if option else ""
        return "; ".join(part for part in (replaced_by, self.about) if part)


Table = Mapping[str, LegacyFlag]


def table(*parts: Iterable[LegacyFlag]) -> dict[str, LegacyFlag]:
    """Return the flags by name; flags of later parts replace those of earlier parts."""
    return {flag.name: flag for part in parts for flag in part}


def _renamed(name: str, kind: ValueKind, key: str, about: str = "") -> LegacyFlag:
    """Return a flag whose value goes to a recipe key unchanged."""
    return LegacyFlag(name, kind, FlagStatus.RENAMED, key=key, about=about)


def _replaced(name: str, kind: ValueKind, replacement: str, about: str = "") -> LegacyFlag:
    """Return a flag that is translated to one or several options."""
    return LegacyFlag(name, kind, FlagStatus.RENAMED, replacement=replacement, about=about)


def _kept(name: str, kind: ValueKind, about: str = "") -> LegacyFlag:
    """Return a flag that is an option of the same name."""
    return LegacyFlag(name, kind, FlagStatus.KEPT, replacement=f"--{name}", about=about)


def _dropped(name: str, kind: ValueKind, about: str) -> LegacyFlag:
    """Return a flag that has no effect here."""
    return LegacyFlag(name, kind, FlagStatus.DROPPED, about=about)


def _all_dropped(names: str, about: str) -> list[LegacyFlag]:
    """Return several flags that are dropped for the same reason; their values are ignored."""
    return [_dropped(name, "any", about) for name in names.split()]


def _dangerous(name: str, kind: ValueKind, about: str, replacement: str = "") -> LegacyFlag:
    """Return a flag that does harm if it is obeyed."""
    return LegacyFlag(name, kind, FlagStatus.DANGEROUS, replacement=replacement, about=about)


def _passed_on(names: str, kind: ValueKind) -> list[LegacyFlag]:
    """Return fields of transformers' TrainingArguments that are passed on unchanged."""
    about = "passed on to transformers' TrainingArguments"
    return [
        LegacyFlag(name, kind, FlagStatus.PASSED, key=f"trainer.{name}", about=about)
        for name in names.split()
    ]


# Flags of the trainers' arguments: transformers 4 and 5, optimum-habana, optimum-graphcore. Both
# Hugging Face scripts accept them all.

_DECODED_IN_BACKGROUND = "background threads always read and decode audio ahead"
_GROUPED = "batches always group utterances of similar length, read from the file headers"
_DATA_LOADER = "gaudi-asr's own data loader delivers whole planned batches"
_IPU = "an option for Graphcore IPUs, which are not supported"
_NO_UPLOAD = "nothing is uploaded; to upload the model afterwards: gaudi-asr push RUN OWNER/NAME"
_BEST = "the best checkpoint is the one with the lowest word error rate"
_LAZY = "lazy mode always uses HPU graphs for inference"
_ATTENTION = "the attention implementation is chosen for the device and the model"
_COMPILED = "an option of torch.compile on Gaudi; use --hpu-mode compile"
_THROUGHPUT = (
    "throughput is measured since the previous log line, so initial compilation does not distort it"
)
_PROGRESS = "progress goes to standard error; --quiet turns it off, --json is for programs"
_GAUDI_ARGUMENT = "field of GaudiTrainingArguments; with optimum-habana: --set trainer.NAME=VALUE"
_NO_DEVICE = "this device is not supported"
_NO_LOGITS = "errors are counted utterance by utterance; no logits are gathered"
_OWN_BATCHES = "evaluation plans its own batches; its transcripts do not depend on them"
_TOKEN = "not read: other users of the machine can see a token on a command line; use hf auth login"  # noqa: S105
_REMOTE_CODE = "accepted, not followed: code from the hub is never run"

_PRECISION: list[LegacyFlag] = [
    _renamed("bf16", "switch", "dtype", "bf16"),
    _renamed("fp16", "switch", "dtype", "fp16; like --dtype auto on a device without fp16"),
    _dropped("fp16_backend", "text", "always torch's own autocast"),
    _dropped("fp16_opt_level", "text", "an option of NVIDIA apex, which is obsolete"),
    _dropped("half_precision_backend", "text", "always torch's own autocast"),
    _dropped("bf16_full_eval", "switch", "evaluation runs in --dtype"),
    _dropped("fp16_full_eval", "switch", "evaluation runs in --dtype"),
    *_passed_on("tf32", "switch"),
]

_DEVICE: list[LegacyFlag] = [
    _replaced("use_habana", "switch", "--device hpu"),
    _replaced("use_lazy_mode", "switch", "--hpu-mode lazy", "false is --hpu-mode eager"),
    _replaced("no_cuda", "switch", "--device cpu"),
    _replaced("use_cpu", "switch", "--device cpu"),
    _replaced("torch_compile", "switch", "--hpu-mode compile",
              "no effect on other devices than Gaudi"),
    _dropped("torch_compile_backend", "text", _COMPILED),
    _dropped("torch_compile_mode", "text", _COMPILED),
    _dropped("torchdynamo", "text", _COMPILED),
    _dropped("use_compiled_autograd", "switch", _COMPILED),
    _dropped("use_regional_compilation", "switch", _COMPILED),
    _dropped("use_mps_device", "switch", _NO_DEVICE),
    _dropped("use_ipex", "switch", "torch includes oneDNN"),
    _dropped("jit_mode_eval", "switch", "the CPU engine packs its batches instead"),
    _dropped("tpu_num_cores", "number", _NO_DEVICE),
    _dropped("tpu_metrics_debug", "switch", _NO_DEVICE),
    _dropped("mp_parameters", "text", "an option of SageMaker"),
]  # fmt: skip

_HABANA: list[LegacyFlag] = [
    _dropped("gaudi_config_name", "text", "nothing is downloaded: autocast follows --dtype; for "
             "fused kernels --set trainer.use_fused_adam=true and use_fused_clip_norm=true"),
    _dropped("use_hpu_graphs", "switch", _LAZY),
    _dropped("use_hpu_graphs_for_inference", "switch", _LAZY),
    _dangerous("use_hpu_graphs_for_training", "switch", "a captured step repeats the first "
               "SpecAugment mask and LayerDrop choice in every step: followed only where both are "
               "0 and gradients are not accumulated",
               "--set trainer.use_hpu_graphs_for_training=true"),
    _dropped("disable_tensor_cache_hpu_graphs", "switch", _LAZY),
    _dropped("max_hpu_graphs", "number", "--buckets sets the number of shapes"),
    _dropped("throughput_warmup_steps", "number", _THROUGHPUT),
    _dropped("adjust_throughput", "switch", _THROUGHPUT),
    _dropped("sdp_on_bf16", "switch", "attention always uses the more accurate reduction"),
    _dropped("attn_implementation", "text", _ATTENTION),
    _dropped("flash_attention_recompute", "switch", _ATTENTION),
    _dropped("flash_attention_fast_softmax", "switch", _ATTENTION),
    _dropped("flash_attention_causal_mask", "switch", _ATTENTION),
    _dropped("flash_attention_fp8", "switch", _ATTENTION),
    *_all_dropped(
        "compile_from_sec_iteration compile_dynamic use_zero3_leaf_promotion cache_size_limit "
        "inline_inbuilt_nn_modules allow_unspec_int_on_nn_module context_parallel_size "
        "minimize_memory pipelining_fwd_bwd non_blocking_data_copy distribution_strategy fp8 "
        "profiling_warmup_steps profiling_steps profiling_warmup_steps_eval profiling_steps_eval "
        "profiling_record_shapes profiling_with_stack",
        _GAUDI_ARGUMENT,
    ),
]  # fmt: skip

_GRAPHCORE: list[LegacyFlag] = [
    _dropped("ipu_config_name", "text", _IPU),
    _dropped("ipu_config_overrides", "text", _IPU),
    _dropped("pod_type", "text", _IPU),
    _dropped("dataloader_mode", "text", _DATA_LOADER),
    _dropped("loss_scaling", "number", "the loss is scaled automatically in fp16 on CUDA"),
    _dropped("auto_loss_scaling", "switch", "the loss is scaled automatically in fp16 on CUDA"),
    _dropped("pad_on_batch_axis", "switch", "batches are filled up on devices that compile shapes"),
    _dropped("lamb", "switch", "the optimiser is AdamW"),
    _dropped("lamb_no_bias_correction", "switch", "the optimiser is AdamW"),
    _replaced("fp32", "switch", "--dtype fp32"),
    _replaced("compile_only", "switch", "--dry-run", "reads and checks everything, trains nothing"),
]

_SCHEDULE: list[LegacyFlag] = [
    _renamed("learning_rate", "number", "optimizer.learning_rate"),
    _renamed("num_train_epochs", "number", "epochs"),
    _replaced("max_steps", "number", "--max-steps", "-1 means no limit"),
    _renamed("per_device_train_batch_size", "number", "batching.batch"),
    _renamed("per_gpu_train_batch_size", "number", "batching.batch"),
    _renamed("gradient_accumulation_steps", "number", "batching.accumulate"),
    _renamed("gradient_checkpointing", "switch", "gradient_checkpointing"),
    _renamed("activation_checkpointing", "switch", "gradient_checkpointing"),
    _dropped("gradient_checkpointing_kwargs", "text", "checkpointing is always non-reentrant"),
    _dropped("activation_checkpointing_kwargs", "text", "checkpointing is always non-reentrant"),
    _renamed("warmup_steps", "number", "optimizer.warmup"),
    _replaced("warmup_ratio", "number", "--warmup", "a percentage such as 10%"),
    _replaced("lr_scheduler_type", "text", "--set optimizer.schedule"),
    _replaced("adam_beta1", "number", "--set optimizer.betas"),
    _replaced("adam_beta2", "number", "--set optimizer.betas"),
    _renamed("adam_epsilon", "number", "optimizer.epsilon"),
    _renamed("weight_decay", "number", "optimizer.weight_decay"),
    _renamed("max_grad_norm", "number", "optimizer.clip_norm"),
    _dropped("adafactor", "switch", "use --set trainer.optim=adafactor"),
    _renamed("seed", "number", "seed"),
    _dropped("data_seed", "number", "--seed is the seed of everything random"),
    _dropped("group_by_length", "switch", _GROUPED),
    _dropped("train_sampling_strategy", "text", _GROUPED),
    _dropped("length_column_name", "text", _GROUPED),
    _dropped("dataloader_drop_last", "switch", "the last batch is always used for training"),
    _dropped("dataloader_num_workers", "number", _DECODED_IN_BACKGROUND),
    *_all_dropped(
        "dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor "
        "dataloader_multiprocessing_context dataloader_in_order remove_unused_columns label_names "
        "accelerator_config",
        _DATA_LOADER,
    ),
    *_passed_on(
        "optim optim_args optim_target_modules lr_scheduler_kwargs label_smoothing_factor "
        "neftune_noise_alpha fsdp fsdp_config fsdp_min_num_params "
        "fsdp_transformer_layer_cls_to_wrap liger_kernel_config parallelism_config run_name "
        "project trackio_space_id debug torch_empty_cache_steps ddp_backend ddp_timeout "
        "ddp_bucket_cap_mb",
        "text",
    ),
    *_passed_on(
        "full_determinism ddp_find_unused_parameters ddp_broadcast_buffers ddp_static_graph "
        "use_liger_kernel skip_memory_metrics average_tokens_across_devices use_cache",
        "switch",
    ),
    *_passed_on("report_to", "list"),
    _dropped("auto_find_batch_size", "switch",
             "--batch-seconds limits a batch to so many seconds of audio"),
    _dropped("past_index", "number", "no supported model uses it"),
    _dropped("ray_scope", "text", "there is no hyper-parameter search"),
    _dropped("local_rank", "number", "--cards starts the ranks"),
]  # fmt: skip

_EVALUATION: list[LegacyFlag] = [
    _replaced("evaluation_strategy", "text", "--set evaluation.every",
              "no is end: once, at the end"),
    _replaced("eval_strategy", "text", "--set evaluation.every", "no is end: once, at the end"),
    _replaced("eval_steps", "number", "--set evaluation.every"),
    _dropped("eval_delay", "number", "the first evaluation is at the first interval"),
    _dropped("eval_on_start", "switch", "gaudi-asr eval-ctc evaluates a model before training"),
    _dropped("prediction_loss_only", "switch", "evaluation always reports the word error rate"),
    _dropped("per_device_eval_batch_size", "number", _OWN_BATCHES),
    _dropped("per_gpu_eval_batch_size", "number", _OWN_BATCHES),
    *_all_dropped(
        "eval_accumulation_steps eval_do_concat_batches eval_use_gather_object "
        "include_inputs_for_metrics include_for_metrics batch_eval_metrics "
        "use_legacy_prediction_loop",
        _NO_LOGITS,
    ),
    _replaced("load_best_model_at_end", "switch", "--set evaluation.keep=best",
              "without it the last weights are kept"),
    _dropped("metric_for_best_model", "text", _BEST),
    _dropped("greater_is_better", "switch", _BEST),
]  # fmt: skip

_CHECKPOINTS: list[LegacyFlag] = [
    _replaced("output_dir", "text", "--run"),
    _replaced("overwrite_output_dir", "switch", "a numbered folder",
              "nothing is overwritten: if the folder exists, the next free NAME-2 is used"),
    _replaced("save_strategy", "text", "--set evaluation.save_every"),
    _replaced("save_steps", "number", "--set evaluation.save_every"),
    _dropped("save_total_limit", "number", "the newest and the best checkpoint are kept"),
    _dropped("save_safetensors", "switch", "weights are always saved as safetensors"),
    _dropped("save_on_each_node", "switch", "the first rank writes the run folder"),
    _dropped("save_only_model", "switch", "every checkpoint can be resumed"),
    _dropped("enable_jit_checkpoint", "switch", "a stopped run can always be resumed"),
    _replaced("resume_from_checkpoint", "text", "--resume --run DIR",
              "the newest checkpoint is found automatically"),
    _dropped("restore_callback_states_from_checkpoint", "switch", "always restored"),
    _dropped("ignore_data_skip", "switch", "a resumed run continues with the next batch"),
    _renamed("logging_steps", "number", "evaluation.log_every"),
    _dropped("logging_strategy", "text", "use --set evaluation.log_every=N"),
    _dropped("logging_first_step", "switch", "use --set evaluation.log_every=1"),
    _dropped("logging_dir", "text", "the log is events.jsonl in the run folder"),
    _dangerous("logging_nan_inf_filter", "switch", "always off: it hides diverged training; a "
               "loss that is not finite stops the run"),
    *_all_dropped(
        "log_level log_level_replica log_on_each_node disable_tqdm include_tokens_per_second "
        "include_num_input_tokens_seen",
        _PROGRESS,
    ),
    *_all_dropped(
        "hub_model_id hub_strategy hub_private_repo hub_always_push hub_revision "
        "push_to_hub_model_id push_to_hub_organization trackio_bucket_id trackio_static_space_id",
        _NO_UPLOAD,
    ),
    _dangerous("push_to_hub", "switch", f"not followed: {_NO_UPLOAD}"),
    _dangerous("hub_token", "text", _TOKEN),
    _dangerous("push_to_hub_token", "text", _TOKEN),
    _replaced("do_train", "switch", "the command itself", "without it: --no-train"),
    _replaced("do_eval", "switch", "--eval", "without it nothing is evaluated"),
    _dropped("do_predict", "switch", "--test names data to evaluate once, at the end"),
    _kept("deepspeed", "text"),
]  # fmt: skip

TRAINER_FLAGS: tuple[LegacyFlag, ...] = (
    *_PRECISION, *_DEVICE, *_HABANA, *_GRAPHCORE, *_SCHEDULE, *_EVALUATION, *_CHECKPOINTS,
)  # fmt: skip
"""Flags of both Hugging Face scripts, from the trainers' arguments."""

ALL_DATA = "for training: evaluation uses all data"
_FROZEN = "true by default; false is --freeze none"

_DATA_FLAGS: tuple[LegacyFlag, ...] = (
    _renamed("model_name_or_path", "text", "model"),
    _replaced("dataset_name", "text", "--train and --eval"),
    _replaced("dataset_config_name", "text", "--config"),
    _renamed("train_split_name", "text", "train.split"),
    _renamed("eval_split_name", "text", "eval.split"),
    _dropped("audio_column_name", "text", "the audio column is found by its name or type"),
    _replaced("text_column_name", "text", "--text-column"),
    _renamed("max_train_samples", "number", "train.limit"),
    _renamed("max_eval_samples", "number", "eval.limit"),
    _renamed("max_duration_in_seconds", "number", "batching.max_seconds", ALL_DATA),
    _renamed("min_duration_in_seconds", "number", "batching.min_seconds", ALL_DATA),
    _dropped("overwrite_cache", "switch", "there is no cache of preprocessed audio"),
    _dropped("preprocessing_num_workers", "number",
             "nothing is preprocessed: audio is decoded batch by batch"),
    _replaced("preprocessing_only", "switch", "--dry-run",
              "reads and checks everything, trains nothing"),
    _dropped("cache_dir", "text", "set HF_HOME in the environment to choose the cache folder"),
    _dangerous("token", "text", _TOKEN),
    _dropped("use_auth_token", "switch", "hf auth login is enough"),
    _dangerous("trust_remote_code", "switch", _REMOTE_CODE),
)  # fmt: skip
"""Flags of both Hugging Face scripts, from their model and data arguments."""

_NETWORK = (
    "attention_dropout", "activation_dropout", "feat_proj_dropout", "hidden_dropout",
    "final_dropout", "mask_time_prob", "mask_time_length", "mask_feature_prob",
    "mask_feature_length", "layerdrop",
)  # fmt: skip
"""Fields of the model configuration that are flags."""

# run_speech_recognition_ctc.py of transformers, optimum-habana and optimum-graphcore.
CTC_FLAGS: tuple[LegacyFlag, ...] = (
    *_DATA_FLAGS,
    _replaced("tokenizer_name_or_path", "text", "--vocab"),
    _replaced("chars_to_ignore", "list", "--strip-chars", "exactly these characters"),
    _replaced("freeze_feature_encoder", "switch", "--freeze feature-encoder", _FROZEN),
    *(_renamed(name, "number", f"network.{name}") for name in _NETWORK),
    _renamed("ctc_loss_reduction", "text", "network.ctc_loss_reduction"),
    _renamed("ctc_zero_infinity", "switch", "network.ctc_zero_infinity"),
    _renamed("add_adapter", "switch", "network.add_adapter"),
    _dropped("eval_metrics", "list", "word and character error rates are always reported"),
    _renamed("unk_token", "text", "text.unk_token"),
    _renamed("pad_token", "text", "text.pad_token"),
    _renamed("word_delimiter_token", "text", "text.word_delimiter_token"),
    _replaced("phoneme_language", "text", "--set text.unit=phoneme --set text.language"),
)

# run_speech_recognition_seq2seq.py of transformers and optimum-habana.
SEQ2SEQ_FLAGS: tuple[LegacyFlag, ...] = (
    *_DATA_FLAGS,
    *_all_dropped("config_name tokenizer_name feature_extractor_name",
                  "the model folder has the configuration, tokenizer and feature extractor"),
    _dropped("use_fast_tokenizer", "switch", "the tokenizer is the one in the model folder"),
    _dropped("model_revision", "text", "always main; for another: hf download ID --revision REV "
             "--local-dir DIR, and --model DIR"),
    _replaced("freeze_feature_encoder", "switch", "--freeze feature-encoder", _FROZEN),
    _replaced("freeze_encoder", "switch", "--freeze encoder"),
    *_all_dropped("forced_decoder_ids suppress_tokens",
                  "the model's own are used; --language and --task choose the output"),
    _replaced("apply_spec_augment", "switch", "--spec-augment SHARE"),
    _dropped("text_column", "text", "the script ignored it; --text-column names the column"),
    _replaced("do_lower_case", "switch", "--case lower", "true by default; false is --case keep"),
    _renamed("language", "text", "language"),
    _renamed("task", "text", "task"),
    _dropped("label_features_max_length", "number", "labels are padded to their bucket and "
             "references are never truncated: transcripts over the model's limit are listed"),
    _dropped("predict_with_generate", "switch", "evaluation always scores generated text"),
    _renamed("generation_max_length", "number", "generation.max_tokens"),
    _renamed("generation_num_beams", "number", "generation.beams"),
    _dropped("generation_config", "text", "generation_config.json in the model folder is used"),
    _dropped("sortish_sampler", "switch", _GROUPED),
    _dropped("ignore_eos", "switch", "generation ends at the end-of-sequence token"),
)  # fmt: skip

# Habana's wav2vec.py, the inference benchmark of Model-References.
WAV2VEC_FLAGS: tuple[LegacyFlag, ...] = (
    _kept("dtype", "text"),
    _kept("buckets", "number"),
    _kept("limit", "number"),
    _kept("repeat", "number"),
    _kept("large", "switch"),
    _kept("profile", "switch"),
    _kept("accuracy", "switch"),
    _kept("perf", "switch", "always shown; for the script's perf_metric.csv use --perf-csv "
          "perf_metric.csv"),
    _replaced("use_graphs", "switch", "--graphs"),
    _replaced("dev_clean_ds", "switch", "--data hf-internal-testing/librispeech_asr_dummy",
              "73 utterances"),
    _replaced("data_path", "text", "--data"),
    _dropped("debug", "switch",
             "an option of Habana's runtime: set LOG_LEVEL_ALL in the environment"),
    _dropped("multi_thread", "number", "decoding to text always uses threads"),
    _dropped("graph_async", "number", "copies to the device are always asynchronous"),
)  # fmt: skip
