"""The files of deploy/: linted where the linter is, and in step with the command line."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("Dockerfile.*"))
UNIT = DEPLOY / "gaudi-asr.service"


def find_program(name):
    """Return the path of a program beside this Python or on the search path; skip without it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run_program(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_hadolint_finds_nothing_in(file):
    run_program(find_program("hadolint"), str(file))


def test_systemd_takes_the_unit(tmp_path):
    analyze = find_program("systemd-analyze")
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/asr/bin/gaudi-asr", shutil.which("true")))

    run_program(analyze, "verify", "--man=no", str(unit))


def test_the_services_of_compose_are_closed_by_default():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))

    assert set(compose["services"]) == {"cpu", "gaudi"}
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert ":?" in service["environment"]["GAUDI_ASR_API_KEY"]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert (ROOT / service["build"]["dockerfile"]) in DOCKERFILES


def test_every_option_of_serve_that_they_name_exists():
    known = (ROOT / "tests/golden/help/serve.txt").read_text(encoding="utf-8")
    files = [*DOCKERFILES, UNIT, DEPLOY / "nginx.conf", ROOT / "docs/serving.md"]
    lines = [
        line
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if "gaudi-asr serve" in line or "ENTRYPOINT" in line or "# as --" in line
    ]

    options = {option for line in lines for option in re.findall(r"--[a-z][a-z-]+", line)}
    assert options >= {"--host", "--model", "--max-upload-mb"}
    assert {option for option in options if option not in known} == set()


def test_what_a_dockerfile_copies_is_in_the_build_context():
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()

    for name in ("constraints.txt", "pyproject.toml", "gaudi_asr_cli", "docs", "recipes"):
        assert f"!{name}" in kept
        assert (ROOT / name).exists()
