"""The commands of the READMEs, and local models and data that stand in for what they name."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

GOLDEN = Path(__file__).parents[1] / "golden"
SCRIPTS = {"run_speech_recognition_ctc.py": "ctc", "wav2vec.py": "bench"}
TODAY = {"ctc": "finetune-ctc", "bench": "bench"}


@dataclass(frozen=True)
class OldCommand:
    """A command as it was; `flags` as a shell and argparse read them, `words` behind the script."""

    id: str
    command: str
    flags: dict[str, Any]

    @property
    def script(self) -> str:
        return next(kind for name, kind in SCRIPTS.items() if name in self.command)

    @property
    def words(self) -> list[str]:
        words = shlex.split(self.command)
        places = [place for place, word in enumerate(words) if Path(word).name in SCRIPTS]
        return words[places[0] + 1 :]


def read_commands(*scripts: str) -> list[OldCommand]:
    """Those of the scripts, or all."""
    listed = yaml.safe_load((GOLDEN / "old_commands.yaml").read_text(encoding="utf-8"))
    known = [one for one in listed if any(name in one["command"] for name in SCRIPTS)]
    commands = [OldCommand(one["id"], one["command"], one["flags"]) for one in known]
    return [one for one in commands if not scripts or one.script in scripts]


def read_flag_map() -> dict[str, Any]:
    """The committed map from flags to keys."""
    mapped: dict[str, Any] = yaml.safe_load((GOLDEN / "old_flags.yaml").read_text(encoding="utf-8"))
    return mapped


@dataclass(frozen=True)
class Local:
    """Folders that stand in for what the commands name."""

    pretrained: Path
    trained: Path
    librispeech: Path
    common_voice: Path


def write_local(root: Path) -> Local:
    """Tiny random models, and data with the splits and columns of the real ones."""
    from helpers.standins import write_common_voice, write_librispeech
    from helpers.tiny_models import save_tiny_model

    letters = "abcdefghijklmnopqrstuvwxyz'"
    return Local(
        pretrained=save_tiny_model(root / "pretrained", head=False),
        trained=save_tiny_model(root / "trained", letters=letters),
        librispeech=write_librispeech(root / "librispeech"),
        common_voice=write_common_voice(root / "common-voice", "turkish"),
    )


def local_words(old: OldCommand, local: Local, run: Path, device: str) -> list[str]:
    """The command's own words, then what makes it small and local."""
    words = [*old.words, "--device", device]
    for name, path in _places(old, local).items():
        words += ["--in-place", f"{name}={path}"]
    if old.script == "bench":
        return [*words, "--limit", "2", "--repeat", "1"]
    steps = ["--max_steps", "2"] if "do_train" in old.flags else []
    return [*words, *steps, "--run", str(run)]


def _places(old: OldCommand, local: Local) -> dict[str, Path]:
    if old.script == "bench":
        model = "large-960h-lv60-self" if "large" in old.flags else "base-960h"
        sample = "dev_clean_ds" in old.flags
        data = "hf-internal-testing/librispeech_asr_dummy" if sample else "librispeech_asr"
        return {f"facebook/wav2vec2-{model}": local.trained, data: local.librispeech}
    dataset = old.flags["dataset_name"]
    trained = "do_train" not in old.flags or "960h" in old.flags["model_name_or_path"]
    return {
        old.flags["model_name_or_path"]: local.trained if trained else local.pretrained,
        dataset: local.librispeech if dataset == "librispeech_asr" else local.common_voice,
    }
