"""Intel Gaudi. None of its software is imported before a Gaudi is opened.

The order matters and is ensured here: the environment, torch, habana_frameworks.torch (the bridge),
and only then transformers' models.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.devices.base import DeviceSpec, check_dtype, torch_dtype
from gaudi_asr_cli.core.devices.copies import StreamCopier
from gaudi_asr_cli.core.devices.graphs import GraphCounts, count_calls, graph_counts
from gaudi_asr_cli.core.devices.kits import NativeKit, TrainerKit
from gaudi_asr_cli.core.devices.masks import keep_all_masks
from gaudi_asr_cli.core.distributed.ranks import SINGLE_PROCESS, Ranks
from gaudi_asr_cli.core.distributed.world import read_world
from gaudi_asr_cli.core.errors import MachineError

if TYPE_CHECKING:
    import torch

LAZY_MODE = "PT_HPU_LAZY_MODE"
BRIDGE = "habana_frameworks"
CARDS = Path("/dev/accel")
"""Device files of all accelerators, not only Gaudi's."""

DRIVER = Path("/sys/module/habanalabs")
"""Exists where the Gaudi driver is loaded."""

CONTAINER = (
    "Run inside Intel's Gaudi container (`gaudi-asr help devices` has the docker line), or pass "
    "--device cpu or cuda."
)

MAX_GENERATION_GRAPHS = 64
"""Shapes of an encoder or decoder step for which `--hpu-mode compile` makes a graph."""

QUIET_ENVIRONMENT: Mapping[str, str] = {
    # We import the bridge at the right moment; torch would do so at the first `import torch`.
    "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    # Allow copies on any stream.
    "PT_HPU_ENABLE_GENERIC_STREAM": "1",
    # The first graph disables the refinement of dynamic shapes for good anyway.
    "PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES": "0",
    # Otherwise the bridge writes profiles.
    "HABANA_PROFILE": "0",
}
"""Variables set before the bridge is imported, unless the user has set them."""


@dataclass(frozen=True, slots=True)
class HpuDevice:
    """See `Device`. `mode` is one of `MODES` except auto."""

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
        # The import registers the backend with torch.
        _bridge("distributed.hccl")
        return "hccl"

    def choose_dtype(self, dtype: str = "auto") -> str:
        check_dtype(dtype)
        if dtype == "fp16":
            raise MachineError(
                "fp16 is not supported on Gaudi.",
                remedy="Pass --dtype bf16 or fp32, or leave --dtype out.",
            )
        return "bf16" if dtype == "auto" else dtype

    def patch_libraries(self) -> None:
        keep_all_masks()

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
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
        known = graph_counts(network)
        if known is not None:
            return known
        # nn.Module declares `forward` in a way that forbids assigning it.
        graphed: Any = network
        plain = network.forward
        counts = GraphCounts()
        if self.mode == "compile":
            graphed.forward = compile_forward(plain, max_graphs)
        else:
            # Not asynchronous: it is not documented that a queued replay runs before the clone of
            # its outputs.
            graphed = _hpu().wrap_in_hpu_graph(network, max_graphs=max_graphs)
        graphed.forward = count_calls(graphed.forward, plain, max_graphs, counts)
        return counts

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        # With the device's name, because older versions of torch pin for CUDA by default.
        pinned: torch.Tensor = tensor.pin_memory("hpu")
        return pinned

    def copier(self) -> StreamCopier:
        return StreamCopier(_hpu(), self.pin, self.mark_step)

    def trainer_kit(self, *, generates: bool = False) -> TrainerKit:
        if self.mode == "lazy" and has_optimum():
            from gaudi_asr_cli.core.devices.gaudi_kit import open_gaudi_kit

            return open_gaudi_kit(generates=generates)
        compiled = {"torch_compile": True, "torch_compile_backend": "hpu_backend"}
        return NativeKit(
            # Plain AdamW, so that losses equal those of other devices.
            {"use_cpu": False, "optim": "adamw_torch"}
            | (compiled if self.mode == "compile" else {}),
            marks_steps=self.mode != "lazy",
        )

    def prepare_training(self) -> None:
        if self.mode == "lazy" and has_optimum():
            from gaudi_asr_cli.core.devices.gaudi_kit import replace_models

            replace_models()

    def prepare_generation(self, network: Any) -> None:
        if self.mode != "compile":
            return
        # `generate` calls the encoder once, then the network for the prompt and for each token.
        encoder = network.get_encoder()
        encoder.forward = compile_forward(encoder.forward, MAX_GENERATION_GRAPHS)
        network.forward = compile_forward(network.forward, MAX_GENERATION_GRAPHS)

    def generation_arguments(self) -> dict[str, Any]:
        from transformers import DynamicCache, EncoderDecoderCache, GenerationMixin

        if GenerationMixin.generate.__module__.startswith("optimum"):
            # optimum-habana's trainer has replaced `generate`. With its static shapes all tokens
            # of a Whisper prompt get the same position (GaudiWhisperDecoder of 1.21.2), and the
            # text is wrong.
            # Its default KV caches are tuples, whose beams these models cannot reorder.
            caches = EncoderDecoderCache(DynamicCache(), DynamicCache())
            return {
                "lazy_mode": self.mode == "lazy",
                "ignore_eos": False,
                "static_shapes": False,
                "past_key_values": caches,
            }
        # A growing KV cache would have a new shape for every token.
        return {"cache_implementation": "static", "disable_compile": True}

    def peak_memory_mb(self) -> float:
        return float(_hpu().max_memory_allocated()) / 2**20


