"""The plain table that options are built from, compared with the schema that checks recipes."""

import types
import typing

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from gaudi_asr_cli.core.recipes.keys import RECIPE_KEYS, RecipeKey, describe_key, keys_of
from gaudi_asr_cli.core.recipes.loading import KINDS

EVERY_KEY = [(kind, record) for kind in KINDS for record in keys_of(kind)]


def field_of(kind, key):
    """The field of the schema; the key of any data section is that of train."""
    *sections, name = key.replace("*", "train").split(".")
    model = KINDS[kind]
    for section in sections:
        annotation = model.model_fields[section].annotation
        parts = [annotation, *typing.get_args(annotation)]
        model = next(
            part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)
        )
    return model.model_fields[name]


def types_of(annotation):
    """The types that a field accepts, without constraints such as gt=0."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return {inner for part in typing.get_args(annotation) for inner in types_of(part)}
    if typing.get_origin(annotation) is typing.Annotated:
        return types_of(typing.get_args(annotation)[0])
    return {annotation}


def disagreements(kind, record):
    field = field_of(kind, record.key)
    if record.type not in types_of(field.annotation):
        yield "type", record.type, field.annotation
    default = None if field.default is PydanticUndefined else field.default
    if record.default != default:
        yield "default", record.default, default


@pytest.mark.parametrize(
    ("kind", "record"), EVERY_KEY, ids=lambda value: getattr(value, "key", value)
)
def test_a_key_has_the_type_and_the_default_of_the_schema(kind, record):
    assert list(disagreements(kind, record)) == []


@pytest.mark.parametrize(
    "record",
    [
        RecipeKey("epochs", "--epochs", "Passes.", type=float, default=2.0),
        RecipeKey("epochs", "--epochs", "Passes.", type=str, default=3.0),
    ],
)
def test_a_wrong_default_or_type_is_found(record):
    assert len(list(disagreements("finetune-ctc", record))) == 1


def test_a_key_that_is_in_no_schema_is_found():
    with pytest.raises(KeyError):
        field_of("finetune-ctc", "optimizer.momentum")


@pytest.mark.parametrize(
    ("kind", "record"), EVERY_KEY, ids=lambda value: getattr(value, "key", value)
)
def test_the_help_of_an_option_is_the_description_of_its_key(kind, record):
    section, _, name = record.key.rpartition(".")
    if name == "data":
        description = KINDS[kind].model_fields[section].description
    else:
        description = field_of(kind, record.key).description
    general = f"*.{name}"

    assert description == (
        describe_key(general) if name in {"split", "limit"} else describe_key(record.key, kind)
    )


def test_every_section_has_its_own_split():
    helps = {record.help for record in RECIPE_KEYS if record.key.endswith(".split")}

    assert len(helps) == 3
    assert all(text.startswith("Split of the ") for text in helps)
