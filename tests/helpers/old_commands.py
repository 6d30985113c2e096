"""The commands of the READMEs, and local models and data in place of those that they name."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

WHISPER_TOKENS = 256
"""Hindi is many bytes in a tokenizer of English digits."""
VOCABULARY = (*["one", "two", "three", "four", "see", "off", "don", "t", "go"], "'", ",")
"""The words of the local LibriSpeech."""
GOLDEN = Path(__file__).parents[1] / "golden"
SCRIPTS = {
    "run_speech_recognition_ctc.py": "ctc",
    "run_speech_recognition_seq2seq.py": "seq2seq",
    "wav2vec.py": "bench",
}
CURRENT = {"ctc": "finetune-ctc", "seq2seq": "finetune-seq2seq", "bench": "bench"}


@dataclass(frozen=True)
class OldCommand:
    """A legacy command; `flags` as a shell and argparse parse them, `words` after the script."""

    id: str
    command: str
    flags: dict[str, Any]

    @property
    def script(self) -> str:
        return next(kind for name, kind in SCRIPTS.items() if name in self.command)

    @property
    def trains(self) -> bool:
        return "do_train" in self.flags

    @property
    def current(self) -> str:
        """The command that replaces it."""
        only_evaluates = self.script == "seq2seq" and not self.trains
        return "eval-seq2seq" if only_evaluates else CURRENT[self.script]

    @property
    def words(self) -> list[str]:
        words = shlex.split(self.command)
        index = next(i for i, word in enumerate(words) if Path(word).name in SCRIPTS)
        return words[index + 1 :]

    @property
    def is_for_gaudi(self) -> bool:
        return "use_habana" in self.flags


def read_commands(*scripts: str) -> list[OldCommand]:
    """Read the commands of some scripts, or of all."""
    listed = yaml.safe_load((GOLDEN / "old_commands.yaml").read_text(encoding="utf-8"))
    known = [one for one in listed if any(name in one["command"] for name in SCRIPTS)]
    commands = [OldCommand(one["id"], one["command"], one["flags"]) for one in known]
    return [one for one in commands if not scripts or one.script in scripts]


def read_flag_map() -> dict[str, Any]:
    """Read the committed map from flags to keys."""
    mapped: dict[str, Any] = yaml.safe_load((GOLDEN / "old_flags.yaml").read_text(encoding="utf-8"))
    return mapped


@dataclass(frozen=True)
class Local:
    """Local folders in place of the models and data that the commands name."""

    pretrained: Path
    trained: Path
    whisper: Path
    warm_started: Path
    librispeech: Path
    common_voice: Path
    hindi: Path


def write_local(root: Path) -> Local:
    """Write tiny random models, and data with the splits and columns of the real ones."""
    from helpers.standins import write_common_voice, write_hub_common_voice, write_librispeech
    from helpers.tiny_models import save_tiny_model
    from helpers.tiny_seq2seq import save_tiny_whisper

    letters = "abcdefghijklmnopqrstuvwxyz'"
    return Local(
        pretrained=save_tiny_model(root / "pretrained", head=False),
        trained=save_tiny_model(root / "trained", letters=letters),
        whisper=save_tiny_whisper(root / "whisper", max_target_positions=WHISPER_TOKENS),
        warm_started=_warm_start(root),
        librispeech=write_librispeech(root / "librispeech"),
        common_voice=write_common_voice(root / "common-voice", "turkish"),
        hindi=write_hub_common_voice(root / "hindi"),
    )


def _warm_start(root: Path) -> Path:
    """Write an encoder-decoder model as create-seq2seq does from two checkpoints."""
    from helpers.tiny_models import save_tiny_model
    from helpers.tiny_text_models import save_tiny_text_model

    from gaudi_asr_cli.core.models.seq2seq.warm_start import WarmStart, join, save_joined

    encoder = save_tiny_model(root / "encoder", "wav2vec2-layer-norm", head=False)
    decoder = save_tiny_text_model(root / "decoder", words=VOCABULARY)
    both = join(WarmStart(str(encoder), str(decoder), adapter_layers=1, max_tokens=40, beams=1))
    save_joined(both, root / "joined")
    return root / "joined"


def local_words(old: OldCommand, local: Local, run: Path, device: str) -> list[str]:
    """Return the command's own words, then options that make it small and local."""
    words = [*old.words, "--device", device]
    for name, path in _replacements(old, local).items():
        words += ["--in-place", f"{name}={path}"]
    if old.script == "bench":
        return [*words, "--limit", "2", "--repeat", "1"]
    steps = ["--max_steps", "2"] if old.trains else []
    return [*words, *steps, "--run", str(run)]


def _replacements(old: OldCommand, local: Local) -> dict[str, Path]:
    if old.script == "bench":
        model = "large-960h-lv60-self" if "large" in old.flags else "base-960h"
        sample = "dev_clean_ds" in old.flags
        data = "hf-internal-testing/librispeech_asr_dummy" if sample else "librispeech_asr"
        return {f"facebook/wav2vec2-{model}": local.trained, data: local.librispeech}
    dataset, model = old.flags["dataset_name"], old.flags["model_name_or_path"]
    return {model: _model(old, local), dataset: _data(dataset, local)}


def _model(old: OldCommand, local: Local) -> Path:
    name = old.flags["model_name_or_path"]
    if old.script == "seq2seq":
        return local.whisper if "whisper" in name else local.warm_started
    return local.trained if "960h" in name or not old.trains else local.pretrained


def _data(dataset: str, local: Local) -> Path:
    if dataset == "librispeech_asr":
        return local.librispeech
    return local.common_voice if dataset == "common_voice" else local.hindi