def open_hpu(mode: str = "auto") -> HpuDevice:
    """Open the Gaudi of this process in lazy, eager or compile mode, which cannot change later.

    `auto` is the mode of PT_HPU_LAZY_MODE if it is set, else lazy where optimum-habana is
    installed (which trains with graphs in lazy mode), else eager.

    Raises:
        MachineError: No Gaudi software, no device, or the software runs in another mode already.
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
            "habana_frameworks is installed, but finds no Gaudi.",
            remedy="Run hl-smi; start a container with --runtime=habana and "
            "-e HABANA_VISIBLE_DEVICES=all.",
        )
    return HpuDevice(mode=chosen, description=f"{hpu.get_device_name()} ({chosen} mode)")


def check_hpu(count: int, folder: Path = CARDS, driver: Path = DRIVER) -> None:
    """Check that so many Gaudi devices are present, without opening one.

    Raises:
        MachineError: No Gaudi software, or fewer devices than `count`.
    """
    if not has_bridge():
        raise MachineError(explain_hpu(), remedy=CONTAINER)
    present = count_cards(folder, driver)
    if 0 < present < count:
        raise MachineError(
            f"{count} Gaudi devices are requested, and there are {present}.",
            remedy=f"Pass --cards {present}, or find out with hl-smi why the others are missing.",
        )


def has_bridge() -> bool:
    """Return whether habana_frameworks is installed, without importing it."""
    return _is_installed(BRIDGE)


def has_optimum() -> bool:
    """Return whether optimum-habana is installed, without importing it, which needs a Gaudi."""
    return _is_installed("optimum") and _is_installed("optimum.habana")


def _is_installed(module: str) -> bool:
    # None where the import is blocked (`block_bridge`).
    if module in sys.modules:
        return sys.modules[module] is not None
    return find_spec(module) is not None


def choose_mode() -> str:
    """Return the mode that `auto` selects."""
    lazy_mode = os.environ.get(LAZY_MODE)
    if lazy_mode is not None:
        return "lazy" if lazy_mode == "1" else "eager"
    return "lazy" if has_optimum() else "eager"


def prepare_environment(mode: str) -> None:
    """Set the variables that the bridge reads when it is imported; the mode is always set.

    The default of the mode differs between versions, and transformers and optimum-habana read the
    variable as well.
    """
    os.environ[LAZY_MODE] = "1" if mode == "lazy" else "0"
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    world = read_world()
    if world.size > 1:
        # The device of this process, as the bridge would choose it, but before its first use.
        visible = os.environ.get("HABANA_VISIBLE_MODULES", "").split(",")
        named = visible[world.local_rank] if world.local_rank < len(visible) else ""
        os.environ.setdefault("HLS_MODULE_ID", named or str(world.local_rank))
        os.environ.setdefault("ID", str(world.rank))
    if mode == "lazy":
        # Graphs over several devices need lazy collectives.
        os.environ.setdefault("PT_HPU_ENABLE_LAZY_COLLECTIVES", "true")


def block_bridge() -> None:
    """Keep torch, accelerate and transformers from importing the bridge with another device.

    They import it wherever it is installed: without a driver that fails, and with one it patches
    torch. The import stays blocked for the rest of the process.
    """
    if not has_bridge():
        return
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
    if f"{BRIDGE}.torch" not in sys.modules:
        # Blocks imports, and makes `find_spec` report that it is not installed.
        sys.modules[BRIDGE] = None  # type: ignore[assignment]


def import_bridge() -> Any:
    """Import torch and the bridge, in this order, and return `torch.hpu`.

    Raises:
        MachineError: The bridge cannot be imported; the message has its reason.
    """
    import torch  # noqa: F401 - before the bridge

    try:
        # `core` registers the device.
        _bridge("core")
    except (ImportError, OSError, AssertionError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise MachineError(
            f"habana_frameworks is installed but cannot be imported: {reason}",
            remedy="Its version must match torch's and the driver's: use Intel's container for all "
            "(`gaudi-asr help devices`).",
        ) from error
    return _hpu()


def is_lazy() -> bool:
    """Return whether the bridge was imported in lazy mode."""
    return bool(_bridge("utils.internal").is_lazy())


def count_cards(folder: Path = CARDS, driver: Path = DRIVER) -> int:
    """Return the number of Gaudi devices of the driver."""
    return len(list(folder.glob("accel[0-9]*"))) if driver.is_dir() else 0


def explain_hpu(cards: Path = CARDS, driver: Path = DRIVER) -> str:
    """Describe the Gaudi devices and software here in one line, without importing them or torch."""
    count = count_cards(cards, driver)
    found = f"{count} Gaudi devices in {cards}" if count else f"no Gaudi in {cards}"
    if not has_bridge():
        return f"No HPU: {found}, and habana_frameworks is not installed."
    versions = [
        f"{name} {version}"
        for name in ("habana-torch-plugin", "optimum-habana")
        if (version := _version(name)) is not None
    ]
    trainer = "" if has_optimum() else "; without optimum-habana, transformers' Trainer is used"
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

    # The bridge adds this attribute, which torch's annotations lack.
    return getattr(torch, "hpu")  # noqa: B009


def compile_forward(forward: Callable[..., Any], max_graphs: int) -> Callable[..., Any]:
    """Return a forward that `torch.compile` makes one graph of for each shape of its inputs.

    torch stops compiling a function after eight shapes and runs it uncompiled from then on, so the
    limit is raised to `max_graphs` while it is called.
    """
    import torch

    # Not imported by `import torch`; `cache_size_limit` is the older name, which is kept.
    config = import_module("torch._dynamo.config")
    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    compiled = torch.compile(forward, backend="hpu_backend", dynamic=False)

    @functools.wraps(forward)
    def call(*arguments: Any, **keywords: Any) -> Any:
        with config.patch({limit: max_graphs}):
            return compiled(*arguments, **keywords)

    return call


HPU = DeviceSpec(open_hpu, takes_mode=True, check_count=check_hpu)
