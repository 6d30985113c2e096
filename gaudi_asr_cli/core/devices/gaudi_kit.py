"""optimum-habana's trainer: lazy mode, training graphs, fused AdamW and gradient clipping."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import MachineError, RecipeError

FUSED = frozenset({"use_fused_adam", "use_fused_clip_norm"})
"""Fields of GaudiConfig that a recipe may set under `trainer`, as well as the arguments."""

DECIDED = frozenset(
    {"use_habana", "use_lazy_mode", "use_hpu_graphs", "gaudi_config_name", "use_cpu"}
)
"""Arguments that --device and --hpu-mode decide."""

REPLACED = frozenset({"wav2vec2", "whisper"})
"""Models that run with optimum-habana's code; others run with transformers' own."""

MODELING = re.compile(r"transformers\.models\.(\w+)\.modeling_\w+")

GRAPHS = "use_hpu_graphs_for_training"


@dataclass(frozen=True, slots=True)
class GaudiKit:
    """See `TrainerKit`: one of optimum-habana's trainers with its argument and config classes."""

    trainer: type
    training_arguments: Callable[..., Any]
    config: Callable[..., Any]
    marks_steps: bool = True

    def fields(self) -> frozenset[str]:
        kind: Any = self.training_arguments
        names = frozenset(one.name for one in dataclasses.fields(kind))
        return (names | FUSED) - DECIDED

    def check(self, network: Any, extra: Mapping[str, Any]) -> None:
        if not extra.get(GRAPHS):
            return
        reason = training_graphs_problem(network, extra)
        if reason is not None:
            raise RecipeError(
                f"trainer.{GRAPHS}: {reason}",
                remedy=f"Leave trainer.{GRAPHS} out; lazy mode trains without graphs too.",
            )

    def arguments(self, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
        user = {name: value for name, value in extra.items() if name not in FUSED}
        gaudi = {
            "use_habana": True,
            "use_lazy_mode": True,
            # Plain AdamW, so that losses equal those of other devices.
            "optim": "adamw_torch",
            "log_level": "error",
        }
        # Reading `device` patches models and prints about each, but stdout is for results.
        with redirect_stdout(io.StringIO()), preserve_other_models():
            arguments = self.training_arguments(**{**values, **gaudi, **user})
            arguments.device  # noqa: B018 - patches transformers before a model is created or run
        return arguments

    def trainer_class(self) -> type:
        return self.trainer

    def trainer_keywords(self, extra: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
        switches = {name: bool(extra.get(name, False)) for name in sorted(FUSED)}
        # Created here: the hub's configurations need a network connection. Without lists of
        # operations, which are rejected once the bridge is imported.
        return {"gaudi_config": self.config(use_torch_autocast=bool(arguments.bf16), **switches)}

    def divides_loss(self, arguments: Any) -> bool:
        # In trainer.py of optimum-habana 1.21.2 the division is inside this branch.
        return bool(arguments.use_lazy_mode and arguments.pipelining_fwd_bwd)


def open_gaudi_kit(*, generates: bool = False) -> GaudiKit:
    """Import optimum-habana, after the bridge.

    Args:
        generates: Whether to return its trainer for sequence-to-sequence models.

    Raises:
        MachineError: It cannot be imported; the message has the reason.
    """
    try:
        with _interpreters_pip_first():
            optimum = import_module("optimum.habana")
            family = "GaudiSeq2Seq" if generates else "Gaudi"
            trainer = getattr(optimum, f"{family}Trainer")
            arguments = getattr(optimum, f"{family}TrainingArguments")
    except (ImportError, IndexError, OSError, RuntimeError) as error:
        raise MachineError(
            f"optimum-habana is installed but cannot be imported: {type(error).__name__}: {error}",
            remedy="Pass --hpu-mode eager, which trains without it, or reinstall it: pip install "
            "'optimum-habana>=1.21.2,<1.22' inside the Gaudi container.",
        ) from error
    return GaudiKit(trainer, arguments, optimum.GaudiConfig)


def replace_models() -> None:
    """Let optimum-habana replace the models of `REPLACED` and `generate` in transformers.

    Raises:
        MachineError: It cannot be imported; the message has the reason.
    """
    open_gaudi_kit()
    with redirect_stdout(io.StringIO()), preserve_other_models():
        modeling = import_module("optimum.habana.transformers.modeling_utils")
        modeling.adapt_transformers_to_gaudi()


def training_graphs_problem(network: Any, extra: Mapping[str, Any]) -> str | None:
    """Return why captured training steps would train this network wrongly; None if they do not.

    A graph replays the captured step: a loss whose shapes depend on the labels breaks it, and
    random numbers drawn on the host are the same in every replay.
    """
    config = network.config
    augments = getattr(config, "apply_spec_augment", True) and (
        config.mask_time_prob > 0 or config.mask_feature_prob > 0
    )
    reasons = {
        "only Wav2Vec2ForCTC has a loss with static shapes (optimum-habana's); "
        f"{type(network).__name__} selects labels by a mask.": type(network).__name__
        != "Wav2Vec2ForCTC",
        "SpecAugment draws its masks on the host, and a graph would repeat the first ones; set "
        "network.mask_time_prob and mask_feature_prob to 0.": augments,
        "LayerDrop draws on the host, and a graph would repeat the first draw; set "
        "network.layerdrop to 0.": getattr(config, "layerdrop", 0) > 0,
        "gradient accumulation is not captured; set batching.accumulate to 1.": extra.get(
            "gradient_accumulation_steps", 1
        )
        > 1,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


@contextmanager
def preserve_other_models() -> Iterator[None]:
    """Restore transformers' code of all models but `REPLACED` after optimum-habana patched it.

    The BART, GPT-2 and BERT of optimum-habana 1.21.2 expect masks and caches that its transformers
    4.55 no longer has: encoder-decoders of two models could not train or generate with them.
    """
    # Imports all modules that it patches.
    import_module("optimum.habana.transformers.modeling_utils")
    modules = [
        module
        for name, module in sys.modules.items()
        if (found := MODELING.fullmatch(name)) and found[1] not in REPLACED
    ]
    before = [(module, dict(vars(module))) for module in modules]
    classes = {
        one
        for module, names in before
        for one in names.values()
        if isinstance(one, type) and one.__module__ == module.__name__
    }
    attributes = [(kind, dict(vars(kind))) for kind in classes]
    try:
        yield
    finally:
        for holder, names in [*before, *attributes]:
            now = dict(vars(holder))
            for name in now.keys() - names.keys():
                delattr(holder, name)
            for name, value in names.items():
                if now.get(name) is not value:
                    setattr(holder, name, value)


@contextmanager
def _interpreters_pip_first() -> Iterator[None]:
    """Put this interpreter's `pip` first on PATH: optimum-habana runs `pip` to find the bridge."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
