"""Commands of the old READMEs on a stand-in Gaudi in a process of its own, two steps each.

python drive_old_commands.py OUT     prints JSON: exit code, output and errors by command
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from helpers.old_commands import local_words, read_commands, write_local
from helpers.run import run_here

BENCHES = ("bench-base-bf16", "bench-large-fp32")
"""Commands that used a Gaudi without naming it; two of the six are enough."""


def main(out: Path) -> dict[str, Any]:
    local = write_local(out / "local")
    found: dict[str, Any] = {}
    for old in read_commands():
        if not (old.is_for_gaudi or old.id in BENCHES) or "deepspeed" in old.flags:
            continue
        words = local_words(old, local, out / old.id, "hpu")
        if "gradient_checkpointing" in old.flags:
            # torch's gradient checkpointing looks for devices that the stand-in does not emulate.
            words += ["--gradient_checkpointing", "False"]
        done = run_here(old.current, *words, "--json")
        found[old.id] = {
            "exit_code": done.exit_code,
            "stdout": done.stdout,
            "stderr": done.stderr[-3000:],
        }
    return found


if __name__ == "__main__":
    print("\n" + json.dumps(main(Path(sys.argv[1]))))
