"""Inference and training on one device in a process of its own; writes results to compare.

python drive.py OUT DEVICE MODE     DEVICE: cpu, or hpu with the stand-in on PYTHONPATH
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FAMILIES = ("wav2vec2", "hubert", "wavlm", "wav2vec2-layer-norm")
CLIPS = 24
EDGES = (8000, 12000, 16000)
# No SpecAugment: optimum-habana draws it from another generator.
TINY = (
    "architecture.hidden_size=16", "architecture.intermediate_size=16",
    "architecture.num_attention_heads=2", "architecture.conv_dim=[8, 8, 8]",
    "architecture.num_conv_pos_embedding_groups=2", "batching.batch=4", "batching.buckets=2",
    "max_steps=4", "evaluation.every=4", "evaluation.save_every=2", "evaluation.log_every=1",
    "dtype=fp32", "optimizer.warmup=0",
    "network.mask_time_prob=0", "network.mask_feature_prob=0",
)  # fmt: skip


def open_named(name: str, mode: str) -> Any:
    from gaudi_asr_cli.core.devices import open_device
    from gaudi_asr_cli.core.runtime import configure

    device = open_device(name, hpu_mode=mode)
    configure(device)
    # The CPU pads to buckets too, so that all devices have the same batches.
    return dataclasses.replace(device, recompiles_on_new_shapes=True)  # type: ignore[type-var]


def clips() -> list[Any]:
    import numpy as np
    from helpers.tiny_models import make_batch

    draw = np.random.default_rng(3)
    return [make_batch([int(draw.integers(3000, 16000))], seed=one) for one in range(CLIPS)]


def padded(clip: Any, samples: int) -> Any:
    import numpy as np

    width = samples - clip.samples.shape[1]
    return dataclasses.replace(clip, samples=np.pad(clip.samples, ((0, 0), (0, width))))


def widths(model: Any) -> Iterator[int]:
    """Return the padded lengths: one frame more than the longest clip of each bucket."""
    return (edge + model.geometry.frame_samples for edge in EDGES)


def transcribe_clips(out: Path, device: Any, graphs: bool) -> dict[str, Any]:
    """Transcribe every clip, padded to its bucket, with decoding in threads."""
    from helpers.tiny_models import save_tiny_model

    from gaudi_asr_cli.core.models.ctc.masked_norm import make_padding_invariant
    from gaudi_asr_cli.core.models.ctc.model import open_ctc_model

    results = {}
    for family in FAMILIES:
        folder = save_tiny_model(out / "models" / family, family)
        model = make_padding_invariant(open_ctc_model(str(folder), device=device, dtype="fp32"))
        results[family] = transcribe_with_model(
            model, device, graphs=graphs, out=out / f"{family}.npz"
        )
    return results


def transcribe_with_model(model: Any, device: Any, *, graphs: bool, out: Path) -> dict[str, Any]:
    import numpy as np
    import torch

    from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
    from gaudi_asr_cli.core.devices.graphs import warm_up
    from gaudi_asr_cli.core.records import Emissions

    def placed(clip: Any) -> dict[str, torch.Tensor]:
        inputs = model.frontend.prepare(
            padded(clip, next(w for w in widths(model) if fits(clip, w)))
        )
        return {name: one.to(device.torch_device) for name, one in inputs.items()}

    def fits(clip: Any, width: int) -> bool:
        return clip.samples.shape[1] <= width - model.geometry.frame_samples

    def decode(clip: Any, pending: Any) -> tuple[np.ndarray, str]:
        frames = model.geometry.count_frames(int(clip.lengths[0]))
        emissions = Emissions(pending.wait(), np.array([frames]), model.geometry.frame_s)
        text = GreedyDecoder(model.vocabulary).decode(emissions, 0, clip.utterances[0]).text
        return emissions.log_probs[0, :frames], text

    counts = device.use_graphs(model.network, max_graphs=len(EDGES)) if graphs else None
    if graphs:
        assert device.use_graphs(model.network, max_graphs=1) is counts, "captured twice"
        for edge in EDGES:
            longest = next(one for one in clips() if one.samples.shape[1] <= edge)
            full = dataclasses.replace(
                longest, samples=np.zeros((1, edge), np.float32), lengths=np.array([edge])
            )
            warm_up(model.network, placed(full))
    reset_events()
    copier = device.copier()
    with device.inference_mode(), ThreadPoolExecutor(2) as threads:
        results = []
        for clip in clips():
            logits = model.network(**placed(clip)).logits
            pending = copier.start(torch.log_softmax(logits.float(), dim=-1))
            device.mark_step()
            results.append(threads.submit(decode, clip, pending))
        decoded = [one.result() for one in results]
    np.savez(out, *[log_probs for log_probs, _ in decoded])
    return {
        "texts": [text for _, text in decoded],
        "graphs": None if counts is None else dataclasses.asdict(counts) | {"shapes": None},
        "events": events(),
    }


def reset_events() -> None:
    if "hpu_standin" in sys.modules:
        sys.modules["hpu_standin"].recorder.reset()


def events() -> dict[str, int]:
    if "hpu_standin" not in sys.modules:
        return {}
    recorder = sys.modules["hpu_standin"].recorder
    copies = recorder.of("d2h")
    return {
        **recorder.summary(),
        "pinned_d2h": sum(one["pinned"] and one["non_blocking"] for one in copies),
        "copying_streams": len({one["stream"] for one in copies}),
    }


def finetune(out: Path, device: Any, *settings: str) -> dict[str, Any]:
    """Train a tiny model for four steps, stopped after the second and resumed; score it."""
    from helpers.tiny_corpus import write_corpus

    from gaudi_asr_cli.core.errors import StoppedError
    from gaudi_asr_cli.core.events import StepLogged
    from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest
    from gaudi_asr_cli.core.workflows.finetune.run import finetune

    corpus = write_corpus(out / "corpus", utterances=14)
    data = (f"train.data={corpus}", f"eval.data={corpus}", "eval.limit=3")
    run = out / "run"
    losses: dict[int, float] = {}

    def record(event: Any) -> None:
        if isinstance(event, StepLogged):
            losses[event.step] = event.loss

    def stop_after_two(event: Any) -> None:
        record(event)
        if isinstance(event, StepLogged) and event.step == 2:
            signal.raise_signal(signal.SIGINT)

    reset_events()
    request = FinetuneRequest("digits", (*data, *TINY, *settings), run)
    try:
        finetune(request, device, stop_after_two)
    except StoppedError:
        stopped = True
    else:
        stopped = False
    report = finetune(FinetuneRequest(run=run, resume=True), device, record)
    return {
        "stopped": stopped,
        "losses": [losses[step] for step in sorted(losses)],
        "resumed_step": report.outcome.resumed_step,
        "wer": None if report.eval is None else report.eval.wer,
        "saved": sorted(path.name for path in (run / "model").iterdir()),
        "events": events(),
    }


def diverge(out: Path, device: Any) -> dict[str, Any]:
    """Take a far too large step and return the error and the remaining checkpoints."""
    from helpers.tiny_corpus import write_corpus

    from gaudi_asr_cli.core.errors import TrainingError
    from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest
    from gaudi_asr_cli.core.workflows.finetune.run import finetune

    corpus = write_corpus(out / "corpus", utterances=14)
    diverging = ("optimizer.learning_rate=1e30", "optimizer.clip_norm=0", "evaluation.save_every=1")
    request = FinetuneRequest("digits", (f"train.data={corpus}", *TINY, *diverging), out / "run")
    try:
        finetune(request, device)
    except TrainingError as error:
        kept = [path.name for path in (out / "run" / "checkpoints").glob("checkpoint-*")]
        return {"message": error.message, "checkpoints": kept}
    return {"message": "no error", "checkpoints": []}


def train_family(out: Path, device: Any, family: str) -> dict[str, Any]:
    """Train a pretrained tiny model of the family for three steps; return losses and Trainer."""
    from helpers.tiny_corpus import write_corpus
    from helpers.tiny_models import save_tiny_model

    from gaudi_asr_cli.core.events import StepLogged, ignore
    from gaudi_asr_cli.core.runs import RunFolder
    from gaudi_asr_cli.core.training import session
    from gaudi_asr_cli.core.workflows.finetune.job import prepare
    from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest, resolve_recipe

    corpus = write_corpus(out / "corpus", utterances=14)
    folder = save_tiny_model(out / "start" / family, family, letters="abcdefghijlmnorstuvw")
    settings = [one for one in TINY if not one.startswith("architecture")]
    request = FinetuneRequest(
        "digits",
        (
            *settings, f"train.data={corpus}", f"model={folder}", "vocab=model", "max_steps=3",
            "architecture=null", "network.mask_time_prob=0", "network.layerdrop=0",
            "network.mask_feature_prob=0", "batching.accumulate=2", "freeze=none",
        ),
    )  # fmt: skip
    job = prepare(resolve_recipe(request), device, ignore)
    for module in job.task.network.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    losses: list[float] = []
    unscored = dataclasses.replace(job.settings, eval_every=None)
    with batch_losses() as exact:
        session.train(
            job.task,
            job.training_set,
            None,
            unscored,
            session.RunSession(
                RunFolder.create(out / f"run-{family}"),
                lambda event: losses.append(event.loss) if isinstance(event, StepLogged) else None,
                time.perf_counter(),
            ),
        )
    trainer = device.trainer_kit().trainer_class().__name__
    return {"losses": losses, "exact": exact, "trainer": trainer}


@contextmanager
def batch_losses() -> Iterator[list[float]]:
    """Yield a list of the losses of all batches; the logs of transformers 4.55 are rounded."""
    from gaudi_asr_cli.core.training.trainer import PlannedMixin

    losses: list[float] = []
    original = PlannedMixin.training_step

    def record(self: Any, *inputs: Any) -> Any:
        loss = original(self, *inputs)
        losses.append(float(loss))
        return loss

    PlannedMixin.training_step = record  # type: ignore[method-assign]
    try:
        yield losses
    finally:
        PlannedMixin.training_step = original  # type: ignore[method-assign]


def main(out: Path, name: str, mode: str) -> None:
    device = open_named(name, mode)
    found: dict[str, Any] = {"description": device.description}
    found["plain"] = transcribe_clips(out / "plain", device, graphs=False)
    if mode == "lazy":
        found["graphed"] = transcribe_clips(out / "graphed", device, graphs=True)
    found["finetune"] = finetune(out / "finetune", device)
    found["families"] = {one: train_family(out / "families" / one, device, one) for one in FAMILIES}
    found["diverged"] = diverge(out / "diverged", device)
    (out / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
