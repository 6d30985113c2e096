"""Tests import their helpers as `helpers.X`; nothing here reaches a network."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
# Helper processes find the helpers too, and no test waits for a hub.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)
os.environ["HF_HUB_OFFLINE"] = "1"

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(autouse=True)
def no_precision_of_another_run():
    """transformers 4 leaves it in the environment, which the command line clears at its start."""
    os.environ.pop("ACCELERATE_MIXED_PRECISION", None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recorded speech beside the checkout; it never travels with the project."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the development data in {folder}")
    return folder
