"""Fine-tuning of seq2seq models: labels, batches, whole runs, and skipped examples."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers.run import clean_environment
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper
from helpers.tiny_text_models import save_tiny_text_model
from safetensors.torch import load_file
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import DataError, RecipeError, UsageError
from gaudi_asr_cli.core.events import Evaluated, Noticed, StepLogged, ignore
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import open_recognizer
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.models.seq2seq.labels import IGNORED_LABEL, shift_right
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model
from gaudi_asr_cli.core.models.seq2seq.tuning import find_low_rank, merge_low_rank
from gaudi_asr_cli.core.models.seq2seq.warm_start import WarmStart, join, save_joined
from gaudi_asr_cli.core.records import AudioSpan, Utterance
from gaudi_asr_cli.core.training.batches import PlannedBatches
from gaudi_asr_cli.core.training.tasks.base import BATCH_METADATA
from gaudi_asr_cli.core.workflows.finetune.job import prepare
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest, resolve_recipe
from gaudi_asr_cli.core.workflows.finetune.run import finetune, plan_finetune

KIND = "finetune-seq2seq"
KILLER = Path(__file__).parents[2] / "helpers" / "killed.py"
SMALL = (
    "batching.batch=4", "batching.buckets=2", "max_steps=4", "evaluation.every=2",
    "evaluation.save_every=2", "evaluation.log_every=1", "dtype=fp32", "generation.max_tokens=6",
    "network.mask_time_prob=0",
)  # fmt: skip
CALM = (
    "network.encoder={layerdrop: 0.0, hidden_dropout: 0.0, attention_dropout: 0.0, "
    "activation_dropout: 0.0}",
    "network.decoder={dropout: 0.0, attention_dropout: 0.0}",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """An encoder-decoder made by create-seq2seq."""
    root = tmp_path_factory.mktemp("joined")
    encoder = save_tiny_model(root / "ctc", "wav2vec2-layer-norm")
    decoder = save_tiny_text_model(root / "bart")
    both = join(WarmStart(str(encoder), str(decoder), adapter_layers=1, max_tokens=8, beams=1))
    save_joined(both, root / "both")
    return root / "both"


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("whisper") / "model")


@pytest.fixture(scope="module")
def trained(whisper, tmp_path_factory):
    """A Whisper that overfits six clips: the clips, the run and its report."""
    root = tmp_path_factory.mktemp("trained")
    corpus, run = write_corpus(root / "corpus", utterances=6), root / "run"
    settings = (
        "language=en", "max_steps=120", "evaluation.every=end", "evaluation.save_every=end",
        "optimizer.learning_rate=5e-3", "batching.batch=6", "eval.limit=6", *CALM[1:],
        "generation.max_tokens=20",
    )  # fmt: skip
    report = finetune(request(whisper, corpus, run, *settings), open_device("cpu"))
    return sorted(corpus.parent.glob("*.wav")), run, report


def request(model, corpus, run, *settings, resume=False):
    data = (f"model={model}", f"train.data={corpus}", f"eval.data={corpus}", "eval.limit=2")
    return FinetuneRequest(settings=(*data, *SMALL, *settings), run=run, resume=resume, kind=KIND)


def prepared(model, corpus, *settings, observe=ignore, device=None):
    requested = request(model, corpus, None, *settings)
    return prepare(resolve_recipe(requested), device or open_device("cpu"), observe)


def test_a_run_emits_events_and_writes_a_usable_model(joined, corpus, tmp_path):
    events, run = [], tmp_path / "run"

    report = finetune(request(joined, corpus, run), open_device("cpu"), events.append)

    steps = [one for one in events if isinstance(one, StepLogged)]
    saved = json.loads((run / "report.json").read_text())
    assert [one.step for one in steps] == [1, 2, 3, 4]
    assert all(one.blank_share is None and 0 <= one.token_accuracy <= 1 for one in steps)
    assert [one.step for one in events if isinstance(one, Evaluated)] == [2, 4]
    assert (saved["schema"], saved["eval"]["utterances"]) == ("finetune-seq2seq/1", 2)
    assert saved["train"]["accuracy_last"] == report.outcome.accuracy_last
    assert "An encoder-decoder model" in (run / "model" / "README.md").read_text()
    assert open_seq2seq_model(str(run), device=open_device("cpu")).token_limit == 24


def test_the_start_token_is_an_input_once_and_never_a_label(joined, corpus):
    job = prepared(joined, corpus)

    inputs, _ = PlannedBatches(job.training_set, job.task).load(job.training_set.plan(0).batches[0])

    decoder_ids, labels = inputs["decoder_input_ids"], inputs["labels"]
    assert (decoder_ids == 0).sum(dim=1).tolist() == [1] * len(decoder_ids)
    assert not (labels == 0).any()
    assert torch.equal(decoder_ids[:, 1:][labels[:, :-1] >= 0], labels[:, :-1][labels[:, :-1] >= 0])


def test_ignored_labels_become_padding_tokens_of_the_decoder_input():
    labels = torch.tensor([[7, 2, IGNORED_LABEL, IGNORED_LABEL]])

    assert shift_right(labels, start=0, pad_id=1).tolist() == [[0, 7, 2, 1]]


def test_whisper_labels_begin_with_language_task_and_no_timestamps(whisper, corpus):
    job = prepared(whisper, corpus, "language=hindi")

    tokenizer, label = job.task.model.tokenizer, job.training_set.labels[0]
    assert tokenizer.convert_ids_to_tokens(label[:3]) == [
        "<|hi|>", "<|transcribe|>", "<|notimestamps|>",
    ]  # fmt: skip
    assert label[-1] == tokenizer.eos_token_id
    text = tokenizer.decode(label, skip_special_tokens=True).strip()
    assert text == job.training_set.utterances[0].text


def test_a_multilingual_model_needs_a_language(whisper, corpus):
    with pytest.raises(RecipeError, match="is multilingual, so") as caught:
        prepared(whisper, corpus)

    assert "--language" in caught.value.remedy


def test_the_error_of_an_unknown_language_suggests_the_closest(whisper, corpus):
    with pytest.raises(UsageError) as caught:
        prepared(whisper, corpus, "language=germann")

    assert "german" in caught.value.remedy


def test_every_clip_is_padded_to_whispers_whole_window(whisper, corpus):
    job = prepared(
        whisper, corpus, "language=en", "batching.batch=null", "batching.batch_seconds=8"
    )

    plan = job.training_set.plan(0)
    assert {len(batch.indices) for batch in plan.batches} == {4}
    assert {batch.padded_s for batch in plan.batches} == {2.0}


def test_texts_over_the_limit_are_skipped_before_the_first_step_and_listed(joined, tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    lines = [json.loads(line) for line in corpus.read_text().splitlines()]
    lines[3]["text"] = "one two " * 12
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    events, run = [], tmp_path / "run"

    report = finetune(request(joined, corpus, run), open_device("cpu"), events.append)

    skipped = json.loads((run / "refused.jsonl").read_text())
    assert report.refused == {"text over the model's limit": 1}
    assert (skipped["utterance_id"], skipped["detail"]) == ("u03", "25 tokens, 24 at most")
    noticed = next(i for i, one in enumerate(events) if isinstance(one, Noticed))
    assert noticed < next(i for i, one in enumerate(events) if isinstance(one, StepLogged))


def test_audio_over_the_window_is_skipped_and_not_truncated(whisper, tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    lines = [json.loads(line) for line in corpus.read_text().splitlines()]
    path = corpus.parent / lines[0]["audio_filepath"]
    samples, rate_hz = soundfile.read(path)
    soundfile.write(path, np.resize(samples, int(2.5 * rate_hz)), rate_hz)
    lines[0].pop("duration", None)
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))

    job = prepared(whisper, corpus, "language=en")

    assert [(one.utterance_id, one.reason) for one in job.skipped] == [
        ("u00", "longer than the model's window")
    ]


def test_a_tokenizer_without_the_characters_of_the_data_is_an_error(joined, corpus):
    with pytest.raises(DataError, match="does not cover this data") as caught:
        prepared(joined, corpus, "text.case=upper")

    assert "--case lower" in caught.value.remedy


def test_dummy_rows_of_static_shapes_do_not_change_the_loss(joined, corpus):
    compiling = replace(open_device("cpu"), recompiles_on_new_shapes=True)
    filled, unfilled = (
        prepared(joined, corpus, "batching.batch=5", *CALM, device=device)
        for device in (compiling, open_device("cpu"))
    )

    def batches(job):
        planned = PlannedBatches(job.training_set, job.task)
        found = [planned[index] for index in range(len(planned))]
        planned.close()
        return found

    shapes = {(one["input_values"].shape, one["labels"].shape) for one in batches(filled)}
    assert len(shapes) == len(filled.training_set.batching.edges_s) == 2
    assert any(len(one["planned"].indices) < len(one["labels"]) for one in batches(filled))
    for one, other in zip(batches(filled), batches(unfilled), strict=True):
        assert one["planned"].indices == other["planned"].indices
        assert loss_of(filled, one) == pytest.approx(loss_of(unfilled, other), rel=2e-3)


def loss_of(job, inputs):
    job.task.network.eval()
    tensors = {name: value for name, value in inputs.items() if name not in BATCH_METADATA}
    with torch.no_grad():
        return job.task.network(**tensors).loss.item()


def changed_weights(model, run):
    """Return the names of the weights that a run has changed."""
    before, after = (load_file(one / "model.safetensors") for one in (model, run / "model"))
    # Unused without SpecAugment, so not saved.
    before.pop("encoder.masked_spec_embed")
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_a_frozen_encoder_keeps_its_weights_and_its_adapter_is_trained(joined, corpus, tmp_path):
    run = tmp_path / "run"

    finetune(request(joined, corpus, run, "freeze=encoder", "eval=null"), open_device("cpu"))

    changed = changed_weights(joined, run)
    assert any(name.startswith("encoder.adapter") for name in changed)
    assert any(name.startswith("decoder") for name in changed)
    assert not [n for n in changed if n.startswith("encoder") and "adapter" not in n]


def test_a_whisper_learns_its_training_transcripts(trained):
    _, run, report = trained

    saved = json.loads((run / "model" / "generation_config.json").read_text())
    assert report.eval.wer == 0.0
    assert (saved["language"], saved["task"]) == ("<|en|>", "transcribe")


@pytest.mark.parametrize("beams", [1, 3])
def test_hypotheses_of_a_trained_model_equal_those_of_transformers(trained, beams):
    clips, run, _ = trained
    options = InferenceOptions(
        dtype="fp32", language="en", beams=beams, max_tokens=20, batch_size=4, timestamps="none"
    )
    recognizer = open_recognizer(str(run), open_device("cpu"), options)

    results = transcribe(recognizer, [Utterance(one.stem, AudioSpan(one)) for one in clips])

    processor = AutoProcessor.from_pretrained(run / "model")
    network = AutoModelForSpeechSeq2Seq.from_pretrained(run / "model").eval()
    inputs = processor(
        [soundfile.read(one, dtype="float32")[0] for one in clips],
        sampling_rate=16_000, return_tensors="pt",
    )  # fmt: skip
    ids = network.generate(inputs.input_features, language="en", num_beams=beams, max_new_tokens=20)
    texts = [one.strip() for one in processor.batch_decode(ids, skip_special_tokens=True)]
    assert [one.transcript.text for one in results] == texts
    assert len(set(texts)) > 3


def test_only_lora_weights_are_trained_and_they_are_merged_when_saved(joined, corpus, tmp_path):
    pytest.importorskip("peft")
    job = prepared(joined, corpus, "lora.rank=2")
    trained = {name for name, one in job.task.network.named_parameters() if one.requires_grad}
    run = tmp_path / "run"

    finetune(request(joined, corpus, run, "lora.rank=2", "eval=null"), open_device("cpu"))

    changed = changed_weights(joined, run)
    assert trained
    assert all("lora_" in name for name in trained)
    assert changed
    assert all("q_proj.weight" in name or "v_proj.weight" in name for name in changed)


def test_merging_lora_does_not_change_the_loss(joined, corpus):
    pytest.importorskip("peft")
    job = prepared(joined, corpus, "lora.rank=2", *CALM)
    network = job.task.network
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    inputs, _ = PlannedBatches(job.training_set, job.task).load(job.training_set.plan(0).batches[0])
    with_updates = loss_of(job, inputs)

    merge_low_rank(network)

    assert loss_of(job, inputs) == pytest.approx(with_updates, rel=1e-4)
    assert find_low_rank(network) == []


def test_unknown_lora_targets_are_an_error(joined, corpus):
    pytest.importorskip("peft")

    with pytest.raises(RecipeError, match="no layer of"):
        prepared(joined, corpus, "lora.rank=2", "lora.targets=[nothing]")


def test_a_decoder_of_the_encoders_width_needs_no_projection(corpus, tmp_path):
    encoder = save_tiny_model(tmp_path / "ctc", "wav2vec2-layer-norm")
    decoder = save_tiny_text_model(tmp_path / "gpt2", "GPT2", pads=False, wraps=False)
    both = join(WarmStart(str(encoder), str(decoder), adapter_layers=1, pad_token="</s>"))
    save_joined(both, tmp_path / "both")

    requested = request(tmp_path / "both", corpus, tmp_path / "run", "eval.limit=4")
    report = finetune(requested, open_device("cpu"))

    assert not any(one.part == "projection" for one in both.weights)
    assert report.eval.utterances == 4
    assert report.outcome.steps == 4
    assert 0 < report.outcome.loss_last < float("inf")


def test_a_run_shorter_than_the_log_interval_logs_its_loss(joined, corpus, tmp_path):
    settings = ("evaluation.log_every=10", "max_steps=3", "eval=null")

    report = finetune(request(joined, corpus, tmp_path / "run", *settings), open_device("cpu"))

    assert report.outcome.loss_last > 0
    assert report.outcome.audio_s_per_s > 0


def test_the_error_lists_texts_over_the_limit_if_all_are(joined, tmp_path):
    corpus = write_corpus(tmp_path / "corpus", utterances=7)
    lines = [
        json.loads(line) | {"text": "one two " * 12} for line in corpus.read_text().splitlines()
    ]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))

    with pytest.raises(DataError) as caught:
        prepared(joined, corpus)

    message = str(caught.value)
    assert "text over the model's limit (u00 (25 tokens, 24 at most), u01" in message
    assert "u04 (25 tokens, 24 at most), ...)" in message


def test_a_dry_run_writes_nothing(joined, corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    plan = plan_finetune(request(joined, corpus, tmp_path / "run"), open_device("cpu"))

    assert (plan.to_json()["schema"], plan.tokens) == ("finetune-seq2seq-plan/1", 10)
    assert list(tmp_path.iterdir()) == []


def test_the_error_of_a_recipe_of_another_kind_names_its_command(corpus):
    requested = FinetuneRequest("digits", (f"train={corpus}",), kind=KIND)

    with pytest.raises(RecipeError) as caught:
        resolve_recipe(requested)

    assert "gaudi-asr finetune-ctc" in caught.value.remedy


def test_gradient_checkpointing_does_not_change_the_loss(joined, corpus, tmp_path):
    settings = ("gradient_checkpointing=true", "eval=null", "max_steps=1", *CALM)
    losses = []
    for name, more in (("plain", settings[1:]), ("again", settings)):
        report = finetune(request(joined, corpus, tmp_path / name, *more), open_device("cpu"))
        losses.append(report.outcome.loss_first)

    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_killed_run_resumes_to_the_same_weights(joined, corpus, tmp_path):
    settings = (
        "max_steps=6", "evaluation.every=3", "network.mask_time_prob=0.3",
        "network.mask_time_length=2", "augment.speed=0.1", "network.decoder={dropout: 0.2}",
    )  # fmt: skip
    whole = finetune(request(joined, corpus, tmp_path / "whole", *settings), open_device("cpu"))
    run, requested = tmp_path / "run", request(joined, corpus, None, *settings)
    words = [part for one in requested.settings for part in ("--set", one)]

    killed = subprocess.run(
        [sys.executable, KILLER, "step", "5", KIND, "--device", "cpu", "--run", run, *words],
        env=clean_environment(), capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    resumed = finetune(FinetuneRequest(run=run, resume=True, kind=KIND), open_device("cpu"))

    assert killed.returncode == -9, killed.stderr.decode()
    assert resumed.outcome.resumed_step == 4
    assert resumed.outcome.loss_last == whole.outcome.loss_last
    states = [load_file(one / "model" / "model.safetensors") for one in (run, whole.run)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
