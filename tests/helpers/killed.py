"""Run a command in this process and kill it (SIGKILL) at a chosen moment of its training.

python killed.py MOMENT STEP ARGUMENTS...   MOMENT: step, in-checkpoint, after-checkpoint, finishing
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def die_before(owner: Any, name: str, due: Callable[..., bool]) -> None:
    """Replace a method by one that kills the process before its own work when it is due."""
    original = getattr(owner, name)

    def killing(self: Any, *args: Any, **more: Any) -> Any:
        if due(self, *args, **more):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args, **more)

    setattr(owner, name, killing)


def patch_kill(moment: str, step: int) -> None:
    from transformers import Trainer

    from gaudi_asr_cli.core.training import callbacks, session
    from gaudi_asr_cli.core.training.trainer import PlannedMixin

    if moment == "step":
        die_before(PlannedMixin, "training_step", lambda t, *_: t.state.global_step == step)
    elif moment == "in-checkpoint":
        # The weights are written; optimiser and random states are not.
        die_before(
            Trainer, "_save_optimizer_and_scheduler", lambda t, *_: t.state.global_step == step
        )
    elif moment == "after-checkpoint":
        # Marked as complete, older ones not yet removed.
        die_before(callbacks, "rmtree", lambda path: True)
    elif moment == "finishing":
        die_before(session, "outcome", lambda *_: True)


if __name__ == "__main__":
    patch_kill(sys.argv[1], int(sys.argv[2]))
    from gaudi_asr_cli.cli.app import main

    main(sys.argv[3:])
