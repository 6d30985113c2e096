"""Device graphs: a forward captured once per shape and replayed without Python."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MASK = "attention_mask"


@dataclass(slots=True)
class GraphCounts:
    """Number of calls captured, replayed, and run without a graph because of `max_graphs`."""

    captured: int = 0
    replayed: int = 0
    uncaptured: int = 0
    shapes: set[Hashable] = field(default_factory=set)

    def add(self, shape: Hashable, max_graphs: int) -> None:
        """Count a call with inputs of this shape."""
        if shape in self.shapes:
            self.replayed += 1
        elif len(self.shapes) < max_graphs:
            self.shapes.add(shape)
            self.captured += 1
        else:
            self.uncaptured += 1


def shape_of(inputs: Mapping[str, Any]) -> Hashable:
    """Return the key of a graph: names, shapes and dtypes of the input tensors."""
    return tuple((name, tuple(one.shape), one.dtype) for name, one in sorted(inputs.items()))


def clone_logits(outputs: Any) -> Any:
    """Return outputs with cloned logits, because a replay overwrites those of the graph."""
    return type(outputs)(logits=outputs.logits.clone())


def graph_counts(network: Any) -> GraphCounts | None:
    """Return the counts of a network that has graphs already, which must not be captured again."""
    counts: GraphCounts | None = getattr(network.forward, "counts", None)
    return counts


def count_calls(
    graphed: Callable[..., Any], plain: Callable[..., Any], max_graphs: int, counts: GraphCounts
) -> Callable[..., Any]:
    """Return a graphed forward that counts its calls and clones its outputs.

    With gradients enabled the plain forward runs: these graphs are for inference.
    """
    import torch

    def call(**inputs: Any) -> Any:
        if torch.is_grad_enabled():
            return plain(**inputs)
        shape = shape_of(inputs)
        known = shape in counts.shapes
        counts.add(shape, max_graphs)
        if shape not in counts.shapes:
            return plain(**inputs)
        # The inputs of the capture become the static inputs of the graph: not the caller's tensors,
        # and not created in inference mode, or they could not be written to outside of it.
        with torch.inference_mode(mode=False), torch.no_grad():
            static = inputs if known else {name: one.clone() for name, one in inputs.items()}
            return clone_logits(graphed(**static))

    with_counts: Any = call
    with_counts.counts = counts
    return call


def warm_up(network: Callable[..., Any], inputs: Mapping[str, torch.Tensor]) -> None:
    """Capture the graph for inputs of this shape.

    transformers omits a mask that is all ones, and a graph repeats what was captured: with such a
    mask, later batches would attend to their padding. So a quarter of the frames is masked here.
    """
    import torch

    primed = {name: tensor.clone() for name, tensor in inputs.items()}
    if MASK in primed:
        width = primed[MASK].shape[-1]
        primed[MASK].fill_(1)
        primed[MASK][:, width - max(1, width // 4) :] = 0
    with torch.no_grad():
        network(**primed)
