"""Language adapters of MMS models: adapter layers and a head for each language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.families import head_of
from gaudi_asr_cli.core.models.folder import ModelFolder


def adapter_path(directory: Path, language: str) -> Path:
    """Return the path at which transformers expects the adapter of a language."""
    return directory / f"adapter.{language}.safetensors"


def list_languages(directory: Path) -> tuple[str, ...]:
    """List the languages whose adapters are in the folder."""
    found = sorted(directory.glob("adapter.*.safetensors"))
    return tuple(path.name.removeprefix("adapter.").removesuffix(".safetensors") for path in found)


def load_adapter(network: Any, folder: ModelFolder, language: str) -> None:
    """Load the adapter layers and the head of a language into the network.

    Raises:
        DataError: The model has no adapters, or none for that language.
    """
    from safetensors.torch import load_file

    check_adapters(network, folder.name)
    path = adapter_path(folder.path, language)
    if not path.exists():
        known = ", ".join(list_languages(folder.path)) or "none"
        raise DataError(
            f"{folder.name} has no adapter for the language '{language}' (found: {known}).",
            remedy="Pass --language with the code of one of these, such as eng or deu.",
        )
    state = load_file(path)
    replace_head(network, int(state["lm_head.weight"].shape[0]))
    network.load_state_dict(state, strict=False)


def check_adapters(network: Any, name: str) -> None:
    """Check that a model has language adapters.

    Raises:
        DataError: The configuration has no `adapter_attn_dim`.
    """
    if getattr(network.config, "adapter_attn_dim", None) is None:
        raise DataError(
            f"{name} has no language adapters.",
            remedy="Omit --language, or choose an MMS model such as facebook/mms-1b-all.",
        )


def save_adapter(network: Any, directory: Path, language: str) -> None:
    """Save the adapter layers and the head in the file format of MMS models."""
    from safetensors.torch import save_file

    state = network._get_adapters()
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in state.items()}
    save_file(tensors, adapter_path(directory, language), metadata={"format": "pt"})


def replace_head(network: Any, columns: int) -> Any:
    """Replace the head of the network by a randomly initialised one, and return it."""
    import torch

    name = head_of(network.config.to_dict())
    old = getattr(network, name)
    if isinstance(old, torch.nn.Linear):
        head: Any = torch.nn.Linear(old.in_features, columns, device=old.weight.device)
    else:
        # A convolution over one frame, with a forward of its own.
        head = type(old)(old.in_channels, columns, kernel_size=1, device=old.weight.device)
    head = head.to(old.weight.dtype)
    head.weight.data.normal_(std=float(getattr(network.config, "initializer_range", 0.02)))
    head.bias.data.zero_()
    setattr(network, name, head)
    network.config.vocab_size = columns
    return head
