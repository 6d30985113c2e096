"""What both Hugging Face scripts have in common: data, phases, schedule, device, run folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaudi_asr_cli.core.data.moved_ids import RENAMED_IDS
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.reading import Given, underscored
from gaudi_asr_cli.core.legacy.translating import Draft, OldNotice, as_number, first_given

MARKS = frozenset({"dataset_name", "output_dir", "do_train", "do_eval"})
"""Flags that the scripts could not do without: a command with one of them is an old one."""
_IPU_MARKS = ("ipu_config_name", "ipu_config_overrides", "pod_type", "dataloader_mode")
_SCHEDULES = frozenset({"linear", "cosine", "constant", "constant_with_warmup"})
_STRATEGIES = ("eval_strategy", "evaluation_strategy")
HABANA_EPSILON, EPSILON = 1e-6, 1e-8
LOGGING_STEPS, SAVE_STEPS = 500, 500

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
    "optimizer.epsilon": EPSILON,
    "optimizer.weight_decay": 0.0,
    "optimizer.clip_norm": 1.0,
    "epochs": 3,
    "dtype": "fp32",
}
"""Of both scripts and of transformers' trainer; recipes have other defaults for some."""


_SCORED = frozenset({"text.case", "evaluation.normalizer", "dtype"})
"""Defaults that matter where nothing is trained."""


_NEEDED = {
    "model_name_or_path": ("model", "recipe", "resume"),
    "dataset_name": ("train", "eval", "data", "recipe", "resume"),
}
"""Flags that the scripts could not do without -> options of today that say the same."""


def take_missing(given: Given) -> list[OldNotice]:
    """A notice for each flag that the scripts needed and that has no value; empty ones go."""
    notices = []
    todays = {underscored(word) for word in given.rest if word.startswith("--")}
    for name, others in _NEEDED.items():
        value = given.values.get(name)
        if value is not None and not value.strip():
            del given.values[name]
        elif value is not None or todays.intersection(others):
            continue
        state = "missing" if value is None else "empty"
        about = f"is {state}, and the script could not do without it: add --{others[0]}"
        notices.append(OldNotice(f"--{name}", "missing", about))
    return notices


def unasked(
    defaults: Mapping[str, Any], asked: Mapping[str, Any], *, trains: bool
) -> dict[str, Any]:
    """Defaults of the script that no flag replaced, and that matter."""
    return {
        key: value
        for key, value in defaults.items()
        if key not in asked and (trains or key in _SCORED)
    }


def unnamed_splits(
    draft: Draft, splits: tuple[str, str], *, trains: bool, scores: bool
) -> dict[str, str]:
    """Splits that the script took because none was named: to learn from and to score."""
    parts = (("train", splits[0], trains), ("eval", splits[1], scores))
    return {
        f"{part}.split": split
        for part, split, is_read in parts
        if is_read and f"{part}_split_name" not in draft.given
    }


def is_graphcore(draft: Draft) -> bool:
    return any(mark in draft.given for mark in _IPU_MARKS)


def machine_defaults(draft: Draft) -> dict[str, Any]:
    """Where optimum-habana's and optimum-graphcore's trainers differ from transformers' own."""
    if is_graphcore(draft):
        # Half precision unless told; how many batches are accumulated was in the IPU's own file.
        return {"batching.batch": 1, "dtype": "auto"}
    return {"optimizer.epsilon": HABANA_EPSILON} if draft.given.is_true("use_habana") else {}


def phases(draft: Draft) -> tuple[bool, bool]:
    """Whether to train and whether to evaluate.

    Raises:
        UsageError: Neither; the script read the data and ended.
    """
    given = draft.given
    scores = given.is_true("do_eval") or _strategy(draft) != "no"
    trains = given.is_true("do_train")
    looks = given.is_true("preprocessing_only") or given.is_true("compile_only")
    if looks:
        draft.options.append("--dry-run")
    elif not trains and not scores:
        raise UsageError(
            "Neither --do_train nor --do_eval: the script would have done nothing.",
            remedy="Add --do_train, --do_eval, or both.",
        )
    return trains or looks, scores


def data_settings(draft: Draft, splits: tuple[str, str], *, scores: bool) -> dict[str, Any]:
    """Which data is learnt from and which is scored.

    Args:
        draft: What was given.
        splits: Those that the script took unless told, to learn from and to score.
        scores: Whether anything is scored.
    """
    given = draft.given
    settings: dict[str, Any] = {}
    for part, split in zip(("train", "eval") if scores else ("train",), splits, strict=False):
        name = given.values.get("dataset_name")
        if name is not None:
            settings[f"{part}.data"] = RENAMED_IDS.get(name, name)
        settings[f"{part}.split"] = given.values.get(f"{part}_split_name", split)
    for key, flag in (("config", "dataset_config_name"), ("text_column", "text_column_name")):
        if flag in given:
            settings[f"*.{key}"] = given.values[flag]
    name = given.values.get("dataset_name", "")
    if name in RENAMED_IDS:
        draft.tell("dataset_name", f"is --train and --eval; {name} is {RENAMED_IDS[name]} now")
    return settings


