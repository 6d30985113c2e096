"""What a model's folder says of itself that is no error, but that the user should know."""

from __future__ import annotations

from collections.abc import Iterator

from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.models.contents import list_unused, one_folder_up
from gaudi_asr_cli.core.models.features import SETTINGS_FILES
from gaudi_asr_cli.core.models.folder import ModelFolder, kind_of


def notes_on(folder: ModelFolder, *, uses_lm: bool = False) -> Iterator[Noticed]:
    """Yield a note for each part of a folder that is missing or not used.

    Args:
        folder: The model's folder.
        uses_lm: Decoding uses a language model.
    """
    if not any((folder.path / name).exists() for name in SETTINGS_FILES):
        yield _note_settings(folder)
    unused = next(list_unused(folder.path), None)
    if unused is not None and not uses_lm and kind_of(folder.read_config()) == "ctc":
        yield Noticed(
            f"{folder.name} holds an n-gram language model ({unused}), which greedy decoding does "
            "not use.",
            remedy=f"Pass --lm {folder.path / unused} to decode with it, as published scores may.",
        )


def _note_settings(folder: ModelFolder) -> Noticed:
    above = one_folder_up(folder.path, tuple(SETTINGS_FILES))
    family = folder.read_config().get("model_type")
    said = (
        f"{folder.name} has no preprocessor_config.json: the usual settings of {family} are used "
        "(16 kHz)"
    )
    if above is None:
        return Noticed(
            f"{said}.", remedy="Copy that file from the model that this one was trained from."
        )
    return Noticed(
        f"{said}; there is one in {above.parent}, one folder up.",
        remedy=f"Copy it: cp {above} {folder.path}/",
    )
