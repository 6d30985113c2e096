"""CUDA graphs of a network's forward, one per set of input shapes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.devices.graphs import GraphCounts, clone_logits, shape_of
from gaudi_asr_cli.core.errors import MachineError

if TYPE_CHECKING:
    import torch

WARM_UPS = 3
"""Runs before a capture, in which libraries choose algorithms and allocate workspaces."""


@dataclass(frozen=True, slots=True)
class CapturedGraph:
    """A graph with its static input and output tensors."""

    graph: Any
    inputs: Mapping[str, torch.Tensor]
    outputs: Any


class CudaGraphs:
    """A replacement of a forward that captures a graph for each new shape, up to `max_graphs`.

    Graphs share one memory pool. That is safe because they are replayed in sequence on one stream,
    and outputs are cloned on it before the next replay.
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
        return clone_logits(captured.outputs)

    def _capture(
        self, inputs: Mapping[str, torch.Tensor], autocast: torch.dtype | None
    ) -> CapturedGraph:
        import torch

        # Tensors created in inference mode cannot be written to outside of it.
        with torch.inference_mode(mode=False), torch.no_grad():
            static = {name: torch.empty_like(tensor) for name, tensor in inputs.items()}
            for name, tensor in inputs.items():
                static[name].copy_(tensor)
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            try:
                with _autocast_without_cache(autocast):
                    self._warm_up(static)
                    # Other threads pin memory and wait for copies meanwhile, which does not affect
                    # this stream; in the default mode it would make the capture fail.
                    with torch.cuda.graph(graph, self._pool, capture_error_mode="thread_local"):
                        outputs = self._forward(**static)
            except RuntimeError as error:
                raise MachineError(
                    f"This network cannot be captured as a CUDA graph: {error}",
                    remedy="Leave --graphs out; with transformers 4.55 graphs need attention "
                    "without sdpa.",
                ) from error
        return CapturedGraph(graph, static, outputs)

    def _warm_up(self, static: Mapping[str, torch.Tensor]) -> None:
        import torch

        side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(WARM_UPS):
                self._forward(**static)
        torch.cuda.current_stream().wait_stream(side_stream)


def _autocast_without_cache(autocast: torch.dtype | None) -> AbstractContextManager[object]:
    """Return the same autocast without its cache of cast weights, freed when it is left."""
    import torch

    if autocast is None:
        return nullcontext()
    return torch.autocast("cuda", dtype=autocast, cache_enabled=False)
