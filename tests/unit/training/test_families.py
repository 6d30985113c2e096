"""End to end for every CTC model family: train, save, transcribe."""

import pytest
from helpers.slow import slow_after_first
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import FAMILIES, NEW_FAMILIES, save_tiny_model

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest
from gaudi_asr_cli.core.workflows.finetune.run import finetune
from gaudi_asr_cli.core.workflows.infer import InferRequest, infer

MMS_SETTINGS = ("freeze=all-but-adapter",)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), utterances=4)


@pytest.mark.parametrize("family", slow_after_first(FAMILIES))
def test_a_pretrained_model_is_trained_saved_and_used_for_inference(family, corpus, tmp_path):
    # Of the new families there are no checkpoints without a head.
    model = save_tiny_model(
        tmp_path / "pretrained", family, letters="efghinorstuvwxz", head=family in NEW_FAMILIES
    )
    settings = (
        f"model={model}", f"train={corpus}", f"eval={corpus}", "max_steps=2", "batching.batch=2",
        "evaluation.log_every=1", "dtype=fp32", *(MMS_SETTINGS if family == "mms" else ()),
    )  # fmt: skip
    device = open_device("cpu")

    report = finetune(FinetuneRequest(None, settings, tmp_path / "run"), device)
    events = []
    report_of_infer = infer(
        InferRequest(
            (str(corpus.parent / "u00.wav"),),
            model=str(report.model),
            options=InferenceOptions(dtype="fp32"),
        ),
        device,
        events.append,
    )

    assert report.outcome.steps == 2
    assert report.eval is not None
    assert report.eval.utterances == 4
    assert report_of_infer.failed == 0
    texts = [one.transcript.text for one in events if isinstance(one, UtteranceDone)]
    predictions = (tmp_path / "run" / "predictions.jsonl").read_text()
    # The saved model has the same hypotheses as the evaluation after training.
    assert f'"raw_hypothesis": "{texts[0]}"' in predictions
