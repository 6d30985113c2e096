"""How much of a run a slow decoder and a slow network overlap; as a program, on a Gaudi.

python -m helpers.slow_decoder FOLDER     with the stand-in on PYTHONPATH; prints the phases
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.inference.ctc import accelerate
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.records import AudioSpan, Utterance

BATCHES, STEP_S, LONG_S = 12, 0.1, 31


class SlowDecoder:
    """Decodes as a greedy decoder, in `STEP_S` for each text, however it came to be."""

    def __init__(self, vocabulary: Any) -> None:
        self._greedy = GreedyDecoder(vocabulary)

    def decode(self, output: Any, index: int, utterance: Utterance) -> Any:
        return self.assemble([self.condense(output, index)], utterance)

    def condense(self, output: Any, index: int) -> Any:
        return self._greedy.condense(output, index)

    def assemble(self, parts: Any, utterance: Utterance) -> Any:
        time.sleep(STEP_S)
        return self._greedy.assemble(parts, utterance)


def measure_overlap(folder: Path, device: Any) -> dict[str, float]:
    """Return the phases of batches of one clip, every third of them long, and the wall time."""
    options = InferenceOptions(dtype="fp32", batch_s=1.0, edges_s=(1.0,))
    recognizer = accelerate(open_ctc_model(str(folder), device=device, dtype="fp32"), options)
    assert recognizer.backend == "batched"
    network = recognizer.model.network
    forward = network.forward

    def slow(*inputs: Any, **named: Any) -> Any:
        time.sleep(STEP_S)
        return forward(*inputs, **named)

    def load(span: AudioSpan) -> LoadedAudio:
        seconds = LONG_S if int(span.path.name) % 3 == 2 else 1
        noise = np.random.default_rng(0).standard_normal(seconds * 16_000)
        return LoadedAudio((0.1 * noise).astype(np.float32))

    recognizer = dataclasses.replace(recognizer, decoder=SlowDecoder(recognizer.model.vocabulary))
    clips = [Utterance(str(one), AudioSpan(Path(str(one)))) for one in range(BATCHES)]
    # What is compiled or captured first is no part of the measurement.
    list(transcribe(recognizer, clips[:3], load=load))
    network.forward = slow
    clock, started = PhaseClock(), time.perf_counter()
    done = list(transcribe(recognizer, clips, load=load, clock=clock))
    wall_s = time.perf_counter() - started
    assert [one.error for one in done] == [None] * BATCHES
    assert [one.utterance_id for one in done] == [one.id for one in clips]
    return {**clock.phases_s, "wall": wall_s}


def main() -> None:
    """Measure on the stand-in."""
    from gaudi_asr_cli.core.devices import open_device
    from gaudi_asr_cli.core.runtime import configure

    device = open_device("hpu", hpu_mode="lazy")
    configure(device)
    sys.stdout.write(json.dumps(measure_overlap(Path(sys.argv[1]), device)) + "\n")


if __name__ == "__main__":
    main()
