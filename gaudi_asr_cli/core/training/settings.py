"""Settings of a training run, and the trainer's arguments made from them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.devices.kits import NativeKit, TrainerKit
from gaudi_asr_cli.core.distributed.ranks import SINGLE_PROCESS, Ranks
from gaudi_asr_cli.core.errors import MachineError, RecipeError

# fmt: off
RESERVED_ARGUMENTS = frozenset({
    "output_dir", "per_device_train_batch_size", "max_steps", "num_train_epochs",
    "eval_strategy", "save_strategy", "logging_strategy", "remove_unused_columns",
    "metric_for_best_model", "greater_is_better", "load_best_model_at_end", "save_total_limit",
    "use_cpu", "bf16", "fp16", "seed",
    "use_habana", "use_lazy_mode", "gaudi_config_name",
    "push_to_hub", "disable_tqdm", "do_train", "do_eval",
})
# fmt: on
"""TrainingArguments that the plan or the recipe decides; setting them is rejected."""

REPORTERS = {
    "azure_ml": ("azureml-core", ("azureml",)),
    "clearml": ("clearml", ("clearml",)),
    "codecarbon": ("codecarbon", ("codecarbon",)),
    "comet_ml": ("comet-ml", ("comet_ml",)),
    "dagshub": ("dagshub", ("dagshub",)),
    "dvclive": ("dvclive", ("dvclive",)),
    "flyte": ("flytekit", ("flytekit",)),
    "mlflow": ("mlflow", ("mlflow",)),
    "neptune": ("neptune", ("neptune",)),
    "swanlab": ("swanlab", ("swanlab",)),
    "tensorboard": ("tensorboard", ("tensorboard", "tensorboardX")),
    "trackio": ("trackio", ("trackio",)),
    "wandb": ("wandb", ("wandb",)),
}
"""Services that transformers reports to: the package, and the modules one of which it needs."""

UPLOADS = "to upload the finished model, pass --push-to-hub OWNER/NAME"
NOT_OBEYED = {
    "trust_remote_code": "no code of a model or data set is ever run here",
    **dict.fromkeys(
        ("hub_model_id", "hub_strategy", "hub_private_repo", "hub_always_push", "hub_revision"),
        UPLOADS,
    ),
}
"""Settings that scripts take and that are accepted without effect, with the reason."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Settings in optimiser steps; `extra` is passed to TrainingArguments unchanged."""

    steps: int
    warmup_steps: int
    eval_every: int | None
    save_every: int
    log_every: int
    learning_rate: float
    schedule: str = "linear"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    accumulate: int = 1
    patience: int | None = None
    keep: Literal["best", "last"] = "best"
    dtype: str = "fp32"
    gradient_checkpointing: bool = False
    seed: int = 42
    extra: Mapping[str, Any] = field(default_factory=dict)


def check_extra(extra: Mapping[str, Any], device: Device | None = None) -> None:
    """Reject unknown trainer arguments, and those in `RESERVED_ARGUMENTS`.

    Args:
        extra: The recipe's `trainer` section.
        device: The device whose trainer is checked; without it transformers' own.

    Raises:
        RecipeError: The setting is unknown or reserved; the message names the closest match.
        MachineError: The device's trainer, or a service to report to, cannot be imported.
    """
    check_reports(extra)
    kit = NativeKit() if device is None else device.trainer_kit()
    known = kit.fields()
    for name in obeyed(extra):
        if name in RESERVED_ARGUMENTS:
            raise RecipeError(
                f"trainer.{name} is decided by the recipe itself.",
                remedy=f"{UPLOADS[0].upper()}{UPLOADS[1:]}."
                if name == "push_to_hub"
                else "`gaudi-asr help recipes` names the key that sets it.",
            )
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"Did you mean trainer.{near[0]}? " if near else ""
            raise RecipeError(
                f"transformers' TrainingArguments has no field {name!r}.",
                remedy=f"{hint}Valid fields are those of the installed transformers version.",
            )


def check_reports(extra: Mapping[str, Any]) -> None:
    """Refuse services to report to that are unknown, or whose package is missing.

    transformers would say so only after the data has been read, with a traceback.

    Raises:
        RecipeError: transformers knows no service of that name.
        MachineError: Its package is not installed.
    """
    for name in _list_reports(extra.get("report_to")):
        if name not in REPORTERS:
            near = difflib.get_close_matches(name, REPORTERS, n=1)
            raise RecipeError(
                f"trainer.report_to: transformers reports to no service {name!r}.",
                remedy=(f"Did you mean {near[0]}? " if near else "")
                + f"Choose of {', '.join(REPORTERS)}, or none.",
            )
        package, modules = REPORTERS[name]
        if not any(_is_importable(module) for module in modules):
            raise MachineError(
                f"Reporting to {name} (trainer.report_to) needs the package {package}, which is "
                "not installed.",
                remedy=f"pip install {package}, or leave --report-to out: the run folder's "
                "events.jsonl has every number.",
            )


def _list_reports(value: Any) -> list[str]:
    """Return the services that are named; `all` are those that are installed."""
    return [name for name in _split_reports(value) if name not in {"all", "none"}]


def _split_reports(value: Any) -> list[str]:
    listed = [value] if isinstance(value, str) else list(value or ())
    given = [str(one) for one in listed if one is not None]
    return [name for text in given for name in text.replace(",", " ").split()]


def _is_importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def obeyed(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the trainer is given; several services as the list it takes."""
    kept = {name: value for name, value in extra.items() if name not in NOT_OBEYED}
    if "report_to" in kept:
        named = _split_reports(kept["report_to"])
        # transformers takes `all` and `none` only alone.
        kept["report_to"] = named[0] if len(named) == 1 else named
    return kept


def training_arguments(
    settings: TrainingSettings, output_dir: Path, kit: TrainerKit, ranks: Ranks = SINGLE_PROCESS
) -> Any:
    """Return the kit's arguments for transformers 4.55 and 5, with relevant defaults explicit."""
    values: dict[str, Any] = {
        "output_dir": str(output_dir),
        # An item of the data set is a whole planned batch.
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": settings.accumulate,
        "max_steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup_steps,
        "optim": "adamw_torch_fused",
        "adam_beta1": settings.betas[0],
        "adam_beta2": settings.betas[1],
        "adam_epsilon": settings.epsilon,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.clip_norm,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "bf16": settings.dtype == "bf16",
        "fp16": settings.dtype == "fp16",
        "seed": settings.seed,
        "eval_strategy": "steps" if settings.eval_every else "no",
        "eval_steps": settings.eval_every,
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "metric_for_best_model": "wer" if settings.eval_every else None,
        "greater_is_better": False,
        "logging_steps": settings.log_every,
        # A loss that is not finite stops the run; the filter would hide it in the average.
        "logging_nan_inf_filter": False,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "report_to": [],
    }
    if ranks.count > 1:
        # Layers that LayerDrop skips, and unused SpecAugment embeddings, have no gradient.
        values["ddp_find_unused_parameters"] = True
    try:
        return kit.arguments(values, settings.extra)
    except (ValueError, TypeError) as error:
        raise RecipeError(
            f"transformers' TrainingArguments reject the settings under `trainer`: {error}",
            remedy="Correct or omit the setting that is named.",
        ) from error
