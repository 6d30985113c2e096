"""Flags of the trainers' arguments: transformers 4 and 5, optimum-habana, optimum-graphcore.

Both Hugging Face scripts take them all.
"""

from __future__ import annotations

from gaudi_asr_cli.core.legacy.flags import (
    FlagStatus,
    OldFlag,
    dangerous,
    dropped,
    dropped_all,
    moved,
    passed,
    renamed,
)

_READ_AHEAD = "sound is read and decoded ahead by threads of our own"
_GROUPED = "batches are always made of similar lengths, read from the files' headers"
_DATA_LOADER = "our own loader brings whole planned batches"
_IPU = "of Graphcore's IPUs, which are not supported here"
_NO_UPLOAD = "nothing is uploaded; afterwards: hf upload OWNER/NAME RUN/model"
_BEST = "the best checkpoint is that of the lowest word error rate"
_LAZY = "lazy mode replays graphs when it listens, without being asked"
_ATTENTION = "attention is chosen to fit device and model"
_COMPILED = "of torch.compile on Gaudi; --hpu-mode compile is the mode"
_METER = "rates are of the stretch since the last line, so what compiles first does not spoil them"
_SILENT = "progress is told on standard error; --quiet is silent, --json for programs"
_GAUDI_ARGUMENT = "field of GaudiTrainingArguments; with optimum-habana: --set trainer.NAME=VALUE"

PRECISION: list[OldFlag] = [
    renamed("bf16", "switch", "dtype", "bf16"),
    renamed("fp16", "switch", "dtype", "fp16; where the device has none, what --dtype auto is"),
    dropped("fp16_backend", "text", "torch's own autocast"),
    dropped("fp16_opt_level", "text", "of NVIDIA's apex, long gone"),
    dropped("half_precision_backend", "text", "torch's own autocast"),
    dropped("bf16_full_eval", "switch", "scoring runs in --dtype"),
    dropped("fp16_full_eval", "switch", "scoring runs in --dtype"),
    *passed("tf32", "switch"),
]

DEVICE: list[OldFlag] = [
    moved("use_habana", "switch", "--device hpu"),
    moved("use_lazy_mode", "switch", "--hpu-mode lazy", "false is --hpu-mode eager"),
    moved("no_cuda", "switch", "--device cpu"),
    moved("use_cpu", "switch", "--device cpu"),
    moved("torch_compile", "switch", "--hpu-mode compile", "elsewhere nothing is compiled"),
    dropped("torch_compile_backend", "text", _COMPILED),
    dropped("torch_compile_mode", "text", _COMPILED),
    dropped("torchdynamo", "text", _COMPILED),
    dropped("use_compiled_autograd", "switch", _COMPILED),
    dropped("use_regional_compilation", "switch", _COMPILED),
    dropped("use_mps_device", "switch", "no such device here"),
    dropped("use_ipex", "switch", "oneDNN comes with torch"),
    dropped("jit_mode_eval", "switch", "the CPU path is packed instead"),
    dropped("tpu_num_cores", "number", "no such device here"),
    dropped("tpu_metrics_debug", "switch", "no such device here"),
    dropped("mp_parameters", "text", "of SageMaker"),
]

HABANA: list[OldFlag] = [
    dropped("gaudi_config_name", "text", "nothing is fetched: autocast follows --dtype, and "
            "--set trainer.use_fused_adam=true and use_fused_clip_norm=true fuse"),
    dropped("use_hpu_graphs", "switch", _LAZY),
    dropped("use_hpu_graphs_for_inference", "switch", _LAZY),
    dangerous("use_hpu_graphs_for_training", "switch", "a captured step keeps the first mask of "
              "SpecAugment and LayerDrop for ever: followed only where both are 0 and nothing is "
              "accumulated", becomes="--set trainer.use_hpu_graphs_for_training=true"),
    dropped("disable_tensor_cache_hpu_graphs", "switch", _LAZY),
    dropped("max_hpu_graphs", "number", "--buckets says how many shapes there are"),
    dropped("throughput_warmup_steps", "number", _METER),
    dropped("adjust_throughput", "switch", _METER),
    dropped("sdp_on_bf16", "switch", "a reduction in bf16 inside attention; the safe one is kept"),
    dropped("attn_implementation", "text", _ATTENTION),
    dropped("flash_attention_recompute", "switch", _ATTENTION),
    dropped("flash_attention_fast_softmax", "switch", _ATTENTION),
    dropped("flash_attention_causal_mask", "switch", _ATTENTION),
    dropped("flash_attention_fp8", "switch", _ATTENTION),
    *dropped_all(
            "compile_from_sec_iteration compile_dynamic use_zero3_leaf_promotion cache_size_limit "
            "inline_inbuilt_nn_modules allow_unspec_int_on_nn_module context_parallel_size "
            "minimize_memory pipelining_fwd_bwd non_blocking_data_copy distribution_strategy fp8 "
            "profiling_warmup_steps profiling_steps profiling_warmup_steps_eval "
            "profiling_steps_eval profiling_record_shapes profiling_with_stack",
        _GAUDI_ARGUMENT,
    ),
]  # fmt: skip

