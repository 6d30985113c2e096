"""Settings that both Hugging Face training scripts share: data, schedule, evaluation, device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaudi_asr_cli.core.data.moved_ids import RENAMED_IDS
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.arguments import Arguments, flag_name
from gaudi_asr_cli.core.legacy.translation import Draft, LegacyNotice, parse_number

_IPU_FLAGS = ("ipu_config_name", "ipu_config_overrides", "pod_type", "dataloader_mode")
_SCHEDULES = frozenset({"linear", "cosine", "constant", "constant_with_warmup"})
_STRATEGIES = ("eval_strategy", "evaluation_strategy")
_HABANA_EPSILON, _EPSILON = 1e-6, 1e-8
_LOGGING_STEPS, _SAVE_STEPS = 500, 500

SHARED_DEFAULTS: dict[str, Any] = {
    "evaluation.normalizer": "none",
    "evaluation.keep": "last",
    "batching.max_seconds": 20.0,
    "batching.min_seconds": 0.0,
    "batching.batch": 8,
    "batching.accumulate": 1,
    "optimizer.learning_rate": 5e-5,
    "optimizer.warmup": 0,
    "optimizer.schedule": "linear",
    "optimizer.betas": [0.9, 0.999],
    "optimizer.epsilon": _EPSILON,
    "optimizer.weight_decay": 0.0,
    "optimizer.clip_norm": 1.0,
    "epochs": 3,
    "dtype": "fp32",
}
"""Defaults of both scripts and of transformers' trainer; those of recipes differ for some keys."""

_EVALUATION_KEYS = frozenset({"text.case", "evaluation.normalizer", "dtype"})
"""Keys whose defaults matter where nothing is trained."""

_REQUIRED = {
    "model_name_or_path": ("model", "recipe", "resume"),
    "dataset_name": ("train", "eval", "data", "recipe", "resume"),
}
"""Flag that the scripts required -> current options that replace it."""


def report_missing(given: Arguments) -> list[LegacyNotice]:
    """Return a notice for each required flag without a value; remove empty values from `given`."""
    notices = []
    current = {flag_name(word) for word in given.rest if word.startswith("--")}
    for name, replacements in _REQUIRED.items():
        value = given.values.get(name)
        if value is not None and not value.strip():
            del given.values[name]
        elif value is not None or current.intersection(replacements):
            continue
        state = "missing" if value is None else "empty"
        message = f"is {state}, and the script required it: add --{replacements[0]}"
        notices.append(LegacyNotice(f"--{name}", "missing", message))
    return notices


def applied_defaults(
    defaults: Mapping[str, Any], settings: Mapping[str, Any], *, trains: bool
) -> dict[str, Any]:
    """Return the script's defaults that no flag in `settings` replaced and that have an effect."""
    return {
        key: value
        for key, value in defaults.items()
        if key not in settings and (trains or key in _EVALUATION_KEYS)
    }


def default_splits(
    draft: Draft, splits: tuple[str, str], *, trains: bool, evaluates: bool
) -> dict[str, str]:
    """Return the script's default splits, for those that are read and were not named."""
    parts = (("train", splits[0], trains), ("eval", splits[1], evaluates))
    return {
        f"{part}.split": split
        for part, split, is_read in parts
        if is_read and f"{part}_split_name" not in draft.given
    }


def is_graphcore(draft: Draft) -> bool:
    """Return whether the command was written for optimum-graphcore."""
    return any(flag in draft.given for flag in _IPU_FLAGS)


def trainer_defaults(draft: Draft) -> dict[str, Any]:
    """Return the defaults of optimum-habana and optimum-graphcore that differ from transformers."""
    if is_graphcore(draft):
        # Half precision by default; the IPU configuration file set the gradient accumulation.
        return {"batching.batch": 1, "dtype": "auto"}
    return {"optimizer.epsilon": _HABANA_EPSILON} if draft.given.is_true("use_habana") else {}


def choose_phases(draft: Draft) -> tuple[bool, bool]:
    """Return whether to train and whether to evaluate; a dry run adds its option to the draft.

    Raises:
        UsageError: Neither; the script read the data and ended.
    """
    given = draft.given
    evaluates = given.is_true("do_eval") or _strategy(draft) != "no"
    trains = given.is_true("do_train")
    dry_run = given.is_true("preprocessing_only") or given.is_true("compile_only")
    if dry_run:
        draft.options.append("--dry-run")
    elif not trains and not evaluates:
        raise UsageError(
            "Neither --do_train nor --do_eval: the script would have done nothing.",
            remedy="Add --do_train, --do_eval, or both.",
        )
    return trains or dry_run, evaluates


def data_settings(draft: Draft, splits: tuple[str, str], *, evaluates: bool) -> dict[str, Any]:
    """Return the training and evaluation data.

    Args:
        draft: The translation in progress.
        splits: The script's default splits, for training and evaluation.
        evaluates: Whether anything is evaluated.
    """
    given = draft.given
    settings: dict[str, Any] = {}
    parts = ("train", "eval") if evaluates else ("train",)
    for part, split in zip(parts, splits, strict=False):
        name = given.values.get("dataset_name")
        if name is not None:
            settings[f"{part}.data"] = RENAMED_IDS.get(name, name)
        settings[f"{part}.split"] = given.values.get(f"{part}_split_name", split)
    for key, flag in (("config", "dataset_config_name"), ("text_column", "text_column_name")):
        if flag in given:
            settings[f"*.{key}"] = given.values[flag]
    name = given.values.get("dataset_name", "")
    if name in RENAMED_IDS:
        draft.set_message(
            "dataset_name", f"is --train and --eval; {name} is now {RENAMED_IDS[name]}"
        )
    return settings


