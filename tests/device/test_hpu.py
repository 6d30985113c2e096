"""A Gaudi in lazy and eager mode against the CPU; the stand-in runs in separate processes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.slow_decoder import BATCHES, STEP_S
from helpers.standin_device import (
    STANDIN,
    TESTS,
    has_optimum,
    run_python,
    standin_environment,
)
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import save_tiny_model

DRIVE = TESTS / "device" / "drive.py"
FAMILIES = ("wav2vec2", "hubert", "wavlm", "wav2vec2-layer-norm")
MODES = ("lazy", "eager")

pytestmark = pytest.mark.slow


def drive(out: Path, device: str, mode: str) -> dict[str, Any]:
    env = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    run_python(DRIVE, out, device, mode, env=env if device == "cpu" else None)
    found: dict[str, Any] = json.loads((out / "found.json").read_text())
    return {**found, "folder": out}


@pytest.fixture(scope="session")
def cpu(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("cpu"), "cpu", "auto")


@pytest.fixture(scope="session")
def driven(tmp_path_factory):
    """Return a function of the results of a mode, which is run at its first use."""
    found: dict[str, dict[str, Any]] = {}

    def of(mode: str) -> dict[str, Any]:
        if mode not in found:
            found[mode] = drive(tmp_path_factory.mktemp(mode), "hpu", mode)
        return found[mode]

    return of


def log_probs(found: dict[str, Any], kind: str, family: str) -> list[np.ndarray]:
    with np.load(found["folder"] / kind / f"{family}.npz") as stored:
        return [stored[name] for name in stored.files]


CASES = [("lazy", "plain"), ("lazy", "graphed"), ("eager", "plain")]


@pytest.mark.parametrize(("mode", "kind"), CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_emissions_and_texts_of_a_gaudi_equal_those_of_a_cpu(cpu, driven, mode, kind, family):
    results = driven(mode)

    assert results[kind][family]["texts"] == cpu["plain"][family]["texts"]
    expected = log_probs(cpu, "plain", family)
    for one, other in zip(log_probs(results, kind, family), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_graph_is_captured_per_bucket(driven, family):
    results = driven("lazy")["graphed"][family]

    assert results["graphs"] == {"captured": 3, "replayed": 24, "uncaptured": 0, "shapes": None}
    assert results["events"].get("graph_capture", 0) == 0, "captured after the warm-up"
    assert results["events"]["graph_replay"] == 24


@pytest.mark.parametrize(("mode", "kind"), CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_host_only_waits_for_copies_on_at_most_four_streams(driven, mode, kind, family):
    events = driven(mode)[kind][family]["events"]

    assert events["d2h"] == 24
    assert events["pinned_d2h"] == 24
    assert events.get("host_sync", 0) == 0
    assert events.get("synchronize", 0) == 0
    assert "inference_mode" not in events
    assert events["copying_streams"] <= 4


@pytest.mark.parametrize("mode", MODES)
def test_a_stopped_and_resumed_run_has_the_losses_of_a_cpu(cpu, driven, mode):
    trained, expected = driven(mode)["finetune"], cpu["finetune"]

    assert trained["stopped"]
    assert trained["resumed_step"] == 3
    # Logs of transformers 4.55 are rounded to four digits.
    assert trained["losses"] == pytest.approx(expected["losses"], abs=1.1e-4)
    assert len(trained["losses"]) == 4
    assert trained["wer"] == expected["wer"]
    assert {"config.json", "model.safetensors", "vocab.json"} <= set(trained["saved"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", FAMILIES)
def test_families_have_the_losses_of_a_cpu_with_gradient_accumulation(cpu, driven, mode, family):
    trained, expected = driven(mode)["families"][family], cpu["families"][family]

    assert trained["losses"] == pytest.approx(expected["losses"], rel=1e-5, abs=1.1e-4)
    assert len(trained["losses"]) == 3
    # Updates amplify rounding: one and two threads of a CPU differ by 1.1e-5 in the third step.
    assert trained["exact"] == pytest.approx(expected["exact"], rel=3e-5, abs=1e-4)
    assert len(trained["exact"]) == 6


@pytest.mark.skipif(not has_optimum(), reason="needs optimum-habana (.venv-gaudi)")
@pytest.mark.parametrize("family", FAMILIES)
def test_both_trainers_have_the_same_losses_on_the_same_batches(driven, family):
    optimum, native = (driven(mode)["families"][family] for mode in MODES)

    assert (optimum["trainer"], native["trainer"]) == ("GaudiTrainer", "Trainer")
    assert optimum["exact"] == pytest.approx(native["exact"], rel=0, abs=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(driven, mode):
    diverged = driven(mode)["diverged"]

    assert "The loss of step 2 is not finite. Utterances of that step: u" in diverged["message"]
    assert diverged["checkpoints"] == ["checkpoint-1"]


@pytest.mark.parametrize("mode", MODES)
def test_the_trainer_is_optimum_habanas_in_lazy_mode_where_installed(driven, mode):
    trainers = {one["trainer"] for one in driven(mode)["families"].values()}

    assert trainers == {"GaudiTrainer" if mode == "lazy" and has_optimum() else "Trainer"}


@pytest.mark.parametrize("mode", MODES)
def test_steps_are_marked_in_lazy_mode(driven, mode):
    events = driven(mode)["finetune"]["events"]

    # At least after every backward and after every optimiser step.
    assert events.get("mark_step", 0) >= (8 if mode == "lazy" else 0)
    assert mode == "lazy" or "mark_step" not in events


@pytest.mark.parametrize(("command", "mode"), [("infer", "eager"), ("bench", "lazy")])
def test_the_mode_of_the_command_line_overrides_the_environment(tmp_path, command, mode):
    """torch alone would import the bridge in the mode of the environment."""
    clip = write_corpus(tmp_path, utterances=1).parent / "u00.wav"
    source = [clip] if command == "infer" else ["--data", tmp_path, "--repeat", 1, "--buckets", 1]
    env = {**standin_environment(), "PT_HPU_LAZY_MODE": "1" if mode == "eager" else "0"}

    run_python("-m", "gaudi_asr_cli", command, *source, "--model", "demo",
               "--device", "hpu", "--hpu-mode", mode, env=env)  # fmt: skip


def command_results(out: Path, device: str, mode: str | None) -> dict[str, Any]:
    """Run the commands; `--hpu-mode auto` is the mode of the environment."""
    env = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    if mode is not None:
        env = {**standin_environment(), "PT_HPU_LAZY_MODE": "1" if mode == "lazy" else "0"}
    printed = run_python(TESTS / "device" / "drive_commands.py", out, device, env=env)
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


@pytest.fixture(scope="session")
def on_cpu(tmp_path_factory):
    return command_results(tmp_path_factory.mktemp("commands"), "cpu", None)


@pytest.fixture(scope="session")
def commanded(tmp_path_factory):
    """Return a function of the commands' results in a mode, which is run at its first use."""
    found: dict[str, dict[str, Any]] = {}

    def of(mode: str) -> dict[str, Any]:
        if mode not in found:
            found[mode] = command_results(tmp_path_factory.mktemp(mode), "hpu", mode)
        return found[mode]

    return of


