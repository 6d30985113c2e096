"""Opening a Gaudi whose device or software is missing; tests/device opens a working one."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.run import run

from gaudi_asr_cli.core.devices import hpu, open_device
from gaudi_asr_cli.core.devices.gaudi_kit import training_graphs_problem
from gaudi_asr_cli.core.devices.hpu import HpuDevice, choose_mode, explain_hpu, prepare_environment
from gaudi_asr_cli.core.errors import MachineError, UsageError

STANDIN = Path(__file__).parents[2] / "hpu_standin"


def run_python(code, *paths):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )


def test_without_gaudi_software_opening_fails_before_torch_is_imported():
    done = run_python(
        "import sys, time\n"
        "from gaudi_asr_cli.core.devices import open_device\n"
        "from gaudi_asr_cli.core.errors import MachineError\n"
        "started = time.perf_counter()\n"
        "try:\n"
        "    open_device('hpu', hpu_mode='lazy')\n"
        "except MachineError as error:\n"
        "    print(error.exit_code, 'habana_frameworks is not installed' in error.message)\n"
        "print(time.perf_counter() - started < 3, 'torch' in sys.modules)\n"
    )

    assert done.stdout.split() == ["5", "True", "True", "False"]


def test_the_command_reports_missing_software_and_exits_with_5(tmp_path):
    done = run("infer", "--device", "hpu", tmp_path / "any.wav", "--model", "demo")

    assert done.exit_code == 5
    assert "habana_frameworks" in done.stderr
    assert "container" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "infer any.wav --model demo", "bench", "bench --model demo --graphs",
        "eval-ctc demo --data any", "eval-seq2seq any --data any",
        "finetune-ctc", "finetune-ctc --dry-run", "finetune-ctc --cards 2", "finetune-seq2seq",
    ],
)  # fmt: skip
def test_no_command_imports_torch_for_a_missing_gaudi(words):
    """It takes seconds, and on a Gaudi host it would import the bridge before its environment."""
    done = run_python(
        "import sys\n"
        "from gaudi_asr_cli.cli.app import main\n"
        "try:\n"
        f"    main('{words} --device hpu'.split())\n"
        "except SystemExit as end:\n"
        "    print(end.code, 'torch' in sys.modules)\n"
    )

    assert done.stdout.split() == ["5", "False"]
    assert "habana_frameworks is not installed" in done.stderr


@pytest.fixture
def broken(tmp_path):
    """A folder with a bridge that cannot be imported, as without its driver."""
    package = tmp_path / "habana_frameworks" / "torch"
    package.mkdir(parents=True)
    (tmp_path / "habana_frameworks" / "__init__.py").touch()
    (package / "__init__.py").write_text("raise ImportError('libsynapse.so: no such file')")
    return tmp_path


def test_the_error_of_a_failed_import_has_its_reason(broken):
    done = run_python(
        "from gaudi_asr_cli.core.devices import open_device\nopen_device('hpu')", broken
    )

    assert "MachineError" in done.stderr
    assert "libsynapse.so" in done.stderr


SEEDED = (
    "import sys\n"
    "from gaudi_asr_cli.core.devices import open_device\n"
    "open_device('{device}')\n"
    "from accelerate.utils import is_hpu_available\n"
    "from transformers import set_seed\n"
    "set_seed(1)\n"
    "is_hpu_available()\n"
    "print('habana_frameworks.torch' in sys.modules)\n"
)
"""The first calls of every Trainer, in which transformers and accelerate look for a Gaudi."""


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_broken_gaudi_software_does_not_prevent_training_on_other_devices(broken, device):
    done = run_python(SEEDED.format(device=device), broken)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"]


def test_training_on_a_cpu_never_imports_gaudi_software():
    done = run_python(SEEDED.format(device="cpu"), STANDIN, STANDIN / "site")

    assert done.stdout.split() == ["False"], done.stderr


def test_auto_skips_broken_gaudi_software(tmp_path):
    package = tmp_path / "habana_frameworks"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('no driver')")

    code = "from gaudi_asr_cli.core.devices import open_device\nprint(open_device().name)"

    assert run_python(code, tmp_path).stdout.strip() in {"cpu", "cuda"}


def test_auto_opens_an_available_gaudi():
    code = "from gaudi_asr_cli.core.devices import open_device\nprint(open_device().name)"

    assert run_python(code, STANDIN, STANDIN / "site").stdout.strip() == "hpu"


def test_opening_another_device_does_not_import_gaudi_software():
    code = (
        "import sys\n"
        "from gaudi_asr_cli.core.devices import open_device\n"
        "open_device('cpu').torch_device\n"
        "print('habana_frameworks.torch' in sys.modules)"
    )

    assert run_python(code, STANDIN, STANDIN / "site").stdout.strip() == "False"


def test_a_mode_cannot_be_changed_within_a_process():
    code = (
        "from gaudi_asr_cli.core.devices import open_device\n"
        "from gaudi_asr_cli.core.errors import MachineError\n"
        "print(open_device('hpu', hpu_mode='lazy').mode)\n"
        "try:\n"
        "    open_device('hpu', hpu_mode='eager')\n"
        "except MachineError as error:\n"
        "    print(error.message)\n"
    )

    printed = run_python(code, STANDIN, STANDIN / "site").stdout.splitlines()

    assert printed == ["lazy", "The Gaudi software runs in lazy mode already."]


@pytest.mark.parametrize("name", ["hpu", "cpu", "auto"])
def test_an_unknown_mode_is_a_usage_error_on_any_machine(name):
    with pytest.raises(UsageError, match="'fast'") as caught:
        open_device(name, hpu_mode="fast")

    assert "lazy" in caught.value.remedy


@pytest.fixture
def environment(monkeypatch):
    """A private copy of the environment without the variables of a Gaudi host."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PT_HPU")}
    kept.pop("TORCH_DEVICE_BACKEND_AUTOLOAD", None)
    monkeypatch.setattr(os, "environ", kept)
    return kept


