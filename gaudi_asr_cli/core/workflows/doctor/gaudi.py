"""`doctor` on a machine with a Gaudi: driver, devices, software, trainer, launchers."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator

from gaudi_asr_cli.core.devices.gaudi_host import GaudiHost, docker_line, read_gaudi_host
from gaudi_asr_cli.core.workflows.doctor.findings import DoctorFinding, State

GROUP = "gaudi"


def examine_gaudi() -> Iterator[DoctorFinding]:
    """Yield findings on a Gaudi host; none elsewhere, where the group `devices` says why."""
    host = read_gaudi_host()
    if host is None:
        return
    yield _examine_driver(host)
    yield _examine_cards(host)
    yield _examine_software(host)
    yield _examine_trainer(host)
    yield _examine_launchers()


def _examine_driver(host: GaudiHost) -> DoctorFinding:
    if host.driver is None:
        remedy = "Install Intel's Gaudi driver on the host; a container uses the host's."
        return DoctorFinding(GROUP, "driver", State.absent, "habanalabs is not loaded", remedy)
    return DoctorFinding(GROUP, "driver", State.works, f"habanalabs {host.driver}")


def _examine_cards(host: GaudiHost) -> DoctorFinding:
    if host.cards == 0:
        remedy = f"A container must be given the devices: {docker_line(host.driver)}"
        return DoctorFinding(GROUP, "cards", State.absent, "none in /dev/accel", remedy)
    listing = "; ".join(host.listing) or "hl-smi, which lists them, is not installed"
    return DoctorFinding(GROUP, "cards", State.works, f"{host.cards}: {listing}")


def _examine_software(host: GaudiHost) -> DoctorFinding:
    if host.bridge is None:
        remedy = f"Run inside Intel's container: {docker_line(host.driver)}"
        return DoctorFinding(
            GROUP, "software", State.absent, "habana-torch-plugin is missing", remedy
        )
    installed = f"habana-torch-plugin {host.bridge}, torch {host.torch}"
    if not host.fits:
        remedy = f"Use the container of the driver's release: {docker_line(host.driver)}"
        detail = f"{installed}: not the release of the driver, {host.driver}"
        return DoctorFinding(GROUP, "software", State.broken, detail, remedy)
    return DoctorFinding(GROUP, "software", State.works, installed)


def _examine_trainer(host: GaudiHost) -> DoctorFinding:
    if host.optimum is None:
        detail = "the Trainer of transformers (eager, compile)"
        remedy = "For lazy mode with graphs: pip install 'gaudi-asr[gaudi]'"
        return DoctorFinding(GROUP, "trainer", State.works, detail, remedy)
    detail = f"optimum-habana {host.optimum} in lazy mode, the Trainer of transformers otherwise"
    return DoctorFinding(GROUP, "trainer", State.works, detail)


def _examine_launchers() -> DoctorFinding:
    available = {
        "torchrun": True,
        "mpirun": shutil.which("mpirun") is not None,
        "deepspeed": importlib.util.find_spec("deepspeed") is not None,
    }
    return DoctorFinding(
        GROUP,
        "launchers",
        State.works,
        ", ".join(name for name, found in available.items() if found),
    )
