"""optimum-habana's trainer: lazy mode, training graphs, fused AdamW and fused clipping."""

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
"""Switches of GaudiConfig that a recipe may set under `trainer`, beside the arguments' own."""

DECIDED = frozenset(
    {"use_habana", "use_lazy_mode", "use_hpu_graphs", "gaudi_config_name", "use_cpu"}
)
"""Arguments that --device and --hpu-mode decide."""

REPLACED = frozenset({"wav2vec2", "whisper"})
"""Models that optimum-habana's own code hears with; others stay as transformers has them."""

MODELING = re.compile(r"transformers\.models\.(\w+)\.modeling_\w+")

GRAPHS = "use_hpu_graphs_for_training"


@dataclass(frozen=True, slots=True)
class GaudiKit:
    """See `TrainerKit`. The three are one of optimum-habana's trainers and what it takes."""

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
        reason = why_no_training_graphs(network, extra)
        if reason is not None:
            raise RecipeError(
                f"trainer.{GRAPHS}: {reason}",
                remedy=f"Leave trainer.{GRAPHS} out; lazy mode trains without graphs too.",
            )

    def arguments(self, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
        own = {name: value for name, value in extra.items() if name not in FUSED}
        gaudi = {
            "use_habana": True,
            "use_lazy_mode": True,
            # Plain AdamW: its losses are those of other devices.
            "optim": "adamw_torch",
            "log_level": "error",
        }
        # Standard output is ours; asked for its device, it patches and prints of every model.
        with redirect_stdout(io.StringIO()), other_models_as_they_were():
            arguments = self.training_arguments(**{**values, **gaudi, **own})
            arguments.device  # noqa: B018 - patches transformers before a model is made or run
        return arguments

    def trainer_class(self) -> type:
        return self.trainer

    def trainer_keywords(self, extra: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
        switches = {name: bool(extra.get(name, False)) for name in sorted(FUSED)}
        # In code: the hub's configurations need a network. No lists of operations: they are
        # refused once the bridge is imported.
        return {"gaudi_config": self.config(use_torch_autocast=bool(arguments.bf16), **switches)}

    def divides_loss(self, arguments: Any) -> bool:
        # Read in optimum-habana 1.21.2, trainer.py: the division stands inside this branch.
        return bool(arguments.use_lazy_mode and arguments.pipelining_fwd_bwd)


def open_gaudi_kit(*, writes: bool = False) -> GaudiKit:
    """Import optimum-habana, once the bridge is imported.

    Args:
        writes: Whether its trainer for models that write is wanted.

    Raises:
        MachineError: It cannot be imported, with the reason.
    """
    try:
        with _own_pip_first():
            optimum = import_module("optimum.habana")
            family = "GaudiSeq2Seq" if writes else "Gaudi"
            trainer = getattr(optimum, f"{family}Trainer")
            arguments = getattr(optimum, f"{family}TrainingArguments")
    except (ImportError, IndexError, OSError, RuntimeError) as error:
        raise MachineError(
            f"optimum-habana is installed but cannot be imported: {type(error).__name__}: {error}",
            remedy="Pass --hpu-mode eager, which trains without it, or repair it: pip install "
            "'optimum-habana>=1.21.2,<1.22' inside the Gaudi container.",
        ) from error
    return GaudiKit(trainer, arguments, optimum.GaudiConfig)


def replace_models() -> None:
    """Have optimum-habana replace transformers' models and `generate` by its own.

    Raises:
        MachineError: It cannot be imported, with the reason.
    """
    open_gaudi_kit()
    with redirect_stdout(io.StringIO()), other_models_as_they_were():
        modeling = import_module("optimum.habana.transformers.modeling_utils")
        modeling.adapt_transformers_to_gaudi()


def why_no_training_graphs(network: Any, extra: Mapping[str, Any]) -> str | None:
    """Why captured training steps of this network would train it wrongly; None if they do not.

    A graph replays what was captured: a loss whose shapes depend on the labels breaks it, and what
    is drawn on the host is drawn once for ever.
    """
    config = network.config
    augments = getattr(config, "apply_spec_augment", True) and (
        config.mask_time_prob > 0 or config.mask_feature_prob > 0
    )
    reasons = {
        "only Wav2Vec2ForCTC has a loss of fixed shapes (optimum-habana's); "
        f"{type(network).__name__} selects labels by a mask.": type(network).__name__
        != "Wav2Vec2ForCTC",
        "SpecAugment draws its masks on the host, and a graph would keep the first ones; set "
        "network.mask_time_prob and mask_feature_prob to 0.": augments,
        "LayerDrop draws on the host, and a graph would keep the first draw; set "
        "network.layerdrop to 0.": getattr(config, "layerdrop", 0) > 0,
        "gradients that are accumulated over several batches are not what it captures; set "
        "batching.accumulate to 1.": extra.get("gradient_accumulation_steps", 1) > 1,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


@contextmanager
def other_models_as_they_were() -> Iterator[None]:
    """Keep transformers' own code of all models but `REPLACED` while optimum-habana replaces it.

    Its BART, GPT-2 and BERT of 1.21.2 expect masks and caches that the transformers 4.55 it comes
    with have not any more: no encoder-decoder of two models would train and write with them.
    """
    # Imports all modules that it changes.
    import_module("optimum.habana.transformers.modeling_utils")
    modules = [
        module
        for name, module in sys.modules.items()
        if (found := MODELING.fullmatch(name)) and found[1] not in REPLACED
    ]
    before = [(module, dict(vars(module))) for module in modules]
    kinds = {
        one
        for module, names in before
        for one in names.values()
        if isinstance(one, type) and one.__module__ == module.__name__
    }
    own = [(kind, dict(vars(kind))) for kind in kinds]
    try:
        yield
    finally:
        for holder, names in [*before, *own]:
            now = dict(vars(holder))
            for name in now.keys() - names.keys():
                delattr(holder, name)
            for name, value in names.items():
                if now.get(name) is not value:
                    setattr(holder, name, value)


@contextmanager
def _own_pip_first() -> Iterator[None]:
    """This interpreter's `pip` first on PATH: optimum-habana asks it for the bridge's version."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
