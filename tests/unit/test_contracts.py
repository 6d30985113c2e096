"""The import contracts of pyproject.toml catch what they are for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")

PLANTED = {
    "core from the story down to the nouns": (
        "core/data/buckets.py",
        "from gaudi_asr_cli.core.inference import transcribe",
    ),
    "pure parts know no network library": ("core/text/rules.py", "import torch"),
    "only devices name an accelerator's software": (
        "core/workflows/infer.py",
        "import habana_frameworks",
    ),
    "only ui draws": ("core/runs.py", "import rich"),
    "cli over ui over core": ("core/runs.py", "from gaudi_asr_cli.ui import console"),
}


@pytest.mark.skipif(not LINTER.exists(), reason="needs import-linter")
@pytest.mark.parametrize("contract", PLANTED)
def test_a_planted_import_breaks_its_contract(contract, tmp_path):
    file, planted = PLANTED[contract]
    shutil.copytree(
        ROOT / "gaudi_asr_cli",
        tmp_path / "gaudi_asr_cli",
        ignore=lambda folder, names: [n for n in names if n.endswith((".safetensors", ".pyc"))],
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "gaudi_asr_cli" / file).open("a", encoding="utf-8") as opened:
        opened.write(f"\n{planted}\n")

    done = subprocess.run(
        [LINTER, "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert f"{contract} BROKEN" in done.stdout
