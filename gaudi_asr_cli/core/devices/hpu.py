"""Intel Gaudi. Nothing of its software is imported before a Gaudi is asked for.

The order matters and is kept here: the environment, then torch, then habana_frameworks.torch, and
transformers' models only after that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.devices.base import check_dtype, torch_dtype
from gaudi_asr_cli.core.devices.copies import StreamCopier
from gaudi_asr_cli.core.devices.graphs import GraphCounts, counted, counts_of
from gaudi_asr_cli.core.devices.kits import NativeKit, TrainerKit
from gaudi_asr_cli.core.devices.masks import use_masks_unseen
from gaudi_asr_cli.core.distributed.ranks import SINGLE_PROCESS, Ranks
from gaudi_asr_cli.core.distributed.world import read_world
from gaudi_asr_cli.core.errors import MachineError

if TYPE_CHECKING:
    import torch

MODES = ("auto", "lazy", "eager", "compile")
LAZY_MODE = "PT_HPU_LAZY_MODE"
BRIDGE = "habana_frameworks"
CARDS = Path("/dev/accel")
"""Where drivers of accelerators show their cards, not only Gaudi's."""

DRIVER = Path("/sys/module/habanalabs")
"""There where Gaudi's driver is loaded."""

CONTAINER = (
    "Run inside Intel's Gaudi container (docs/devices.md has the docker line), or pass "
    "--device cpu or cuda."
)

QUIET_ENVIRONMENT: Mapping[str, str] = {
    # Our import comes at the right moment; torch's own would come at the first `import torch`.
    "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    # Any stream may copy.
    "PT_HPU_ENABLE_GENERIC_STREAM": "1",
    # Refining dynamic shapes is switched off by the first graph anyway, and stays off.
    "PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES": "0",
    # The bridge would write profiles otherwise.
    "HABANA_PROFILE": "0",
}
"""Set where the user has not set them, before the bridge is imported."""


