"""Interrupt training runs at random moments, resume them, and compare with uninterrupted ones.

python tests/helpers/interrupted.py --cases 40 --seed 1 [--kinds plain,two] [--twice]

With --twice a run is killed (SIGKILL) soon after its first checkpoint, and the run that resumes it
soon after the first one of its own.

Runs are forks of this process, which has imported everything: each is a process of its own, that
starts at once. The ranks of a launch are real processes. A case is determined by seed and number.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
for name, value in {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "80"}.items():
    os.environ[name] = value
# Ranks import nothing before they compute: one thread must be set before this process does.

from helpers.tiny_corpus import write_corpus  # noqa: E402
from helpers.tiny_seq2seq import save_tiny_whisper  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

ORPHANS_END_S = 10.0
POLL_S = 0.03
TRACEBACK_SHOWN = 1500
RUN_LIMIT_S = 300.0
FIRST_MOMENT = (0.03, 0.4)
"""Share of a run's CPU time from which it is interrupted; ranks need most of theirs for imports."""
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: {-9, 0}, signal.SIGTERM: {143, 0}, signal.SIGINT: {130, 0}}
"""Exit codes after a signal; 0 where the run had finished."""

BASE = (
    "test=null", "eval.limit=3", "batching.batch=2", "batching.buckets=1", "dtype=fp32",
    "evaluation.every=7", "evaluation.save_every=3", "evaluation.log_every=2",
)  # fmt: skip
TINY = (
    "architecture.hidden_size=16", "architecture.intermediate_size=16",
    "architecture.num_attention_heads=2", "architecture.conv_dim=[8, 8, 8]",
    "architecture.num_conv_pos_embedding_groups=2", "network.hidden_dropout=0.1",
)  # fmt: skip
AUGMENTED = (
    "network.layerdrop=0.2", "network.mask_time_prob=0.3", "network.mask_time_length=2",
    "augment.speed=0.1",
)  # fmt: skip
WHISPER = ("language=en", "generation.max_tokens=6", "network.encoder={dropout: 0.1}")


@dataclass(frozen=True)
class Kind:
    """A kind of run: the command, its settings, and options that a resume needs too."""

    command: str
    settings: tuple[str, ...]
    options: tuple[str, ...] = ()


KINDS = {
    "plain": Kind("finetune-ctc", (*BASE, *TINY, "max_steps=40")),
    "augmented": Kind("finetune-ctc", (*BASE, *TINY, *AUGMENTED, "max_steps=40")),
    "accumulating": Kind(
        "finetune-ctc", (*BASE, *TINY, *AUGMENTED, "batching.accumulate=3", "max_steps=20")
    ),
    "encoder-decoder": Kind("finetune-seq2seq", (*BASE, *WHISPER, "max_steps=40")),
    "two": Kind(
        "finetune-ctc", (*BASE, *TINY, *AUGMENTED, "max_steps=120"), ("--cards", "2")
    ),
}  # fmt: skip


@dataclass
class Bench:
    """The corpus, the model, and the uninterrupted run of each kind with its CPU time."""

    root: Path
    wholes: dict[str, tuple[Path, float]]

    def words(self, kind: Kind, run: Path) -> list[str]:
        corpus = self.root / "corpus" / "manifest.jsonl"
        data = [f"train.data={corpus}", f"eval.data={corpus}"]
        recipe = ["--recipe", "digits"]
        if kind.command == "finetune-seq2seq":
            recipe, data = [], [*data, f"model={self.root / 'whisper'}"]
        settings = [word for one in (*data, *kind.settings) for word in ("--set", one)]
        return [kind.command, *recipe, *settings, *kind.options, "--device", "cpu",
                "--run", str(run)]  # fmt: skip


