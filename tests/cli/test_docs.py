"""What is committed under docs/ is what the code says."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def write_docs():
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "scripts" / "write_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_commands_are_documented_as_they_are(write_docs):
    committed = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    assert committed == write_docs.commands_markdown(), "run `make docs`"


def test_the_recipes_are_documented_as_they_are(write_docs):
    committed = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")

    assert committed == write_docs.recipes_markdown(), "run `make docs`"


def test_the_old_flags_are_documented_as_they_are_translated(write_docs):
    committed = (ROOT / "docs" / "old-commands.md").read_text(encoding="utf-8")

    assert committed == write_docs.old_commands_markdown(), "run `make docs`"
