"""The registries, and the table of CONTRIBUTING.md that names them."""

from importlib import import_module
from pathlib import Path

import pytest

from gaudi_asr_cli.core.data.layouts import LAYOUTS
from gaudi_asr_cli.core.data.layouts.options import Layout
from gaudi_asr_cli.core.decoding import DECODERS, DEFAULT_DECODER
from gaudi_asr_cli.core.decoding.base import DecoderSpec
from gaudi_asr_cli.core.devices import DEVICES
from gaudi_asr_cli.core.devices.base import DeviceSpec
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.formats import FORMATS
from gaudi_asr_cli.core.formats.record import Format
from gaudi_asr_cli.core.models.families import FAMILIES, ModelFamily
from gaudi_asr_cli.core.registry import Registry

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gaudi_asr_cli"
REGISTRIES = {
    "DEVICES": (DEVICES, DeviceSpec),
    "LAYOUTS": (LAYOUTS, Layout),
    "DECODERS": (DECODERS, DecoderSpec),
    "FORMATS": (FORMATS, Format),
    "FAMILIES": (FAMILIES, ModelFamily),
}


@pytest.mark.parametrize(("registry", "record"), REGISTRIES.values(), ids=REGISTRIES)
def test_every_name_has_a_record(registry, record):
    assert {type(one) for one in registry.values()} == {record}


def test_names_are_known_without_importing_a_record():
    registry = Registry("kind", {"a": "no_such_module:A"})

    assert list(registry) == ["a"]
    assert "a" in registry
    assert "b" not in registry
    assert len(registry) == 1


def test_a_record_is_imported_when_it_is_used():
    registry = Registry("kind", {"pi": "math:pi", "gone": "no_such_module:A"})

    assert registry["pi"] == pytest.approx(3.14159, abs=1e-5)
    with pytest.raises(ModuleNotFoundError):
        registry["gone"]


def test_an_unknown_name_is_a_usage_error_with_a_suggestion():
    registry = Registry("number", {"pi": "math:pi", "tau": "math:tau"})

    with pytest.raises(UsageError, match=r"no number 'tao'\. Did you mean tau\?") as caught:
        registry.find("tao")

    assert caught.value.remedy == "Choose one of pi, tau."


def test_the_default_decoder_is_registered():
    assert DEFAULT_DECODER in DECODERS


def read_table():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = text.partition("| new | file | line |\n|---|---|---|\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()]


TABLE = {new: (file, line) for new, file, line in read_table()}


def test_the_table_has_a_row_for_each_extension_point():
    assert set(TABLE) == {
        "device", "dataset layout", "decoder", "output format", "model family", "recipe",
        "command",
    }  # fmt: skip


@pytest.mark.parametrize("new", TABLE)
def test_the_files_of_the_table_have_a_folder(new):
    names = [word for word in TABLE[new][0].split("`") if "/x." in word]

    assert names
    for name in names:
        folder = (PACKAGE if name.endswith(".py") else ROOT) / Path(name).parent
        assert [*folder.glob(f"*{Path(name).suffix}")], folder


@pytest.mark.parametrize("new", [new for new, (_, line) in TABLE.items() if "__init__.py" in line])
def test_the_registries_of_the_table_exist_and_hold_the_record_it_names(new):
    _, file, _, record, *_ = TABLE[new][0].split("`")
    _, name, _, home, *_ = TABLE[new][1].split("`")
    registry, kind = REGISTRIES[name]

    module = "gaudi_asr_cli." + home.removesuffix("/__init__.py").replace("/", ".")
    assert getattr(import_module(module), name) is registry
    assert kind.__name__ == record
    assert Path(file).parent == Path(home).parent
    for path in registry.paths.values():
        assert (PACKAGE.parent / path.partition(":")[0].replace(".", "/")).parent == (
            PACKAGE / file
        ).parent


def test_every_registry_stands_in_the_table():
    named = {line.split("`")[1] for _, line in TABLE.values() if " in `core/" in line}

    assert named == set(REGISTRIES)
