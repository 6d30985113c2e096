"""What became of each utterance: a transcript or an error, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.decoding import Decoder
from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.timing import PhaseClock, Timing
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Output, Transcript

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.scheduling import BatchedWork

NOT_FINITE = "The network's numbers are not finite; try --dtype fp32."
NOT_TIMED = Timing()


@dataclass(frozen=True, slots=True)
class TimedResult:
    """What became of one utterance, and how long each part of it took."""

    done: UtteranceDone
    timing: Timing = NOT_TIMED


@dataclass(frozen=True, slots=True)
class BatchDecoder:
    """Turns what was heard in batches into text."""

    decoder: Decoder
    clock: PhaseClock

    def write(self, work: BatchedWork, output: Output, compute_s: float) -> list[TimedResult]:
        """What was heard in each member of a batch; `compute_s` is what the whole of it took."""
        heard = []
        for row, member in enumerate(work.members):
            sound = member.sound
            with self.clock.time("text") as watch:
                done = self.write_row(sound, output, row)
            timing = Timing(
                decode_audio_s=sound.decode_s,
                features_s=work.features_s,
                compute_s=compute_s,
                text_s=watch.seconds,
                padded_s=work.row_s,
            )
            heard.append(TimedResult(done, timing))
        return heard

    def write_row(self, sound: Clip, output: Output, row: int) -> UtteranceDone:
        """The transcript of one row, or the error why there is none."""
        if not output.is_finite(row):
            return name_failure(sound, NOT_FINITE)
        try:
            transcript = self.decoder.decode(output, row, sound.utterance)
        except AsrError as error:
            return name_failure(sound, error.message)
        return name_success(sound, transcript)


def name_success(sound: Clip, transcript: Transcript) -> UtteranceDone:
    """An utterance that was heard."""
    return UtteranceDone(
        utterance_id=sound.utterance.id,
        path=str(sound.utterance.audio.path),
        duration_s=len(sound.samples) / SAMPLE_RATE_HZ,
        transcript=transcript,
    )


def name_failure(sound: Clip, error: str) -> UtteranceDone:
    """An utterance that could not be heard, and why."""
    return UtteranceDone(
        utterance_id=sound.utterance.id,
        path=str(sound.utterance.audio.path),
        duration_s=sound.utterance.audio.duration_s or 0.0,
        transcript=None,
        error=error,
    )