GRAPHCORE: list[OldFlag] = [
    dropped("ipu_config_name", "text", _IPU),
    dropped("ipu_config_overrides", "text", _IPU),
    dropped("pod_type", "text", _IPU),
    dropped("dataloader_mode", "text", _DATA_LOADER),
    dropped("loss_scaling", "number", "fp16 on CUDA scales by itself"),
    dropped("auto_loss_scaling", "switch", "fp16 on CUDA scales by itself"),
    dropped("pad_on_batch_axis", "switch", "batches are filled where a device compiles shapes"),
    dropped("lamb", "switch", "the optimiser is AdamW"),
    dropped("lamb_no_bias_correction", "switch", "the optimiser is AdamW"),
    moved("fp32", "switch", "--dtype fp32"),
    moved("compile_only", "switch", "--dry-run", "reads and checks everything, trains nothing"),
]

SCHEDULE: list[OldFlag] = [
    renamed("learning_rate", "number", "optimizer.learning_rate"),
    renamed("num_train_epochs", "number", "epochs"),
    moved("max_steps", "number", "--max-steps", "-1 is none"),
    renamed("per_device_train_batch_size", "number", "batching.batch"),
    renamed("per_gpu_train_batch_size", "number", "batching.batch"),
    renamed("gradient_accumulation_steps", "number", "batching.accumulate"),
    renamed("gradient_checkpointing", "switch", "gradient_checkpointing"),
    renamed("activation_checkpointing", "switch", "gradient_checkpointing"),
    dropped("gradient_checkpointing_kwargs", "text", "never re-entrant"),
    dropped("activation_checkpointing_kwargs", "text", "never re-entrant"),
    renamed("warmup_steps", "number", "optimizer.warmup"),
    moved("warmup_ratio", "number", "--warmup", "a share such as 10%"),
    moved("lr_scheduler_type", "text", "--set optimizer.schedule"),
    moved("adam_beta1", "number", "--set optimizer.betas"),
    moved("adam_beta2", "number", "--set optimizer.betas"),
    renamed("adam_epsilon", "number", "optimizer.epsilon"),
    renamed("weight_decay", "number", "optimizer.weight_decay"),
    renamed("max_grad_norm", "number", "optimizer.clip_norm"),
    dropped("adafactor", "switch", "--set trainer.optim=adafactor"),
    renamed("seed", "number", "seed"),
    dropped("data_seed", "number", "--seed is of all that is random"),
    dropped("group_by_length", "switch", _GROUPED),
    dropped("train_sampling_strategy", "text", _GROUPED),
    dropped("length_column_name", "text", _GROUPED),
    dropped("dataloader_drop_last", "switch", "the last batch is trained on too"),
    dropped("dataloader_num_workers", "number", _READ_AHEAD),
    *dropped_all(
            "dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor "
            "dataloader_multiprocessing_context dataloader_in_order remove_unused_columns "
            "label_names accelerator_config",
        _DATA_LOADER,
    ),
    *passed(
        "optim optim_args optim_target_modules lr_scheduler_kwargs label_smoothing_factor "
        "neftune_noise_alpha fsdp fsdp_config fsdp_min_num_params "
        "fsdp_transformer_layer_cls_to_wrap liger_kernel_config parallelism_config run_name "
        "project trackio_space_id debug torch_empty_cache_steps ddp_backend ddp_timeout "
        "ddp_bucket_cap_mb",
        "text",
    ),
    *passed(
        "full_determinism ddp_find_unused_parameters ddp_broadcast_buffers ddp_static_graph "
        "use_liger_kernel skip_memory_metrics average_tokens_across_devices use_cache",
        "switch",
    ),
    *passed("report_to", "list"),
    dropped("auto_find_batch_size", "switch", "--batch-seconds bounds a batch in seconds of sound"),
    dropped("past_index", "number", "no such model here"),
    dropped("ray_scope", "text", "no search for hyper-parameters here"),
    dropped("local_rank", "number", "ranks come from --cards"),
]  # fmt: skip

