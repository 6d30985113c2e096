"""One rank of a training run, which writes the shapes, batches and losses of its steps to a file.

python drive_ranks.py OUT CORPUS     with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

STEPS = 20
BATCH = 4
RANDOM_STEPS = 24
TINY = (
    "test=null", "eval.limit=3", "batching.buckets=2",
    "architecture.hidden_size=16", "architecture.intermediate_size=16",
    "architecture.num_attention_heads=2", "architecture.conv_dim=[8, 8, 8]",
    "architecture.num_conv_pos_embedding_groups=2", "dtype=fp32",
    "evaluation.every=5", "evaluation.save_every=5", "evaluation.log_every=1",
)  # fmt: skip
CALM = ("network.mask_time_prob=0", "network.mask_feature_prob=0", f"max_steps={STEPS}")
RANDOM = (
    "network.hidden_dropout=0.1", "network.layerdrop=0.2", "network.mask_time_prob=0.3",
    "network.mask_time_length=2", "augment.speed=0.1", f"max_steps={RANDOM_STEPS}",
    f"batching.batch={BATCH // 2}", f"evaluation.every={RANDOM_STEPS}",
)  # fmt: skip


def data(corpus: Path) -> tuple[str, ...]:
    return (f"train.data={corpus}", f"eval.data={corpus}")


def train(corpus: Path, run: Path, device: Any, *settings: str) -> dict[str, Any]:
    """Return the losses, and of each step the input shapes and the utterances."""
    from gaudi_asr_cli.core.events import StepLogged
    from gaudi_asr_cli.core.training.trainer import PlannedMixin
    from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest
    from gaudi_asr_cli.core.workflows.finetune.run import finetune

    steps: list[dict[str, Any]] = []
    losses: list[float] = []
    original = PlannedMixin.training_step

    def record_step(self, model, inputs, *rest):
        planned = inputs["planned"]
        shape = [*inputs["input_values"].shape, inputs["labels"].shape[1]]
        steps.append(
            {"shape": shape, "utterances": list(planned.indices), "padded_s": planned.padded_s}
        )
        return original(self, model, inputs, *rest)

    def record_loss(event):
        if isinstance(event, StepLogged):
            losses.append(event.loss)

    PlannedMixin.training_step = record_step
    try:
        request = FinetuneRequest("digits", (*data(corpus), *TINY, *settings), run)
        report = finetune(request, device, record_loss)
    finally:
        PlannedMixin.training_step = original
    return {"steps": steps, "losses": losses, "reported": report is not None}


def main(out: Path, corpus: Path) -> None:
    from gaudi_asr_cli.core.devices import open_device
    from gaudi_asr_cli.core.devices.process_group import join_ranks

    with join_ranks(open_device("cpu")) as device:
        batch = f"batching.batch={BATCH // device.ranks.count}"
        found = train(corpus, out / "calm", device, *CALM, batch)
        train(corpus, out / "random", device, *RANDOM)
    found["threads_left"] = [name for name in name_threads() if "gloo" in name]
    (out / f"rank-{device.ranks.index}.json").write_text(json.dumps(found))


def name_threads() -> list[str]:
    """Return the names of this process's threads, those of native libraries among them."""
    tasks = Path("/proc/self/task")
    return [one.read_text().strip() for one in tasks.glob("*/comm")]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
