"""Where a package is missing, doctor still answers, and a command that needs it says so."""

import pytest
from helpers.run import run, run_here

from gaudi_asr_cli.core.devices.base import DeviceSpec
from gaudi_asr_cli.core.errors import MachineError, RecipeError
from gaudi_asr_cli.core.training import settings
from gaudi_asr_cli.core.workflows.doctor import run as doctor


@pytest.mark.parametrize(
    "package",
    ["torch", "transformers", "datasets", "accelerate", "soundfile", "av", "soxr", "jiwer"],
)
def test_the_row_of_a_missing_package_says_so(package, monkeypatch):
    def import_all_but_one(name):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(doctor.importlib, "import_module", import_all_but_one)

    rows = {one.name: one for one in doctor.examine_versions()}

    assert rows[package].state is doctor.State.broken
    assert "not importable" in rows[package].detail
    assert package in rows[package].remedy


def test_a_device_whose_package_is_missing_is_a_row_too():
    def open_without_torch():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    row = doctor._examine_device("cpu", DeviceSpec(open_without_torch))

    assert row.state is doctor.State.broken
    assert "torch" in row.detail
    assert row.remedy == "pip install --force-reinstall torch"


@pytest.mark.parametrize("given", ["wandb", ["mlflow"], "tensorboard wandb", "comet_ml"])
def test_a_service_without_its_package_is_refused_with_the_pip_line(given, monkeypatch):
    monkeypatch.setattr(settings, "find_spec", lambda module: None)

    with pytest.raises(MachineError) as error:
        settings.check_reports({"report_to": given})

    assert error.value.exit_code == 5
    assert error.value.remedy.startswith("pip install ")


@pytest.mark.parametrize("given", [None, "none", "all", [], ["none"]])
def test_no_service_needs_no_package(given, monkeypatch):
    monkeypatch.setattr(settings, "find_spec", lambda module: None)

    settings.check_reports({"report_to": given})


def test_a_misspelt_service_is_suggested():
    with pytest.raises(RecipeError) as error:
        settings.check_reports({"report_to": "wandbb"})

    assert "wandb?" in error.value.remedy


def test_training_does_nothing_before_it_says_that_the_package_is_missing(
    tiny_model, corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr(settings, "find_spec", lambda module: None)
    words = ["finetune-ctc", "--model", tiny_model, "--train", corpus, "--run", tmp_path / "run"]

    done = run_here(*words, "--device", "cpu", "--report-to", "wandb")

    assert done.exit_code == 5
    assert "pip install wandb" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("package", ["torch", "soundfile"])
def test_doctor_answers_without_a_package(package, tmp_path):
    blocker = (
        "import sys\nclass Blocker:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {package!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    (tmp_path / "sitecustomize.py").write_text(blocker)

    done = run("doctor", env={"PYTHONPATH": str(tmp_path)})

    assert done.exit_code == 5
    assert "Traceback" not in done.stderr
    assert "not importable" in " ".join((done.stdout + done.stderr).split())
