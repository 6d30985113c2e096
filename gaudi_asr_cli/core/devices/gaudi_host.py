"""What a host has of a Gaudi, without opening one: driver, cards, software, and what is missing."""

from __future__ import annotations

import csv
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from gaudi_asr_cli.core.devices.hpu import CARDS, DRIVER, count_cards, has_bridge

BRIDGE_PACKAGE = "habana-torch-plugin"

TORCH_OF = {"1.21": "2.6.0", "1.22": "2.7.1", "1.23": "2.7.1"}
"""Gaudi software -> torch of Intel's container, as Intel's support matrix has them."""

SMI_FIELDS = ("name", "module_id", "memory.total", "memory.used")
SMI_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class GaudiHost:
    """Versions are None where the thing is not there.

    `listing` is a line for each card from hl-smi; empty where that is not installed.
    """

    driver: str | None
    cards: int
    listing: tuple[str, ...]
    bridge: str | None
    torch: str | None
    optimum: str | None

    @property
    def fits(self) -> bool:
        """Whether driver and software are of one release: its first two numbers."""
        known = self.driver and self.bridge
        return not known or release_of(str(self.driver)) == release_of(str(self.bridge))


def read_gaudi_host(driver: Path = DRIVER, cards: Path = CARDS) -> GaudiHost | None:
    """What there is; None where nothing of a Gaudi is: no driver and no software."""
    loaded = driver.is_dir()
    if not loaded and not has_bridge():
        return None
    return GaudiHost(
        driver=_read(driver / "version") if loaded else None,
        cards=count_cards(cards, driver),
        listing=list_cards(),
        bridge=_version(BRIDGE_PACKAGE) or ("unknown" if has_bridge() else None),
        torch=_version("torch"),
        optimum=_version("optimum-habana"),
    )


def list_cards() -> tuple[str, ...]:
    """Name and memory of each card, as hl-smi tells them."""
    program = shutil.which("hl-smi")
    if program is None:
        return ()
    line = [program, "-Q", ",".join(SMI_FIELDS), "-f", "csv,noheader"]
    try:
        told = subprocess.run(  # noqa: S603 - no word of it comes from outside
            line, capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[cell.strip() for cell in row] for row in csv.reader(told.stdout.splitlines())]
    return tuple(
        f"{name} (module {module}): {used} of {total} used"
        for name, module, total, used in (row for row in rows if len(row) == len(SMI_FIELDS))
    )


def docker_line(driver: str | None) -> str:
    """The command that starts Intel's container for this driver."""
    number = (driver or "").partition("-")[0]
    torch = TORCH_OF.get(release_of(number))
    image = f"{number}/ubuntu22.04/habanalabs/pytorch-installer-{torch}:latest"
    if torch is None:
        image = "VERSION/ubuntu22.04/habanalabs/pytorch-installer-TORCH:latest"
    return (
        "docker run -it --runtime=habana -e HABANA_VISIBLE_DEVICES=all "
        "-e OMPI_MCA_btl_vader_single_copy_mechanism=none --cap-add=sys_nice --net=host --ipc=host "
        f"-v $PWD:/work -w /work vault.habana.ai/gaudi-docker/{image}"
    )


def release_of(version: str) -> str:
    """The release of a version: `1.22` of `1.22.1-23`."""
    return ".".join(version.partition("-")[0].split(".")[:2])


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else "unknown"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