@dataclass(frozen=True, slots=True)
class HpuDevice:
    """See `Device`. `mode` is one of `MODES` but auto."""

    mode: str
    description: str
    name: str = "hpu"
    recompiles_on_new_shapes: bool = True
    prefers_batching: bool = True
    is_async: bool = True
    trains_on_cpu: bool = False
    ranks: Ranks = SINGLE_PROCESS

    @property
    def torch_device(self) -> torch.device:
        import torch

        return torch.device("hpu")

    def with_ranks(self, ranks: Ranks) -> HpuDevice:
        return replace(self, ranks=ranks)

    def open_collectives(self) -> str:
        # Importing it is what makes the name known to torch.
        _bridge("distributed.hccl")
        return "hccl"

    def choose_dtype(self, wish: str = "auto") -> str:
        check_dtype(wish)
        if wish == "fp16":
            raise MachineError(
                "Training and listening in fp16 are not supported on Gaudi.",
                remedy="Pass --dtype bf16 or fp32, or leave --dtype out.",
            )
        return "bf16" if wish == "auto" else wish

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
        use_masks_unseen()
        return module.to(self.torch_device)

    def autocast(self, dtype: str) -> AbstractContextManager[object]:
        import torch

        if dtype == "fp32":
            return nullcontext()
        return torch.autocast("hpu", dtype=torch_dtype(dtype))

    def inference_mode(self) -> AbstractContextManager[object]:
        import torch

        # Inference mode is not supported (Lightning's pull request 13014, by Habana).
        return torch.no_grad()

    def synchronize(self) -> None:
        _hpu().synchronize()

    def mark_step(self) -> None:
        if self.mode == "lazy":
            _bridge("core").mark_step()

    def use_graphs(self, network: torch.nn.Module, *, max_graphs: int) -> GraphCounts:
        if self.mode == "eager":
            raise MachineError(
                "HPU graphs exist only in lazy mode; this is --hpu-mode eager.",
                remedy="Pass --hpu-mode lazy (or compile), or leave --graphs out.",
            )
        known = counts_of(network)
        if known is not None:
            return known
        # nn.Module declares `forward` in a way that forbids assigning it.
        graphed: Any = network
        plain = network.forward
        counts = GraphCounts()
        if self.mode == "compile":
            graphed.forward = _compile(plain)
        else:
            # Not asynchronous: that a replay which only was queued comes before the clone of its
            # outputs is nowhere promised.
            graphed = _hpu().wrap_in_hpu_graph(network, max_graphs=max_graphs)
        graphed.forward = counted(graphed.forward, plain, max_graphs, counts)
        return counts

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        # With the device's name: without it older versions of torch pin for CUDA.
        pinned: torch.Tensor = tensor.pin_memory("hpu")
        return pinned

    def copier(self) -> StreamCopier:
        return StreamCopier(_hpu(), self.pin, self.mark_step)

    def count_compilations(self) -> int | None:
        stats = dict(_bridge("hpu.metrics").metric_global("graph_compilation").stats())
        return int(stats["TotalNumber"])

    def trainer_kit(self, *, writes: bool = False) -> TrainerKit:
        if self.mode == "lazy" and has_optimum():
            from gaudi_asr_cli.core.devices.gaudi_kit import open_gaudi_kit

            return open_gaudi_kit(writes=writes)
        compiled = {"torch_compile": True, "torch_compile_backend": "hpu_backend"}
        return NativeKit(
            # Plain AdamW: its losses are those of other devices.
            {"use_cpu": False, "optim": "adamw_torch"}
            | (compiled if self.mode == "compile" else {}),
            marks_steps=self.mode != "lazy",
        )

    def prepare_training(self) -> None:
        if self.mode == "lazy" and has_optimum():
            from gaudi_asr_cli.core.devices.gaudi_kit import replace_models

            replace_models()

    def generation_arguments(self) -> dict[str, Any]:
        from transformers import DynamicCache, EncoderDecoderCache, GenerationMixin

        if GenerationMixin.generate.__module__.startswith("optimum"):
            # optimum-habana's trainer has replaced it. With its static shapes all tokens of a
            # Whisper prompt get one position (1.21.2, GaudiWhisperDecoder), and the text is wrong.
            # Caches that it would choose are tuples, whose beams these models cannot reorder.
            caches = EncoderDecoderCache(DynamicCache(), DynamicCache())
            return {
                "lazy_mode": self.mode == "lazy",
                "ignore_eos": False,
                "static_shapes": False,
                "past_key_values": caches,
            }
        # A cache that grows would be a new shape for every token.
        return {"cache_implementation": "static", "disable_compile": True}

    def peak_memory_mb(self) -> float:
        return float(_hpu().max_memory_allocated()) / 2**20


def open_hpu(mode: str = "auto") -> HpuDevice:
    """The Gaudi of this process, in lazy, eager or compile mode, settled once for all.

    `auto` is what PT_HPU_LAZY_MODE says if it is set, else lazy where optimum-habana is
    installed (it trains with graphs there), else eager.

    Raises:
        MachineError: No Gaudi software, no card, or the software runs in another mode already.
    """
    if not has_bridge():
        raise MachineError(explain_hpu(), remedy=CONTAINER)
    chosen = choose_mode() if mode == "auto" else mode
    if f"{BRIDGE}.torch" in sys.modules and is_lazy() != (chosen == "lazy"):
        raise MachineError(
            f"The Gaudi software runs in {'lazy' if is_lazy() else 'eager'} mode already.",
            remedy="Start a new process: the mode cannot change within one.",
        )
    prepare_environment(chosen)
    hpu = import_bridge()
    if not hpu.is_available() or hpu.device_count() == 0:
        raise MachineError(
            "habana_frameworks is installed, but sees no Gaudi card.",
            remedy="See what hl-smi says; in a container, start it with --runtime=habana and "
            "HABANA_VISIBLE_DEVICES=all.",
        )
    return HpuDevice(mode=chosen, description=f"{hpu.get_device_name()} ({chosen} mode)")


def check_hpu(cards: int, folder: Path = CARDS, driver: Path = DRIVER) -> None:
    """Refuse Gaudis that are not there, without opening one.

    Raises:
        MachineError: No Gaudi software, or fewer cards than asked for.
    """
    if not has_bridge():
        raise MachineError(explain_hpu(), remedy=CONTAINER)
    present = count_cards(folder, driver)
    if 0 < present < cards:
        raise MachineError(
            f"{cards} cards are asked for, and there are {present}.",
            remedy=f"Pass --cards {present}, or see with hl-smi why the others are missing.",
        )


