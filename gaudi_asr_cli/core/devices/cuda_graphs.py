"""CUDA graphs of a network's forward, one for each set of input shapes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.devices.graphs import GraphCounts, fresh, shape_of
from gaudi_asr_cli.core.errors import MachineError

if TYPE_CHECKING:
    import torch

WARM_UPS = 3
"""Runs before a capture: libraries choose algorithms and allocate work space in the first ones."""


@dataclass(frozen=True, slots=True)
class CapturedGraph:
    """A graph with the tensors that it reads and writes at every replay."""

    graph: Any
    inputs: Mapping[str, torch.Tensor]
    outputs: Any


class CudaGraphs:
    """Stands in for a forward: captures a graph for each new shape, up to `max_graphs`.

    Graphs share one memory pool. That is safe because they are replayed one after another on one
    stream, and outputs are cloned there before the next replay.
    """

    def __init__(self, forward: Callable[..., Any], max_graphs: int) -> None:
        self.counts = GraphCounts()
        self._forward = forward
        self._max_graphs = max_graphs
        self._graphs: dict[Hashable, CapturedGraph] = {}
        self._pool: Any = None

    def __call__(self, **inputs: torch.Tensor) -> Any:
        import torch

        if torch.is_grad_enabled():
            return self._forward(**inputs)
        autocast = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
        key = (shape_of(inputs), autocast)
        self.counts.add(key, self._max_graphs)
        if key not in self.counts.shapes:
            return self._forward(**inputs)
        if key not in self._graphs:
            self._graphs[key] = self._capture(inputs, autocast)
        captured = self._graphs[key]
        for name, tensor in inputs.items():
            captured.inputs[name].copy_(tensor, non_blocking=True)
        captured.graph.replay()
        return fresh(captured.outputs)

    def _capture(
        self, inputs: Mapping[str, torch.Tensor], autocast: torch.dtype | None
    ) -> CapturedGraph:
        import torch

        # Tensors made in inference mode could not be written to outside of it later.
        with torch.inference_mode(mode=False), torch.no_grad():
            static = {name: torch.empty_like(tensor) for name, tensor in inputs.items()}
            for name, tensor in inputs.items():
                static[name].copy_(tensor)
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            try:
                with _uncached(autocast):
                    self._warm_up(static)
                    # Other threads pin memory and wait for copies meanwhile, which is no harm to
                    # this stream; the default would have the capture fail for it.
                    with torch.cuda.graph(graph, self._pool, capture_error_mode="thread_local"):
                        outputs = self._forward(**static)
            except RuntimeError as error:
                raise MachineError(
                    f"This network cannot be captured as a CUDA graph: {error}",
                    remedy="Leave --graphs out; transformers 4.55 needs attention without sdpa "
                    "for it.",
                ) from error
        return CapturedGraph(graph, static, outputs)

    def _warm_up(self, static: Mapping[str, torch.Tensor]) -> None:
        import torch

        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                self._forward(**static)
        torch.cuda.current_stream().wait_stream(aside)


def _uncached(autocast: torch.dtype | None) -> AbstractContextManager[object]:
    """Autocast as it is, but without its cache of cast weights, which would not outlive it."""
    import torch

    if autocast is None:
        return nullcontext()
    return torch.autocast("cuda", dtype=autocast, cache_enabled=False)
