import dataclasses
import stat
from pathlib import Path

import pytest

from gaudi_asr_cli.core.devices import gaudi_host
from gaudi_asr_cli.core.devices.gaudi_host import (
    GaudiHost,
    docker_line,
    list_cards,
    read_gaudi_host,
)
from gaudi_asr_cli.core.workflows.doctor import gaudi as doctor_gaudi
from gaudi_asr_cli.core.workflows.doctor.findings import State

HOST = GaudiHost(
    driver="1.22.1-0b1c2d3",
    cards=2,
    listing=("HL-225 (module 0): 672 MiB of 98304 MiB used",),
    bridge="1.22.1.6",
    torch="2.7.1",
    optimum=None,
)


def findings(monkeypatch, host):
    monkeypatch.setattr(doctor_gaudi, "read_gaudi_host", lambda: host)
    return {finding.name: finding for finding in doctor_gaudi.examine_gaudi()}


def test_a_gaudi_host_shows_driver_cards_software_and_trainer(monkeypatch):
    found = findings(monkeypatch, HOST)

    assert {finding.state for finding in found.values()} == {State.works}
    assert "1.22.1" in found["driver"].detail
    assert "672 MiB of 98304 MiB" in found["cards"].detail
    assert "torch 2.7.1" in found["software"].detail
    assert "transformers" in found["trainer"].detail
    assert "torchrun" in found["launchers"].detail


def test_the_remedy_for_missing_software_is_the_container_for_the_driver(monkeypatch):
    software = findings(monkeypatch, dataclasses.replace(HOST, bridge=None))["software"]

    assert software.state is State.absent
    assert "gaudi-docker/1.22.1/ubuntu22.04/habanalabs/pytorch-installer-2.7.1" in software.remedy


def test_software_of_another_release_than_the_driver_is_broken(monkeypatch):
    software = findings(monkeypatch, dataclasses.replace(HOST, bridge="1.21.0.555"))["software"]

    assert software.state is State.broken
    assert "1.21.0.555" in software.detail


def test_devices_that_a_container_was_not_given_are_absent(monkeypatch):
    cards = findings(monkeypatch, dataclasses.replace(HOST, cards=0))["cards"]

    assert cards.state is State.absent
    assert "--runtime=habana" in cards.remedy


def test_other_machines_have_no_gaudi_findings(monkeypatch, tmp_path):
    monkeypatch.setattr(gaudi_host, "has_bridge", lambda: False)

    assert read_gaudi_host(driver=tmp_path / "absent") is None
    assert findings(monkeypatch, None) == {}


def test_accelerators_of_other_vendors_are_not_gaudis(monkeypatch, tmp_path):
    monkeypatch.setattr(gaudi_host, "has_bridge", lambda: True)
    (tmp_path / "accel0").touch()

    host = read_gaudi_host(driver=tmp_path / "absent", cards=tmp_path)

    assert (host.cards, host.driver) == (0, None)


def test_version_and_devices_are_read_from_the_driver(tmp_path):
    driver = tmp_path / "habanalabs"
    driver.mkdir()
    (driver / "version").write_text("1.22.1-0b1c2d3\n")
    for number in (0, 1):
        (tmp_path / f"accel{number}").touch()

    host = read_gaudi_host(driver=driver, cards=tmp_path)

    assert (host.driver, host.cards) == ("1.22.1-0b1c2d3", 2)


@pytest.mark.parametrize(
    ("says", "listing"),
    [
        (
            "echo 'HL-225, 0, 98304 MiB, 672 MiB'; echo 'HL-225, 1, 98304 MiB, 0 MiB'",
            (
                "HL-225 (module 0): 672 MiB of 98304 MiB used",
                "HL-225 (module 1): 0 MiB of 98304 MiB used",
            ),
        ),
        ("echo no driver; exit 1", ()),
        ("echo something else", ()),
    ],
)
def test_hl_smi_names_the_cards(monkeypatch, tmp_path, says, listing):
    program = tmp_path / "hl-smi"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(gaudi_host.shutil, "which", lambda name: str(program))

    assert list_cards() == listing


def test_without_hl_smi_no_device_is_named(monkeypatch):
    monkeypatch.setattr(gaudi_host.shutil, "which", lambda name: None)

    assert list_cards() == ()


def test_an_unknown_release_leaves_the_image_to_the_support_matrix():
    assert "VERSION" in docker_line(None)
    assert "VERSION" in docker_line("9.9.9")


def test_the_docker_line_of_the_docs_equals_that_of_doctor():
    docs = (Path(__file__).parents[3] / "docs" / "devices.md").read_text()

    assert docker_line("1.22.0") in docs.replace(" \\\n  ", " ")