def has_bridge() -> bool:
    """Whether habana_frameworks is installed; looks for it without importing it."""
    return _is_installed(BRIDGE)


def has_optimum() -> bool:
    """Whether optimum-habana is installed; importing it without a Gaudi would fail oddly."""
    return _is_installed("optimum") and _is_installed("optimum.habana")


def _is_installed(module: str) -> bool:
    # Present as None where somebody has forbidden the import.
    if module in sys.modules:
        return sys.modules[module] is not None
    return find_spec(module) is not None


def choose_mode() -> str:
    """What `auto` means here."""
    told = os.environ.get(LAZY_MODE)
    if told is not None:
        return "lazy" if told == "1" else "eager"
    return "lazy" if has_optimum() else "eager"


def prepare_environment(mode: str) -> None:
    """Set what the bridge reads when it is imported; the mode itself always, explicitly.

    Its default differs between versions, and transformers and optimum-habana read it as well.
    """
    os.environ[LAZY_MODE] = "1" if mode == "lazy" else "0"
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    world = read_world()
    if world.size > 1:
        # The card of this process, as the bridge would choose it, but before anything asks for one.
        visible = os.environ.get("HABANA_VISIBLE_MODULES", "").split(",")
        named = visible[world.local_rank] if world.local_rank < len(visible) else ""
        os.environ.setdefault("HLS_MODULE_ID", named or str(world.local_rank))
        os.environ.setdefault("ID", str(world.rank))
    if mode == "lazy":
        # Graphs of several cards need their collectives collected too.
        os.environ.setdefault("PT_HPU_ENABLE_LAZY_COLLECTIVES", "true")


def leave_alone() -> None:
    """Keep torch, accelerate and transformers from the bridge where another device is wanted.

    They import it wherever it is installed: without a driver that is an error of theirs, and with
    one it changes torch. For the rest of the process there is none.
    """
    if not has_bridge():
        return
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
    if f"{BRIDGE}.torch" not in sys.modules:
        # What forbids an import, and tells who only looks that it is not installed.
        sys.modules[BRIDGE] = None  # type: ignore[assignment]


def import_bridge() -> Any:
    """Import the bridge, in this order, and return `torch.hpu`.

    Raises:
        MachineError: It cannot be imported, with its own reason.
    """
    import torch  # noqa: F401 - before the bridge

    try:
        # The core registers the device.
        _bridge("core")
    except (ImportError, OSError, AssertionError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise MachineError(
            f"habana_frameworks is installed but cannot be imported: {reason}",
            remedy="Its version must fit torch's and the driver's: use one container for all "
            "(docs/devices.md).",
        ) from error
    return _hpu()


def is_lazy() -> bool:
    """The mode that the bridge was imported in."""
    return bool(_bridge("utils.internal").is_lazy())


def count_cards(folder: Path = CARDS, driver: Path = DRIVER) -> int:
    """How many Gaudis the driver shows."""
    return len(list(folder.glob("accel[0-9]*"))) if driver.is_dir() else 0


def explain_hpu(cards: Path = CARDS, driver: Path = DRIVER) -> str:
    """What there is of a Gaudi here, in one line; imports nothing of it, and not torch."""
    count = count_cards(cards, driver)
    found = f"{count} Gaudi cards in {cards}" if count else f"no Gaudi card in {cards}"
    if not has_bridge():
        return f"No HPU: {found}, and habana_frameworks is not installed."
    versions = [
        f"{name} {version}"
        for name in ("habana-torch-plugin", "optimum-habana")
        if (version := _version(name)) is not None
    ]
    trainer = "" if has_optimum() else "; without optimum-habana transformers' own Trainer trains"
    software = ", ".join(versions) or BRIDGE
    start = "HPU" if count else "No HPU"
    return f"{start}: {found}; {software}{trainer}."


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _bridge(part: str) -> Any:
    return import_module(f"{BRIDGE}.torch.{part}")


def _hpu() -> Any:
    import torch

    # The bridge gives torch this attribute; torch's own annotations do not know it.
    return getattr(torch, "hpu")  # noqa: B009


def _compile(forward: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    compiled: Callable[..., Any] = torch.compile(forward, backend="hpu_backend", dynamic=False)
    return compiled