def schedule_settings(draft: Draft) -> dict[str, Any]:
    """Steps, warm-up, schedule and optimiser, where a key gathers several flags."""
    given, settings = draft.given, dict[str, Any]()
    steps = draft.number("max_steps")
    if steps is not None and steps > 0:
        settings["max_steps"] = steps
    settings |= _warmup(draft)
    kind = given.values.get("lr_scheduler_type")
    if kind is not None:
        ours = kind in _SCHEDULES
        settings["optimizer.schedule" if ours else "trainer.lr_scheduler_type"] = kind
    betas = [draft.number("adam_beta1"), draft.number("adam_beta2")]
    if any(beta is not None for beta in betas):
        usual = SHARED_DEFAULTS["optimizer.betas"]
        settings["optimizer.betas"] = [
            default if beta is None else beta for beta, default in zip(betas, usual, strict=True)
        ]
    return settings


def _warmup(draft: Draft) -> dict[str, Any]:
    """Steps go before a share; transformers 5 takes steps below one as a share."""
    steps, share = draft.number("warmup_steps") or 0, draft.number("warmup_ratio") or 0
    if 0 < steps < 1:
        steps, share = 0, steps
    if steps:
        return {"optimizer.warmup": steps}
    return {"optimizer.warmup": f"{100 * share:g}%"} if share else {}


def evaluation_settings(draft: Draft, *, scores: bool) -> dict[str, Any]:
    """When scores and checkpoints are due."""
    given = draft.given
    settings: dict[str, Any] = {"evaluation.save_every": _save_interval(draft)}
    if given.is_true("load_best_model_at_end"):
        settings["evaluation.keep"] = "best"
    if scores:
        strategy = _strategy(draft)
        log_every = given.values.get("logging_steps", str(LOGGING_STEPS))
        steps = as_number("eval_steps", given.values.get("eval_steps", log_every))
        every = {"no": "end", "epoch": "epoch", "steps": steps}.get(strategy)
        if every is None:
            raise UsageError(
                f"--eval_strategy {strategy} is none.", remedy="Choose no, steps or epoch."
            )
        settings["evaluation.every"] = every
        draft.tell("eval_steps", f"is --set evaluation.every={every}")
        for flag in _STRATEGIES:
            draft.tell(flag, f"is --set evaluation.every={every}")
    return settings


def _save_interval(draft: Draft) -> Any:
    strategy = draft.given.values.get("save_strategy", "steps")
    if strategy == "steps":
        return draft.number("save_steps") or SAVE_STEPS
    return "end" if strategy == "no" else "epoch"


def _strategy(draft: Draft) -> str:
    return first_given(draft.given, _STRATEGIES) or "no"


def precision_settings(draft: Draft) -> dict[str, Any]:
    """bf16, fp16 or fp32, where one of them was switched on."""
    wanted = [name for name in ("bf16", "fp16", "fp32") if draft.given.is_true(name)]
    for name in wanted:
        draft.tell(name, f"is --dtype {name}")
    draft.tell(
        "fp16", "is --dtype fp16; a device that has none computes in what --dtype auto is there"
    )
    return {"dtype": wanted[0]} if wanted else {}


def machine_options(draft: Draft) -> list[str]:
    """Where and how it runs."""
    config = draft.given.values.get("deepspeed")
    return [*_device_options(draft), *(["--deepspeed", config] if config else [])]


def _device_options(draft: Draft) -> list[str]:
    """--device and --hpu-mode. Lazy mode was what a Gaudi ran in unless told."""
    given = draft.given
    if given.is_true("use_habana"):
        eager = given.values.get("use_lazy_mode") == "false"
        compiled = given.is_true("torch_compile")
        mode = "compile" if compiled else "eager" if eager else "lazy"
        if eager:
            draft.tell("use_lazy_mode", "is --hpu-mode eager")
        draft.tell("use_habana", f"is --device hpu, with --hpu-mode {mode}")
        return ["--device", "hpu", "--hpu-mode", mode]
    if given.is_true("no_cuda") or given.is_true("use_cpu"):
        return ["--device", "cpu"]
    return []


def graph_settings(draft: Draft, settings: dict[str, Any]) -> dict[str, Any]:
    """Captured training steps, only where they train right."""
    flag = "use_hpu_graphs_for_training"
    if not draft.given.is_true(flag):
        return {}
    drawn = [key for key in ("mask_time_prob", "mask_feature_prob", "layerdrop")
             if settings.get(f"network.{key}")]  # fmt: skip
    if settings.get("batching.accumulate", 1) > 1:
        drawn.append("gradient_accumulation_steps")
    if drawn:
        draft.tell(
            flag,
            "not followed: a captured step would keep the first draw of "
            f"{' and '.join(drawn)} for ever; it trains without graphs",
        )
        return {}
    draft.tell(flag, f"is --set trainer.{flag}=true")
    return {f"trainer.{flag}": True}


def folder_options(draft: Draft) -> list[str]:
    """--run, unless the folder is the one that we stand in or that holds the model."""
    given = draft.given
    folder = given.values.get("output_dir")
    if folder is None:
        return []
    model = given.values.get("model_name_or_path", "")
    if folder.rstrip("/") in {".", "", model.rstrip("/")}:
        draft.tell("output_dir", "is left out: a run gets a folder of its own, runs/NAME-N")
        return []
    return ["--run", folder]