@pytest.mark.parametrize(("mode", "value"), [("lazy", "1"), ("eager", "0"), ("compile", "0")])
def test_the_mode_overrides_the_environment_and_other_variables_do_not(environment, mode, value):
    environment["PT_HPU_LAZY_MODE"] = "1" if value == "0" else "0"
    environment["HABANA_PROFILE"] = "mine"

    prepare_environment(mode)

    assert environment["PT_HPU_LAZY_MODE"] == value
    assert environment["HABANA_PROFILE"] == "mine"
    assert environment["TORCH_DEVICE_BACKEND_AUTOLOAD"] == "0"


@pytest.mark.parametrize(
    ("lazy_mode", "optimum", "mode"),
    [(None, True, "lazy"), (None, False, "eager"), ("1", False, "lazy"), ("0", True, "eager")],
)
def test_auto_is_the_mode_of_the_environment_or_of_the_installed_trainer(
    environment, monkeypatch, lazy_mode, optimum, mode
):
    monkeypatch.setattr(hpu, "has_optimum", lambda: optimum)
    if lazy_mode is not None:
        environment["PT_HPU_LAZY_MODE"] = lazy_mode

    assert choose_mode() == mode


def test_the_description_names_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(hpu, "has_bridge", lambda: False)

    line = explain_hpu(tmp_path, driver=tmp_path)

    assert line.startswith("No HPU: no Gaudi in")
    assert "habana_frameworks is not installed" in line


def test_the_description_counts_devices_and_names_the_trainer(tmp_path, monkeypatch):
    monkeypatch.setattr(hpu, "has_bridge", lambda: True)
    monkeypatch.setattr(hpu, "has_optimum", lambda: False)
    for index in range(2):
        (tmp_path / f"accel{index}").touch()
    (tmp_path / "accel_controlD0").touch()

    line = explain_hpu(tmp_path, driver=tmp_path)

    assert line.startswith("HPU: 2 Gaudi devices")
    assert "transformers' Trainer" in line


def test_a_gaudi_uses_bf16_by_default_and_rejects_fp16():
    device = HpuDevice("lazy", "GAUDI2")

    assert device.choose_dtype() == "bf16"
    assert device.choose_dtype("fp32") == "fp32"
    with pytest.raises(MachineError):
        device.choose_dtype("fp16")


@pytest.mark.parametrize(
    ("mode", "marks", "compiles"),
    [("lazy", False, False), ("eager", True, False), ("compile", True, True)],
)
def test_without_optimum_the_trainer_is_that_of_transformers(monkeypatch, mode, marks, compiles):
    monkeypatch.setattr(hpu, "has_optimum", lambda: False)

    kit = HpuDevice(mode, "GAUDI2").trainer_kit()

    assert kit.trainer_class().__name__ == "Trainer"
    assert kit.marks_steps is marks
    assert kit.values["optim"] == "adamw_torch"
    assert (kit.values.get("torch_compile_backend") == "hpu_backend") is compiles


class Wav2Vec2ForCTC:
    def __init__(self, **fields):
        calm = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0, "layerdrop": 0.0}
        self.config = SimpleNamespace(**{**calm, **fields})


class HubertForCTC(Wav2Vec2ForCTC):
    pass


@pytest.mark.parametrize(
    ("network", "extra", "reason"),
    [
        (Wav2Vec2ForCTC(), {}, None),
        (Wav2Vec2ForCTC(mask_time_prob=0.1, apply_spec_augment=False), {}, None),
        (Wav2Vec2ForCTC(mask_time_prob=0.1), {}, "SpecAugment"),
        (Wav2Vec2ForCTC(mask_feature_prob=0.1), {}, "SpecAugment"),
        (Wav2Vec2ForCTC(layerdrop=0.05), {}, "LayerDrop"),
        (Wav2Vec2ForCTC(), {"gradient_accumulation_steps": 2}, "accumulation"),
        (HubertForCTC(), {}, "HubertForCTC"),
    ],
)
def test_training_graphs_are_rejected_where_they_would_train_wrongly(network, extra, reason):
    found = training_graphs_problem(network, extra)

    assert (found is None) if reason is None else (reason in found)
