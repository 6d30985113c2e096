"""optimum-habana's trainer with training graphs and fused optimiser, in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import drive


def train_losses(out: Path, device: Any, *settings: str) -> list[float]:
    from helpers.tiny_corpus import write_corpus
    from helpers.tiny_models import save_tiny_model

    from gaudi_asr_cli.core.events import StepLogged, ignore
    from gaudi_asr_cli.core.runs import RunFolder
    from gaudi_asr_cli.core.training import session
    from gaudi_asr_cli.core.workflows.finetune.job import prepare
    from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest, resolve_recipe

    family = "hubert" if "hubert" in settings else "wav2vec2"
    corpus = write_corpus(out / "corpus", utterances=14)
    folder = save_tiny_model(out / family, family, letters="abcdefghijlmnorstuvw")
    fixed = [one for one in drive.TINY if not one.startswith("architecture")]
    request = FinetuneRequest(
        "digits",
        (
            *fixed, f"train.data={corpus}", f"model={folder}", "vocab=model", "max_steps=3",
            "architecture=null", "network.mask_time_prob=0", "network.mask_feature_prob=0",
            "network.layerdrop=0", "freeze=none", *(one for one in settings if "=" in one),
        ),
    )  # fmt: skip
    job = prepare(resolve_recipe(request), device, ignore)
    # The user's arguments of this trainer; the recipe is checked without its fields.
    extra = {one: True for one in settings if one.startswith("use_")}
    losses: list[float] = []
    session.train(
        job.task,
        job.training_set,
        None,
        dataclasses.replace(job.settings, eval_every=None, extra=extra),
        session.RunSession(
            RunFolder.create(out / f"run-{len(list(out.glob('run-*')))}"),
            lambda event: losses.append(event.loss) if isinstance(event, StepLogged) else None,
            time.perf_counter(),
        ),
    )
    return losses


def rejection(out: Path, device: Any, *settings: str) -> str:
    from gaudi_asr_cli.core.errors import RecipeError

    try:
        train_losses(out, device, "use_hpu_graphs_for_training", *settings)
    except RecipeError as error:
        return error.message
    return "not rejected"


def main(out: Path) -> dict[str, Any]:
    device = drive.open_named("hpu", "lazy")
    found: dict[str, Any] = {"plain_losses": train_losses(out, device)}
    drive.reset_events()
    found["graphs_losses"] = train_losses(out, device, "use_hpu_graphs_for_training")
    found["training_graphs"] = drive.events().get("training_graph", 0)
    drive.reset_events()
    train_losses(out, device, "use_fused_adam", "use_fused_clip_norm")
    found["fused_events"] = drive.events()
    found["rejections"] = {
        "layerdrop": rejection(out, device, "network.layerdrop=0.1"),
        "augment": rejection(out, device, "network.mask_time_prob=0.05"),
        "accumulate": rejection(out, device, "batching.accumulate=2"),
        "hubert": rejection(out, device, "hubert"),
    }
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
