"""A rank that is killed, or stops the run, at a chosen step; launched instead of the package.

RANKED_DIES="RANK STEP": that rank is killed at the step, unless restarted. RANKED_STOPS="STEP PID":
the first rank sends Ctrl-C to that process at the step.
"""

from __future__ import annotations

import os
import signal

from helpers.killed import die_before

from gaudi_asr_cli.core.distributed.world import read_world


def patch_steps() -> None:
    from gaudi_asr_cli.core.training.trainer import PlannedMixin

    world = read_world()
    rank, step = map(int, os.environ.get("RANKED_DIES", "-1 0").split())
    if world.rank == rank and world.restarts == 0:
        die_before(PlannedMixin, "training_step", lambda t, *_: t.state.global_step == step)
    stops_at, launching_pid = map(int, os.environ.get("RANKED_STOPS", "-1 0").split())
    if world.rank == 0 and stops_at >= 0:
        original = PlannedMixin.training_step

        def stopping(self, *args):
            if self.state.global_step == stops_at:
                os.kill(launching_pid, signal.SIGINT)
            return original(self, *args)

        PlannedMixin.training_step = stopping


if __name__ == "__main__":
    patch_steps()
    from gaudi_asr_cli.cli.app import main

    main()