SCORING: list[OldFlag] = [
    moved("evaluation_strategy", "text", "--set evaluation.every", "no is end: once, at the end"),
    moved("eval_strategy", "text", "--set evaluation.every", "no is end: once, at the end"),
    moved("eval_steps", "number", "--set evaluation.every"),
    dropped("eval_delay", "number", "scores begin with the first that is due"),
    dropped("eval_on_start", "switch", "gaudi-asr eval-ctc scores a model before training"),
    dropped("prediction_loss_only", "switch", "every score is a word error rate"),
    *(
        dropped(name, "number", "scoring makes its own batches, and its text does not depend on "
                "them")
        for name in ("per_device_eval_batch_size", "per_gpu_eval_batch_size")
    ),
    *dropped_all(
            "eval_accumulation_steps eval_do_concat_batches eval_use_gather_object "
            "include_inputs_for_metrics include_for_metrics batch_eval_metrics "
            "use_legacy_prediction_loop",
        "scores are counted utterance by utterance; no logits are gathered",
    ),
    moved("load_best_model_at_end", "switch", "--set evaluation.keep=best", "without it the last "
          "weights are taken"),
    dropped("metric_for_best_model", "text", _BEST),
    dropped("greater_is_better", "switch", _BEST),
]  # fmt: skip

KEEPING: list[OldFlag] = [
    moved("output_dir", "text", "--run"),
    moved("overwrite_output_dir", "switch", "a numbered folder",
          "nothing is ever overwritten: where the folder exists, the next free NAME-2 is taken"),
    moved("save_strategy", "text", "--set evaluation.save_every"),
    moved("save_steps", "number", "--set evaluation.save_every"),
    dropped("save_total_limit", "number", "the newest and the best checkpoint are kept"),
    dropped("save_safetensors", "switch", "never anything else"),
    dropped("save_on_each_node", "switch", "the first rank writes the run folder"),
    dropped("save_only_model", "switch", "a checkpoint can always be resumed"),
    dropped("enable_jit_checkpoint", "switch", "a stopped run can always be resumed"),
    moved("resume_from_checkpoint", "text", "--resume --run DIR", "it finds the newest by itself"),
    dropped("restore_callback_states_from_checkpoint", "switch", "always"),
    dropped("ignore_data_skip", "switch", "a resumed run meets the batches that are due"),
    renamed("logging_steps", "number", "evaluation.log_every"),
    dropped("logging_strategy", "text", "--set evaluation.log_every=N"),
    dropped("logging_first_step", "switch", "--set evaluation.log_every=1"),
    dropped("logging_dir", "text", "events.jsonl in the run folder"),
    dangerous("logging_nan_inf_filter", "switch", "never on here: it hides that training diverged; "
              "a loss that is not finite stops the run"),
    *dropped_all(
            "log_level log_level_replica log_on_each_node disable_tqdm "
            "include_tokens_per_second include_num_input_tokens_seen",
        _SILENT,
    ),
    *dropped_all(
            "hub_model_id hub_strategy hub_private_repo hub_always_push hub_revision "
            "push_to_hub_model_id push_to_hub_organization trackio_bucket_id "
            "trackio_static_space_id",
        _NO_UPLOAD,
    ),
    dangerous("push_to_hub", "switch", f"not followed: {_NO_UPLOAD}"),
    dangerous("hub_token", "text", "not read: a token on a command line is seen by everybody on "
              "the machine; use hf auth login"),
    dangerous("push_to_hub_token", "text", "not read: a token on a command line is seen by "
              "everybody on the machine; use hf auth login"),
    moved("do_train", "switch", "the command itself", "without it: --no-train"),
    moved("do_eval", "switch", "--eval", "without it nothing is scored"),
    dropped("do_predict", "switch", "--test names data that is scored once, at the end"),
]  # fmt: skip

TRAINER_FLAGS: tuple[OldFlag, ...] = (
    *PRECISION, *DEVICE, *HABANA, *GRAPHCORE, *SCHEDULE, *SCORING, *KEEPING,
    OldFlag("deepspeed", "text", FlagStatus.KEPT, becomes="--deepspeed"),
)  # fmt: skip
