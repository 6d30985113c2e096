"""A rank that dies, or has all stopped, at a chosen step; started instead of the package's own.

RANKED_DIES="RANK STEP": killed there before any restart. RANKED_STOPS="STEP PID": that process is
sent Ctrl-C when the first rank is there.
"""

from __future__ import annotations

import os
import signal

from helpers.killed import die_before

from gaudi_asr_cli.core.distributed.world import read_world


def arrange() -> None:
    from gaudi_asr_cli.core.training.trainer import PlannedMixin

    world = read_world()
    rank, step = map(int, os.environ.get("RANKED_DIES", "-1 0").split())
    if world.rank == rank and world.restarts == 0:
        die_before(PlannedMixin, "training_step", lambda t, *_: t.state.global_step == step)
    stops_at, starter = map(int, os.environ.get("RANKED_STOPS", "-1 0").split())
    if world.rank == 0 and stops_at >= 0:
        original = PlannedMixin.training_step

        def stopping(self, *args):
            if self.state.global_step == stops_at:
                os.kill(starter, signal.SIGINT)
            return original(self, *args)

        PlannedMixin.training_step = stopping


if __name__ == "__main__":
    arrange()
    from gaudi_asr_cli.cli.app import main

    main()
