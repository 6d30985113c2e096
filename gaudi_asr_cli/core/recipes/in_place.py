"""Replace models and data of a recipe or command by local ones: `--in-place ID=PATH`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.moved_ids import RENAMED_IDS
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.recipes.schema import DataSection


@dataclass(frozen=True, slots=True)
class InPlace:
    """`path` replaces the model or dataset `id`, or only its `split`."""

    id: str
    split: str | None
    path: str


@dataclass(frozen=True, slots=True)
class PlacedValue:
    """Data to read, with the fields of `DataSection`; a source may name its own split."""

    sources: tuple[str, ...]
    split: str | None = None
    config: str | None = None


def read_in_place(words: Sequence[str]) -> tuple[InPlace, ...]:
    """Parse replacements of the form `ID=PATH` and `ID#SPLIT=PATH`.

    Raises:
        UsageError: A word has another form.
    """
    return tuple(map(_parse, words))


def _parse(word: str) -> InPlace:
    name, equals, path = word.partition("=")
    name, _, split = name.partition("#")
    if not equals or not name or not path:
        raise UsageError(
            f"--in-place {word}: not of the form ID=PATH.",
            remedy="For example --in-place facebook/wav2vec2-base=models/tiny, or "
            "--in-place openslr/librispeech_asr#validation=dev.jsonl for one split.",
        )
    return InPlace(_current_id(name), split or None, path)


def place_model(name: str, replacements: Sequence[InPlace]) -> str:
    """Return the path that replaces a model, or its name unchanged."""
    return next((item.path for item in replacements if item.id == _current_id(name)), name)


def place_data(
    sources: Sequence[str], split: str | None, config: str | None, replacements: Sequence[InPlace]
) -> PlacedValue:
    """Return the sources to read.

    A replaced source keeps its splits if the path is a folder, which may have several, and its
    configuration if the folder has one of that name; a single file has neither.
    """
    parts = [_place_source(source, split, replacements) for source in sources]
    if not any(replaced for _, replaced in parts):
        return PlacedValue(tuple(sources), split, config)
    keeps = not all(replaced for _, replaced in parts) or any(
        _has_config(item.path, config) for item in replacements
    )
    return PlacedValue(
        tuple(source for placed, _ in parts for source in placed), config=config if keeps else None
    )


def _place_source(
    source: str, split: str | None, replacements: Sequence[InPlace]
) -> tuple[list[str], bool]:
    """Return the sources to read, with their splits, and whether any is replaced."""
    name, _, own = source.partition("#")
    split = own or split
    matching = [item for item in replacements if item.id == _current_id(name)]
    by_split = {item.split: item.path for item in matching if item.split is not None}
    whole = next((item.path for item in matching if item.split is None), name)
    splits = split.split("+") if split else []
    if not by_split.keys() & set(splits):
        return [_with_split(whole, split)], bool(matching) and whole != name
    return [by_split.get(part) or _with_split(whole, part) for part in splits], True


def _with_split(path: str, split: str | None) -> str:
    """Append the split to a path, unless it is a single file or names a split itself."""
    if split is None or "#" in path or Path(_path_of(path)).is_file():
        return path
    return f"{path}#{split}"


def _has_config(path: str, config: str | None) -> bool:
    return config is not None and Path(_path_of(path), config).is_dir()


def _path_of(path: str) -> str:
    """Return a source without its `LAYOUT:` prefix."""
    return path.partition(":")[2] or path if not Path(path).exists() else path


def _current_id(name: str) -> str:
    return RENAMED_IDS.get(name, name)


def place_split(data: DataSection, replacements: Sequence[InPlace]) -> DataSection:
    """Replace the sources of a data section of a recipe."""
    placed = place_data(data.sources, data.split, data.config, replacements)
    update = {"data": list(placed.sources), "split": placed.split, "config": placed.config}
    return data.model_copy(update=update)


@dataclass(frozen=True, slots=True)
class Reading:
    """A model and the data that it transcribes."""

    model: str | None
    data: tuple[str, ...]
    read: ReadOptions


def place_reading(reading: Reading, words: Sequence[str]) -> Reading:
    """Replace the model and data of an evaluation or benchmark by local ones.

    Args:
        reading: The model and data of the command line.
        words: The values of `--in-place`.

    Raises:
        UsageError: A word has another form, or replaces an id that is not used.
    """
    replacements, read = read_in_place(words), reading.read
    check_all_used(replacements, [reading.model] if reading.model else [], reading.data)
    placed = place_data(reading.data, read.split, read.config, replacements)
    return Reading(
        model=reading.model and place_model(reading.model, replacements),
        data=placed.sources,
        read=replace(read, split=placed.split, config=placed.config),
    )


def check_all_used(
    replacements: Sequence[InPlace], models: Sequence[str], sources: Sequence[str]
) -> None:
    """Reject a replacement whose id is not used: it is a typing error.

    Raises:
        UsageError: There is one.
    """
    named = [
        *map(_current_id, models),
        *(_current_id(source.partition("#")[0]) for source in sources),
    ]
    for item in replacements:
        if item.id not in named:
            raise UsageError(
                f"--in-place {item.id}={item.path}: no model or dataset here is named {item.id}.",
                remedy=f"Models and datasets here: {', '.join(dict.fromkeys(named))}.",
            )
