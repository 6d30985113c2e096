"""The Gaudi driver, devices and software of a host, read without opening a device."""

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
"""Gaudi software -> torch of Intel's container, from Intel's support matrix."""

SMI_FIELDS = ("name", "module_id", "memory.total", "memory.used")
SMI_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class GaudiHost:
    """Versions of the parts, None where one is not installed.

    `listing` has one line per device from hl-smi; empty where that is not installed.
    """

    driver: str | None
    cards: int
    listing: tuple[str, ...]
    bridge: str | None
    torch: str | None
    optimum: str | None

    @property
    def fits(self) -> bool:
        """Whether driver and software are of the same release (major.minor)."""
        comparable = self.driver and self.bridge
        return not comparable or release_of(str(self.driver)) == release_of(str(self.bridge))


def read_gaudi_host(driver: Path = DRIVER, cards: Path = CARDS) -> GaudiHost | None:
    """Return what is installed; None without both driver and software."""
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
    """Return name and memory use of each device, from hl-smi."""
    program = shutil.which("hl-smi")
    if program is None:
        return ()
    line = [program, "-Q", ",".join(SMI_FIELDS), "-f", "csv,noheader"]
    try:
        listed = subprocess.run(  # noqa: S603 - a constant argument list
            line, capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[cell.strip() for cell in row] for row in csv.reader(listed.stdout.splitlines())]
    return tuple(
        f"{name} (module {module}): {used} of {total} used"
        for name, module, total, used in (row for row in rows if len(row) == len(SMI_FIELDS))
    )


def docker_line(driver: str | None) -> str:
    """Return the command that starts Intel's container for this driver."""
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
    """Return the release of a version: `1.22` of `1.22.1-23`."""
    return ".".join(version.partition("-")[0].split(".")[:2])


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else "unknown"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