@pytest.mark.parametrize("mode", MODES)
def test_commands_print_the_same_results_on_a_gaudi_and_a_cpu(commanded, on_cpu, mode):
    found = commanded(mode)

    for name, done in found.items():
        assert done["exit_code"] == 0, (name, done["stderr"])
    assert found["infer"]["stdout"] == on_cpu["infer"]["stdout"]
    assert len(found["infer"]["stdout"].splitlines()) == 24
    score, expected = (json.loads(one["eval-ctc"]["stdout"]) for one in (found, on_cpu))
    for key in ("wer", "cer", "hits", "substitutions", "utterances", "audio_s"):
        assert score[key] == expected[key]
    trained = json.loads(found["finetune-ctc"]["stdout"])
    assert (trained["device"], trained["steps"]) == ("hpu", 3)
    captured = found["infer"]["events"].get("graph_capture", 0)
    assert (1 <= captured <= 6) if mode == "lazy" else captured == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_benchmark_captures_one_graph_per_bucket_and_replays_the_rest(
    commanded, on_cpu, mode, family
):
    done = commanded(mode)[f"bench {family}"]
    report, expected = (
        json.loads(one[f"bench {family}"]["stdout"]) for one in (commanded(mode), on_cpu)
    )

    assert (report["device"], report["utterances"]) == ("hpu", 40)
    assert report["score"]["hits"] + report["score"]["substitutions"] > 0
    for key in ("wer", "cer", "hits", "substitutions", "insertions"):
        assert report["score"][key] == expected["score"][key]
    events = done["events"]
    assert events["d2h"] == events["pinned_d2h"]
    assert events["copying_streams"] <= 4
    # The warm-up runs a batch of each bucket, which captures the graphs.
    assert len(report["buckets"]) == 5
    captured = 5 if mode == "lazy" else 0
    assert report["graphs_captured"] == events.get("graph_capture", 0) == captured
    assert events.get("graph_replay", 0) == (events["d2h"] - 5 if mode == "lazy" else 0)
    assert events["d2h"] > 10
    assert events.get("host_sync", 0) == 0


@pytest.mark.skipif(not has_optimum(), reason="needs optimum-habana (.venv-gaudi)")
def test_training_graphs_and_the_fused_optimiser_train_correctly_or_are_rejected(tmp_path):
    found = json.loads(run_python(TESTS / "device" / "drive_graphs.py", tmp_path))

    assert found["graphs_losses"] == pytest.approx(found["plain_losses"], abs=1.1e-4)
    assert found["training_graphs"] > 0
    assert found["fused_events"]["optimizer_adamw"] > 0
    assert found["fused_events"]["fused_clip_norm"] > 0
    assert "LayerDrop" in found["rejections"]["layerdrop"]
    assert "SpecAugment" in found["rejections"]["augment"]
    assert "accumulation" in found["rejections"]["accumulate"]
    assert "HubertForCTC" in found["rejections"]["hubert"]


def test_the_stand_in_passes_its_own_checks():
    # Not collected here: it would change torch for every other test of this process.
    run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull,
               "--rootdir", STANDIN, STANDIN / "checks" / "check_standin.py")  # fmt: skip


def test_a_slow_decoder_hides_behind_the_network_on_a_gaudi(tmp_path):
    folder = save_tiny_model(tmp_path, "wav2vec2")

    phases = json.loads(run_python("-m", "helpers.slow_decoder", folder).splitlines()[-1])

    # One after the other they would take the sum.
    assert phases["text"] >= BATCHES * STEP_S
    assert phases["wall"] < phases["compute"] + 0.6 * phases["text"]