def start(words: Sequence[str], log: Path) -> int:
    """Fork a process that runs the command; return its id, also that of its process group."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        from gaudi_asr_cli.cli.app import main

        sys.argv = ["gaudi-asr", *words]
        main(words)
        code = 0
    except SystemExit as exit_:
        code = int(str(exit_.code or 0))
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def await_end(pid: int) -> tuple[int, float]:
    """Return the exit code of a process, or minus the signal that ended it, and its CPU time."""
    until_s = time.monotonic() + RUN_LIMIT_S
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        if time.monotonic() > until_s:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError(f"a run took more than {RUN_LIMIT_S} s")
        time.sleep(POLL_S)


def await_moment(pid: int, run: Path, cpu_s: float) -> None:
    """Wait until a run has used so much CPU time, which another load does not change."""
    while True:
        used_s = 0.0
        for one in {pid, *find_processes(run, pid)}:
            with contextlib.suppress(OSError, ValueError):
                fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
                used_s += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        if used_s >= cpu_s or has_ended(pid):
            return
        time.sleep(POLL_S)


def has_ended(pid: int) -> bool:
    """Return whether a process has ended, and leave its exit code for `await_end`."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def find_newest_step(run: Path) -> int:
    """Return the step of the newest checkpoint; 0 without one."""
    names = [path.name.partition("-")[2] for path in run.glob("checkpoints/checkpoint-*")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def find_processes(run: Path, group: int) -> list[int]:
    """Return the live processes of a run: of its group, or with its folder as an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, pgrp = (path / "stat").read_text().rpartition(")")[2].split()[:3]
            named = str(run).encode() in (path / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue
        if state != "Z" and (named or int(pgrp) == group):
            found.append(int(path.name))
    return found


def result_of(run: Path) -> dict[str, Any]:
    """Return everything that an interruption must not change."""
    report = json.loads((run / "report.json").read_text())
    weights = load_file(run / "model" / "model.safetensors")
    return {
        "weights": {name: value.tobytes() for name, value in weights.items()},
        "predictions": (run / "predictions.jsonl").read_bytes(),
        "steps": (report["steps"], report["epochs"], report["best_step"]),
        "audio": (report["train"]["audio_s"], report["train"]["padding"]),
        "curve": report["train"]["curve"],
        "wer": report["eval"]["wer"],
    }


def prepare_bench(root: Path, kinds: Sequence[str]) -> Bench:
    """Write corpus and model, and train each kind without an interruption."""
    write_corpus(root / "corpus", utterances=13)
    bench = Bench(root, {})
    # In a fork, so that this process itself computes nothing.
    pid = os.fork()
    if not pid:
        save_tiny_whisper(root / "whisper")
        os._exit(0)
    assert await_end(pid)[0] == 0
    for name in kinds:
        run, log = root / f"whole-{name}", root / f"whole-{name}.log"
        code, cpu_s = await_end(start(bench.words(KINDS[name], run), log))
        assert code == 0, log.read_text()
        bench.wholes[name] = (run, cpu_s)
        print(f"{name}: uninterrupted in {cpu_s:.1f} s of CPU time", flush=True)
    return bench


@dataclass
class Case:
    """A run that is interrupted by a signal after `cpu_s` seconds of CPU time."""

    name: str
    run: Path
    log: Path
    sent: signal.Signals
    cpu_s: float
    to_child: bool

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    def interrupt(self, bench: Bench) -> list[str]:
        """Start the run and interrupt it; return what is wrong with its end."""
        pid = start(bench.words(self.kind, self.run), self.log)
        await_moment(pid, self.run, self.cpu_s)
        return self.end(pid)

    def interrupt_after_checkpoint(self, bench: Bench, delay_s: float) -> list[str]:
        """Start or resume the run and kill it soon after its next checkpoint."""
        newest = find_newest_step(self.run)
        pid = start(self.words(bench), self.log)
        while find_newest_step(self.run) <= newest and not has_ended(pid):
            time.sleep(POLL_S)
        time.sleep(delay_s)
        return self.end(pid)

    def end(self, pid: int) -> list[str]:
        """Send the signal; return what is wrong with the end of the run."""
        others = [one for one in find_processes(self.run, pid) if one != pid]
        self.to_child = self.to_child and bool(others)
        with contextlib.suppress(ProcessLookupError):
            os.kill(others[-1] if self.to_child else pid, self.sent)
        code, _ = await_end(pid)
        until_s = time.monotonic() + ORPHANS_END_S
        while find_processes(self.run, pid) and time.monotonic() < until_s:
            time.sleep(POLL_S)
        orphans = find_processes(self.run, pid)
        wrong = [f"processes {orphans} outlived it"] if orphans else []
        if not self.to_child and code not in CODES[self.sent]:
            wrong.append(f"exit code {code}")
        _, found, after = self.log.read_text(errors="replace").partition("Traceback")
        if found:
            wrong.append(f"a traceback: {after[:TRACEBACK_SHOWN]}")
        return wrong

    def resume(self, bench: Bench) -> list[str]:
        """Resume the run, or start it again where it had not begun; return what is wrong."""
        code, _ = await_end(start(self.words(bench), self.log))
        if code != 0:
            return [f"it could not be continued: exit code {code}"]
        found, whole = result_of(self.run), result_of(bench.wholes[self.name][0])
        different = [name for name, value in whole.items() if found[name] != value]
        return [f"another result: {', '.join(different)}"] if different else []

    def words(self, bench: Bench) -> list[str]:
        """Return the command that starts the run, or resumes it where it has begun."""
        if not self.has_recipe():
            return bench.words(self.kind, self.run)
        options = [*self.kind.options, "--device", "cpu", "--run", str(self.run)]
        return [self.kind.command, "--resume", *options]

    def has_recipe(self) -> bool:
        return (self.run / "recipe.yaml").is_file()


def plan_case(bench: Bench, kinds: Sequence[str], number: int, seed: int) -> Case:
    """Return a case; signals and kinds alternate, the moment is random."""
    rng = random.Random(f"{seed}:{number}")
    name, sent = kinds[number % len(kinds)], SIGNALS[number % len(SIGNALS)]
    return Case(
        name,
        bench.root / f"case-{number}",
        bench.root / f"case-{number}.log",
        sent,
        rng.uniform(FIRST_MOMENT[name == "two"], 0.98) * bench.wholes[name][1],
        to_child=name == "two" and sent == signal.SIGKILL and rng.random() < 0.3,
    )


def run_case(bench: Bench, kinds: Sequence[str], number: int, seed: int) -> list[str]:
    """Interrupt a run once and resume it; return what is wrong."""
    case = plan_case(bench, kinds, number, seed)
    wrong = case.interrupt(bench)
    steps = sorted(path.name for path in case.run.glob("checkpoints/checkpoint-*"))
    how = "resumed" if case.has_recipe() else "started again"
    wrong += case.resume(bench)
    print(
        f"{number} {case.name} {case.sent.name}{' to a child' if case.to_child else ''} after "
        f"{case.cpu_s:.2f} s of {bench.wholes[case.name][1]:.2f}: {', '.join(steps)} {how}: "
        f"{'; '.join(wrong) or 'equal'}",
        flush=True,
    )
    if not wrong:
        shutil.rmtree(case.run)
    return wrong


def run_twice(bench: Bench, kinds: Sequence[str], number: int, seed: int) -> list[str]:
    """Kill a run and the run that resumes it, and resume again; return what is wrong."""
    rng = random.Random(f"{seed}:{number}:twice")
    name = kinds[number % len(kinds)]
    run, log = bench.root / f"twice-{number}", bench.root / f"twice-{number}.log"
    wrong, story = [], []
    for _ in range(2):
        to_child = "--cards" in KINDS[name].options and rng.random() < 0.5
        case = Case(name, run, log, signal.SIGKILL, 0.0, to_child)
        wrong += case.interrupt_after_checkpoint(bench, rng.uniform(0.0, 0.5))
        whom = "a rank" if case.to_child else "the launcher" if case.kind.options else "the run"
        story.append(f"{whom} after step {find_newest_step(run)}")
    wrong += case.resume(bench)
    print(
        f"{number} {name} killed {', then '.join(story)}: {'; '.join(wrong) or 'equal'}", flush=True
    )
    if not wrong:
        shutil.rmtree(run)
    return wrong


def import_everything() -> None:
    """Import what a training run imports, once for all forks."""
    import accelerate  # noqa: F401
    import torch._dynamo  # noqa: F401
    from transformers import Trainer  # noqa: F401

    from gaudi_asr_cli.core.training import callbacks  # noqa: F401
    from gaudi_asr_cli.core.workflows.finetune import run  # noqa: F401


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--twice", action="store_true")
    given = parser.parse_args()
    kinds = given.kinds.split(",")
    import_everything()
    root = Path(tempfile.mkdtemp(prefix="gaudi-asr-interrupted-"))
    started_s = time.monotonic()
    bench = prepare_bench(root, kinds)
    wrong = [
        f"case {number}: {'; '.join(found)}"
        for number in range(given.cases)
        if (found := (run_twice if given.twice else run_case)(bench, kinds, number, given.seed))
    ]
    print(f"{given.cases} cases in {time.monotonic() - started_s:.0f} s, {len(wrong)} wrong")
    if wrong:
        print("\n".join(wrong), f"in {root}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
