"""What the doctor looks at where there is something of a Gaudi."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator

from gaudi_asr_cli.core.devices.gaudi_host import GaudiHost, docker_line, read_gaudi_host
from gaudi_asr_cli.core.workflows.doctor import Finding, State

GROUP = "gaudi"


def examine_gaudi() -> Iterator[Finding]:
    """Driver, cards, software and launchers; nothing elsewhere, where `devices` says why."""
    host = read_gaudi_host()
    if host is None:
        return
    yield _examine_driver(host)
    yield _examine_cards(host)
    yield _examine_software(host)
    yield _examine_trainer(host)
    yield _examine_launchers()


def _examine_driver(host: GaudiHost) -> Finding:
    if host.driver is None:
        remedy = "Install Intel's Gaudi driver on the host; a container uses the host's."
        return Finding(GROUP, "driver", State.absent, "habanalabs is not loaded", remedy)
    return Finding(GROUP, "driver", State.works, f"habanalabs {host.driver}")


def _examine_cards(host: GaudiHost) -> Finding:
    if host.cards == 0:
        remedy = f"In a container they must be let in: {docker_line(host.driver)}"
        return Finding(GROUP, "cards", State.absent, "none in /dev/accel", remedy)
    listing = "; ".join(host.listing) or "hl-smi, which names them, is not here"
    return Finding(GROUP, "cards", State.works, f"{host.cards}: {listing}")


def _examine_software(host: GaudiHost) -> Finding:
    if host.bridge is None:
        remedy = f"Run inside Intel's container: {docker_line(host.driver)}"
        return Finding(GROUP, "software", State.absent, "habana-torch-plugin is missing", remedy)
    has = f"habana-torch-plugin {host.bridge}, torch {host.torch}"
    if not host.fits:
        remedy = f"Take the container of the driver's release: {docker_line(host.driver)}"
        detail = f"{has}: of another release than the driver, {host.driver}"
        return Finding(GROUP, "software", State.broken, detail, remedy)
    return Finding(GROUP, "software", State.works, has)


def _examine_trainer(host: GaudiHost) -> Finding:
    if host.optimum is None:
        detail = "transformers' own (eager, compile)"
        remedy = "For lazy mode with graphs: pip install 'gaudi-asr[gaudi]'"
        return Finding(GROUP, "trainer", State.works, detail, remedy)
    detail = f"optimum-habana {host.optimum} in lazy mode, transformers' own otherwise"
    return Finding(GROUP, "trainer", State.works, detail)


def _examine_launchers() -> Finding:
    there = {
        "torchrun": True,
        "mpirun": shutil.which("mpirun") is not None,
        "deepspeed": importlib.util.find_spec("deepspeed") is not None,
    }
    return Finding(
        GROUP, "launchers", State.works, ", ".join(name for name, has in there.items() if has)
    )
