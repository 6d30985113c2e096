"""Graphs: a forward that was captured once for a shape and is replayed without Python."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MASK = "attention_mask"


@dataclass(slots=True)
class GraphCounts:
    """How often a forward was captured, replayed, or run without a graph because of the bound."""

    captured: int = 0
    replayed: int = 0
    without: int = 0
    shapes: set[Hashable] = field(default_factory=set)

    def add(self, shape: Hashable, max_graphs: int) -> None:
        """Count a call with inputs of this shape."""
        if shape in self.shapes:
            self.replayed += 1
        elif len(self.shapes) < max_graphs:
            self.shapes.add(shape)
            self.captured += 1
        else:
            self.without += 1


def shape_of(inputs: Mapping[str, Any]) -> Hashable:
    """What tells one graph from another: names, shapes and dtypes of the tensors."""
    return tuple((name, tuple(one.shape), one.dtype) for name, one in sorted(inputs.items()))


def fresh(outputs: Any) -> Any:
    """The outputs of a network with logits of their own; the graph's are written to again."""
    return type(outputs)(logits=outputs.logits.clone())


def counts_of(network: Any) -> GraphCounts | None:
    """The counts of a network that has graphs already: it must not be captured through them."""
    counts: GraphCounts | None = getattr(network.forward, "counts", None)
    return counts


def counted(
    graphed: Callable[..., Any], plain: Callable[..., Any], max_graphs: int, counts: GraphCounts
) -> Callable[..., Any]:
    """A graphed forward that counts its calls and gives fresh outputs.

    Where gradients are wanted the plain forward runs: these graphs are for listening.
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
        # The inputs of the capture become the graph's own. They must not be the caller's, nor be
        # of inference mode: then nobody could write to them outside of it.
        with torch.inference_mode(mode=False), torch.no_grad():
            own = inputs if known else {name: one.clone() for name, one in inputs.items()}
            return fresh(graphed(**own))

    marked: Any = call
    marked.counts = counts
    return call


def warm_up(network: Callable[..., Any], inputs: Mapping[str, torch.Tensor]) -> None:
    """Capture the graph for inputs of this shape.

    transformers leaves the mask out where it is all ones, and a graph keeps what was done when it
    was captured: with such a mask, padding would be heard ever after. So a quarter is masked here.
    """
    import torch

    primed = {name: tensor.clone() for name, tensor in inputs.items()}
    if MASK in primed:
        width = primed[MASK].shape[-1]
        primed[MASK].fill_(1)
        primed[MASK][:, width - max(1, width // 4) :] = 0
    with torch.no_grad():
        network(**primed)