def schedule_settings(draft: Draft) -> dict[str, Any]:
    """Return steps, warm-up, schedule and optimiser settings that combine several flags."""
    given, settings = draft.given, dict[str, Any]()
    steps = draft.number("max_steps")
    if steps is not None and steps > 0:
        settings["max_steps"] = steps
    settings |= _warmup(draft)
    schedule = given.values.get("lr_scheduler_type")
    if schedule is not None:
        is_known = schedule in _SCHEDULES
        settings["optimizer.schedule" if is_known else "trainer.lr_scheduler_type"] = schedule
    betas = [draft.number("adam_beta1"), draft.number("adam_beta2")]
    if any(beta is not None for beta in betas):
        defaults = SHARED_DEFAULTS["optimizer.betas"]
        settings["optimizer.betas"] = [
            default if beta is None else beta for beta, default in zip(betas, defaults, strict=True)
        ]
    return settings


def _warmup(draft: Draft) -> dict[str, Any]:
    """Return the warm-up: steps override the ratio; transformers 5 reads steps below 1 as one."""
    steps, ratio = draft.number("warmup_steps") or 0, draft.number("warmup_ratio") or 0
    if 0 < steps < 1:
        steps, ratio = 0, steps
    if steps:
        return {"optimizer.warmup": steps}
    return {"optimizer.warmup": f"{100 * ratio:g}%"} if ratio else {}


def evaluation_settings(draft: Draft, *, evaluates: bool) -> dict[str, Any]:
    """Return the intervals of evaluation and checkpoints.

    Raises:
        UsageError: The evaluation strategy is unknown.
    """
    given = draft.given
    settings: dict[str, Any] = {"evaluation.save_every": _save_interval(draft)}
    if given.is_true("load_best_model_at_end"):
        settings["evaluation.keep"] = "best"
    if evaluates:
        strategy = _strategy(draft)
        log_every = given.values.get("logging_steps", str(_LOGGING_STEPS))
        steps = parse_number("eval_steps", given.values.get("eval_steps", log_every))
        every = {"no": "end", "epoch": "epoch", "steps": steps}.get(strategy)
        if every is None:
            raise UsageError(
                f"--eval_strategy {strategy} is unknown.", remedy="Choose no, steps or epoch."
            )
        settings["evaluation.every"] = every
        for flag in ("eval_steps", *_STRATEGIES):
            draft.set_message(flag, f"is --set evaluation.every={every}")
    return settings


def _save_interval(draft: Draft) -> Any:
    strategy = draft.given.values.get("save_strategy", "steps")
    if strategy == "steps":
        return draft.number("save_steps") or _SAVE_STEPS
    return "end" if strategy == "no" else "epoch"


def _strategy(draft: Draft) -> str:
    return draft.given.first_of(_STRATEGIES) or "no"


def precision_settings(draft: Draft) -> dict[str, Any]:
    """Return bf16, fp16 or fp32, if one of the flags turns it on."""
    dtypes = [name for name in ("bf16", "fp16", "fp32") if draft.given.is_true(name)]
    for name in dtypes:
        draft.set_message(name, f"is --dtype {name}")
    draft.set_message("fp16", "is --dtype fp16; like --dtype auto on a device without fp16")
    for name in ("bf16", "fp16"):
        if name in draft.given.values and name not in dtypes:
            draft.set_message(name, "is off: fp32 unless another flag sets the precision")
    return {"dtype": dtypes[0]} if dtypes else {}


def device_options(draft: Draft) -> list[str]:
    """Return --device, --hpu-mode and --deepspeed."""
    config = draft.given.values.get("deepspeed")
    return [*_device(draft), *(["--deepspeed", config] if config else [])]


def _device(draft: Draft) -> list[str]:
    """Return --device and --hpu-mode; lazy mode was the default on Gaudi."""
    given = draft.given
    if given.is_true("use_habana"):
        is_eager = given.values.get("use_lazy_mode") == "false"
        is_compiled = given.is_true("torch_compile")
        mode = "compile" if is_compiled else "eager" if is_eager else "lazy"
        if is_eager:
            draft.set_message("use_lazy_mode", "is --hpu-mode eager")
        draft.set_message("use_habana", f"is --device hpu, with --hpu-mode {mode}")
        return ["--device", "hpu", "--hpu-mode", mode]
    if given.is_true("no_cuda") or given.is_true("use_cpu"):
        return ["--device", "cpu"]
    return []


def graph_settings(draft: Draft, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the setting that captures training steps, only where replaying them is correct."""
    flag = "use_hpu_graphs_for_training"
    if not draft.given.is_true(flag):
        return {}
    names = ("mask_time_prob", "mask_feature_prob", "layerdrop")
    obstacles = [name for name in names if settings.get(f"network.{name}")]
    if settings.get("batching.accumulate", 1) > 1:
        obstacles.append("gradient_accumulation_steps")
    if obstacles:
        draft.set_message(
            flag,
            "not followed: a captured step would repeat the first random values of "
            f"{' and '.join(obstacles)} in every step; trains without graphs",
        )
        return {}
    draft.set_message(flag, f"is --set trainer.{flag}=true")
    return {f"trainer.{flag}": True}


def run_folder_options(draft: Draft) -> list[str]:
    """Return --run, unless the output folder is the working directory or the model's folder."""
    given = draft.given
    folder = given.values.get("output_dir")
    if folder is None:
        return []
    model = given.values.get("model_name_or_path", "")
    if folder.rstrip("/") in {".", "", model.rstrip("/")}:
        draft.set_message("output_dir", "is left out: the run gets its own folder, runs/NAME-N")
        return []
    return ["--run", folder]
