"""Local models and data in place of those that a recipe or command names: `--in-place ID=PATH`."""

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
    """`path` stands in for the model or data set `id`, or for its `split` alone."""

    id: str
    split: str | None
    path: str


@dataclass(frozen=True, slots=True)
class PlacedValue:
    """Where data is read, as `DataSection` has it; a source may name its own split."""

    sources: tuple[str, ...]
    split: str | None = None
    config: str | None = None


def read_in_place(words: Sequence[str]) -> tuple[InPlace, ...]:
    """The replacements of `ID=PATH` and `ID#SPLIT=PATH`.

    Raises:
        UsageError: A word of another form.
    """
    return tuple(map(_read_one, words))


def _read_one(word: str) -> InPlace:
    name, equals, path = word.partition("=")
    name, _, split = name.partition("#")
    if not equals or not name or not path:
        raise UsageError(
            f"--in-place {word}: not of the form ID=PATH.",
            remedy="For example --in-place facebook/wav2vec2-base=models/tiny, or "
            "--in-place openslr/librispeech_asr#validation=dev.jsonl for one split.",
        )
    return InPlace(_today(name), split or None, path)


def place_model(name: str, replacements: Sequence[InPlace]) -> str:
    """The model to open: the replacement's path, or the name as it is."""
    return next((one.path for one in replacements if one.id == _today(name)), name)


def place_data(
    sources: Sequence[str], split: str | None, config: str | None, replacements: Sequence[InPlace]
) -> PlacedValue:
    """The sources to read.

    A replaced source keeps its splits where the path is a folder that may hold several, and its
    configuration where the folder has one of that name; a single file has neither.
    """
    parts = [_place_source(source, split, replacements) for source in sources]
    if not any(replaced for _, replaced in parts):
        return PlacedValue(tuple(sources), split, config)
    keeps = not all(replaced for _, replaced in parts) or any(
        _holds(one.path, config) for one in replacements
    )
    return PlacedValue(
        tuple(source for placed, _ in parts for source in placed), config=config if keeps else None
    )


def _place_source(
    source: str, split: str | None, replacements: Sequence[InPlace]
) -> tuple[list[str], bool]:
    """What to read instead, its split written in it, and whether it is something else at all."""
    name, _, own = source.partition("#")
    wanted = own or split
    ours = [one for one in replacements if one.id == _today(name)]
    exact = {one.split: one.path for one in ours if one.split is not None}
    whole = next((one.path for one in ours if one.split is None), name)
    splits = wanted.split("+") if wanted else []
    if not exact.keys() & set(splits):
        return [_with_split(whole, wanted)], bool(ours) and whole != name
    return [exact.get(one) or _with_split(whole, one) for one in splits], True


def _with_split(path: str, split: str | None) -> str:
    """A single file, and a path that names its split itself, stay as they are."""
    if split is None or "#" in path or Path(_place(path)).is_file():
        return path
    return f"{path}#{split}"


def _holds(path: str, config: str | None) -> bool:
    return config is not None and Path(_place(path), config).is_dir()


def _place(path: str) -> str:
    """A source without the layout in front."""
    return path.partition(":")[2] or path if not Path(path).exists() else path


def _today(name: str) -> str:
    return RENAMED_IDS.get(name, name)


def place_split(data: DataSection, replacements: Sequence[InPlace]) -> DataSection:
    """The same for a part of a recipe."""
    placed = place_data(data.sources, data.split, data.config, replacements)
    update = {"data": list(placed.sources), "split": placed.split, "config": placed.config}
    return data.model_copy(update=update)


@dataclass(frozen=True, slots=True)
class Reading:
    """A model and the data that it hears."""

    model: str | None
    data: tuple[str, ...]
    read: ReadOptions


def place_reading(reading: Reading, words: Sequence[str]) -> Reading:
    """The same with local models and data in place of those that it names.

    Args:
        reading: As it was asked for.
        words: Values of `--in-place`.

    Raises:
        UsageError: A word of another form, or of something that is not named.
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
    """A replacement of something that nobody names is a misspelling.

    Raises:
        UsageError: There is one.
    """
    named = [*map(_today, models), *(_today(source.partition("#")[0]) for source in sources)]
    for one in replacements:
        if one.id not in named:
            raise UsageError(
                f"--in-place {one.id}={one.path}: nothing here is called {one.id}.",
                remedy=f"What is named: {', '.join(dict.fromkeys(named))}.",
            )
