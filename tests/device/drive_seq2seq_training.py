"""Training and generation of seq2seq models on one device, in a process of its own.

python drive_seq2seq_training.py OUT DEVICE MODE     writes OUT/found.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from drive import open_named

CALM = (
    "network.mask_time_prob=0",
    "network.encoder={layerdrop: 0.0, hidden_dropout: 0.0, attention_dropout: 0.0, "
    "activation_dropout: 0.0}",
    "network.decoder={dropout: 0.0, attention_dropout: 0.0}",
)
CALM_GPT2 = (*CALM[:2], "network.decoder={attn_pdrop: 0.0, embd_pdrop: 0.0, resid_pdrop: 0.0}")
SMALL = (
    "batching.batch=4", "batching.buckets=2", "max_steps=3", "evaluation.every=3",
    "evaluation.save_every=3", "evaluation.log_every=1", "evaluation.normalizer=none",
    "dtype=fp32", "generation.max_tokens=6", "optimizer.warmup=0",
)  # fmt: skip


def record_steps() -> list[str]:
    """Return a list of the shapes of the network's inputs, extended by each training step."""
    from gaudi_asr_cli.core.training.trainer import PlannedMixin

    seen: list[str] = []
    step = PlannedMixin.training_step

    def recording(self: Any, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        names = ("input_values", "input_features", "decoder_input_ids", "labels")
        seen.append(json.dumps([list(inputs[one].shape) for one in names if one in inputs]))
        return step(self, model, inputs, *rest)

    PlannedMixin.training_step = recording  # type: ignore[method-assign]
    return seen


def train(out: Path, device: Any, model: Path, *settings: str) -> dict[str, Any]:
    """Train for three steps with a score, and evaluate the saved model with eval-seq2seq."""
    from helpers.tiny_corpus import write_corpus

    from gaudi_asr_cli.core.events import Evaluated, StepLogged
    from gaudi_asr_cli.core.inference.options import InferenceOptions
    from gaudi_asr_cli.core.workflows.evaluation import EvalRequest, evaluate
    from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest
    from gaudi_asr_cli.core.workflows.finetune.run import finetune

    corpus = write_corpus(out / "corpus", utterances=11)
    data = (f"model={model}", f"train.data={corpus}", f"eval.data={corpus}", "eval.limit=5")
    request = FinetuneRequest(
        settings=(*data, *SMALL, *settings), run=out / "run", kind="finetune-seq2seq"
    )
    events: list[Any] = []
    finetune(request, device, events.append)
    values = dict(one.split("=", 1) for one in settings)
    again = EvalRequest(
        model=str(out / "run"),
        data=(str(corpus),),
        run=out / "eval",
        limit=5,
        normalizer="none",
        language=values.get("language"),
        options=InferenceOptions(
            kind="seq2seq",
            dtype="fp32",
            timestamps="none",
            beams=int(values.get("generation.beams", 1)),
            max_tokens=6,
        ),
        command="eval-seq2seq",
    )
    report = evaluate(again, device, lambda event: None)
    return {
        "losses": [one.loss for one in events if isinstance(one, StepLogged)],
        "accuracies": [one.token_accuracy for one in events if isinstance(one, StepLogged)],
        "wer": [one.score.wer for one in events if isinstance(one, Evaluated)],
        "hypotheses": read_hypotheses(out / "run"),
        "hypotheses_again": read_hypotheses(out / "eval"),
        "wer_again": report.score.wer,
        "trainer": device.trainer_kit(generates=True).trainer_class().__name__,
    }


def read_hypotheses(run: Path) -> list[str]:
    lines = (run / "predictions.jsonl").read_text().splitlines()
    return [json.loads(line)["raw_hypothesis"] for line in lines]


def join_halves(out: Path, family: str) -> Path:
    from helpers.tiny_models import save_tiny_model
    from helpers.tiny_text_models import save_tiny_text_model

    from gaudi_asr_cli.core.models.seq2seq.warm_start import WarmStart, join, save_joined

    encoder = save_tiny_model(out / "ctc", "wav2vec2-layer-norm")
    decoder = save_tiny_text_model(out / family, family)
    save_joined(join(WarmStart(str(encoder), str(decoder), adapter_layers=1)), out / "both")
    return out / "both"


def main(out: Path, name: str, mode: str) -> None:
    device = open_named(name, mode)
    seen = record_steps()
    from helpers.tiny_seq2seq import save_tiny_whisper

    found: dict[str, Any] = {}
    for family, calm in (("Bart", CALM), ("GPT2", CALM_GPT2)):
        seen.clear()
        joined = join_halves(out / f"parts-{family}", family)
        found[family] = train(out / family, device, joined, *calm, "generation.beams=2")
        found[family]["shapes"] = sorted(set(seen))
    seen.clear()
    whisper = save_tiny_whisper(out / "whisper")
    found["whisper"] = train(out / "spoken", device, whisper, CALM[0], CALM[2], "language=hi",
        "generation.beams=2",
    )  # fmt: skip
    found["whisper"]["shapes"] = sorted(set(seen))
    (out / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
