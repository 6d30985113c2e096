"""The weights of a network by name, from safetensors files or from a network in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.models.contents import COPY_AGAIN, INDEX_FILE, SINGLE_FILE
from gaudi_asr_cli.core.models.folder import ModelFolder

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of weights by name."""

FLOATING_POINT = frozenset({"F16", "BF16", "F32"})
"""Types of stored weights that are read here; others are left to transformers."""


@dataclass(frozen=True, slots=True)
class NetworkWeights:
    """Weights whose names share a prefix; `read` returns one by its whole name."""

    read: Callable[[str], Tensor]
    shapes: Shapes
    prefix: str = ""

    def below(self, name: str) -> NetworkWeights:
        """Return the weights of the module `name`."""
        return NetworkWeights(self.read, self.shapes, f"{self.prefix}{name}.")

    def __getitem__(self, name: str) -> Tensor:
        return self.read(self.prefix + name)

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.shapes

    def get(self, name: str) -> Tensor | None:
        """Return a weight, or None if there is none of that name."""
        return self.read(self.prefix + name) if name in self else None

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a weight, which is not read."""
        return self.shapes[self.prefix + name]

    def count(self) -> int:
        """Return the number of parameters."""
        return sum(prod(shape) for shape in self.shapes.values())

    def have(self, shapes: Shapes) -> bool:
        """Return whether there is a weight of each of these names and shapes."""
        return all(self.shapes.get(name) == shape for name, shape in shapes.items())


def weights_of(network: Any) -> NetworkWeights:
    """Return the weights of a network in memory; they are not copied."""
    state: dict[str, Tensor] = network.state_dict()
    return NetworkWeights(
        state.__getitem__, {name: tuple(one.shape) for name, one in state.items()}
    )


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A safetensors file and the names and shapes of its weights."""

    path: Path
    shapes: Shapes


def read_weights(folder: ModelFolder, replacements: Path | None = None) -> NetworkWeights | None:
    """Return the weights of a folder, each read in float32 when it is asked for.

    None if transformers should read them: they are in several files without an index, or not all
    in floating point.

    Args:
        folder: The model folder.
        replacements: A safetensors file whose weights replace those of the same name.
    """
    paths = _find_files(folder.path)
    if not paths:
        return None
    files = [_read_header(path) for path in (*paths, *([replacements] if replacements else []))]
    places: dict[str, WeightFile] = {}
    for file in files:
        if file is None:
            return None
        places |= dict.fromkeys(file.shapes, file)
    shapes = {name: file.shapes[name] for name, file in places.items()}
    return NetworkWeights(lambda name: _read_weight(places[name].path, name), shapes)


def _find_files(directory: Path) -> list[Path]:
    """Return the files that transformers would read: one, or the shards of the index."""
    if (directory / SINGLE_FILE).is_file():
        return [directory / SINGLE_FILE]
    if not (directory / INDEX_FILE).is_file():
        return []
    index = read_json_object(directory / INDEX_FILE, remedy=COPY_AGAIN).get("weight_map")
    if not isinstance(index, dict) or not all(isinstance(name, str) for name in index.values()):
        return []
    # Shards lie beside their index: other paths are left to transformers.
    shards = [directory / name for name in sorted(set(index.values())) if Path(name).name == name]
    complete = len(shards) == len(set(index.values())) and all(path.is_file() for path in shards)
    return shards if complete else []


def _read_header(path: Path) -> WeightFile | None:
    """Return the names and shapes of a file, or None if it holds other than floating point."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            if any(one.get_dtype() not in FLOATING_POINT for one in slices.values()):
                return None
            return WeightFile(path, {name: tuple(one.get_shape()) for name, one in slices.items()})
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is not a complete safetensors file: {error}.", remedy=COPY_AGAIN
        ) from error


def _read_weight(path: Path, name: str) -> Tensor:
    import torch
    from safetensors import safe_open

    # The file is mapped into memory only while a weight is copied: its pages are not kept.
    with safe_open(path, framework="pt") as opened:
        weight: Tensor = opened.get_tensor(name).to(torch.float32, copy=True)
    reject_not_finite(path, name, weight)
    return weight


def reject_not_finite(path: Path, name: str, weight: Tensor) -> None:
    """Check that a weight holds finite numbers only; those of a diverged training are not.

    Raises:
        DataError: It holds NaN or infinity.
    """
    import torch

    # One pass without memory of its own; a sum of finite numbers that overflows is looked at again.
    if weight.is_floating_point() and not torch.isfinite(weight.sum()):
        finite = torch.isfinite(weight)
        if not finite.all():
            raise DataError(
                f"{path}: the weight {name} is not finite ({int((~finite).sum())} of "
                f"{weight.numel()} numbers are NaN or infinite).",
                remedy="The training that made it diverged, or the file is damaged: use an earlier "
                "checkpoint, or copy the model again.",
            )
