import socket
import threading
import time

import pytest

from gaudi_asr_cli.core.devices.base import DeviceSpec
from gaudi_asr_cli.core.devices.cpu import explain_auto_dtype, open_cpu
from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.workflows.doctor import run as module
from gaudi_asr_cli.core.workflows.doctor.findings import DoctorFinding, State
from gaudi_asr_cli.core.workflows.doctor.run import DoctorReport


@pytest.fixture
def silent_server():
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = []
        thread = threading.Thread(target=lambda: taken.append(server.accept()), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for connection, _ in taken:
            connection.close()


def test_a_hub_that_never_answers_does_not_delay_the_report(silent_server):
    started = time.perf_counter()

    found = module._examine_hub(silent_server, 0.3, offline=False)

    assert time.perf_counter() - started < 2.0
    assert found.state is State.absent
    assert found.remedy


def test_offline_mode_is_absent_not_broken():
    found = module._examine_hub("https://huggingface.co", 0.1, offline=True)

    assert found.state is State.absent
    assert "HF_HUB_OFFLINE" in found.detail


def test_an_invalid_address_is_reported():
    assert "web address" in module._examine_hub("file:///etc", 1.0, offline=False).detail


def test_a_device_that_does_not_open_is_absent_with_its_reason():
    def refuse():
        raise MachineError("No card.", remedy="Plug one in.")

    found = module._examine_device("hpu", DeviceSpec(refuse))

    assert (found.state, found.detail, found.remedy) == (State.absent, "No card.", "Plug one in.")


def test_every_machine_has_a_line_on_gaudi():
    findings = {finding.name: finding for finding in module.examine_devices()}

    assert findings["hpu"].detail
    assert findings["cpu"].state is State.works


def test_the_report_says_why_the_cpu_has_its_dtype():
    findings = tuple(module.examine_devices())
    dtype = open_cpu().choose_dtype("auto")

    [detail] = [one.detail for one in findings if one.name == "cpu dtype"]
    assert detail == f"--dtype auto is {explain_auto_dtype()}"
    assert DoctorReport(findings).to_json()["devices"]["cpu dtype"]["detail"] == detail
    assert f"is {dtype}, because" in detail


def test_a_package_that_is_needed_and_missing_is_broken(monkeypatch):
    monkeypatch.setattr(module, "_PACKAGES", ("no-such-package-at-all", "optimum-habana"))

    findings = {finding.name: finding for finding in module.examine_versions()}

    assert findings["no-such-package-at-all"].state is State.broken
    assert findings["python"].state is State.works


@pytest.mark.parametrize(
    ("states", "healthy", "code"),
    [
        ((State.works, State.absent), True, 0),
        ((State.works, State.broken), False, 5),
    ],
)
def test_only_broken_parts_make_the_machine_unhealthy(states, healthy, code):
    report = DoctorReport(tuple(DoctorFinding("g", str(i), s, "d") for i, s in enumerate(states)))

    assert (report.healthy, report.exit_code) == (healthy, code)
    assert report.to_json()["g"]["0"] == {"state": State.works, "detail": "d", "remedy": ""}


def test_a_cache_that_cannot_be_written_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)

    assert module._examine_cache("model cache", tmp_path / "hub").state is State.broken
