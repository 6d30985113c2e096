"""The result of each utterance: a transcript or an error, and its timings."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.timing import PhaseClock, Stopwatch, Timing
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Output, Transcript

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.recognizer import Recognizer
    from gaudi_asr_cli.core.inference.scheduling import BatchedWork

NOT_FINITE = "The network's output is not finite; try --dtype fp32."
NOT_TIMED = Timing()


@dataclass(frozen=True, slots=True)
class TimedResult:
    """The result of one utterance, and how long each phase took."""

    done: UtteranceDone
    timing: Timing = NOT_TIMED


@dataclass(frozen=True, slots=True)
class BatchDecoder:
    """Decodes the output of batches to text; with `rows`, several utterances at once."""

    recognizer: Recognizer
    clock: PhaseClock
    rows: Executor | None = None

    def decode_batch(
        self, work: BatchedWork, output: Output, started: Stopwatch, waited_s: float
    ) -> list[TimedResult]:
        """Decode each member of a batch.

        Args:
            work: The batch.
            output: Its output.
            started: The time that launching it took, with features if these are part of it.
            waited_s: The time that waiting for it took.
        """
        features_s = work.features_s + started.features_s

        def decode(row: int) -> TimedResult:
            clip = work.members[row].clip
            with self.clock.time("text") as watch:
                done = self.decode_row(clip, output, row)
            timing = Timing(
                decode_audio_s=clip.decode_s,
                features_s=features_s,
                compute_s=started.seconds + waited_s,
                text_s=watch.seconds,
                padded_s=work.row_s,
                first_token_s=output.first_token_s and features_s + output.first_token_s,
            )
            return TimedResult(done, timing)

        numbers = range(len(work.members))
        return list(map(decode, numbers) if self.rows is None else self.rows.map(decode, numbers))

    def decode_row(self, clip: Clip, output: Output, row: int) -> UtteranceDone:
        """Decode one row to its transcript, or to the error why there is none."""
        if not output.is_finite(row):
            return report_failure(clip, NOT_FINITE)
        try:
            transcript = self.recognizer.decode(output, row, clip.utterance)
        except AsrError as error:
            return report_failure(clip, error.message)
        return report_success(clip, transcript)


def chosen_track(span: AudioSpan) -> int | None:
    """Return the number of the audio track, if it was chosen by its number."""
    return span.track if isinstance(span.track, int) else None


def report_success(clip: Clip, transcript: Transcript) -> UtteranceDone:
    """Return the event of a transcribed utterance."""
    silent = int((clip.samples != 0).argmax()) if len(clip.samples) else 0
    return UtteranceDone(
        utterance_id=clip.utterance.id,
        path=str(clip.utterance.audio.path),
        duration_s=len(clip.samples) / SAMPLE_RATE_HZ,
        transcript=begin_with_audio(transcript, clip.utterance.audio, silent / SAMPLE_RATE_HZ),
        speech_s=None if clip.speech is None else clip.speech.seconds,
        track=chosen_track(clip.utterance.audio),
    )


def begin_with_audio(transcript: Transcript, audio: AudioSpan, silent_s: float) -> Transcript:
    """Return the transcript with no word that begins in the digital silence before all audio.

    Audio that starts late on its container's clock has such silence, and a CTC model's borders of
    words extend into silence.
    """
    if not transcript.words:
        return transcript
    first_s = audio.start_s + silent_s
    first = transcript.words[0]
    if not first.start_s < first_s < first.end_s:
        return transcript
    characters = tuple(
        replace(one, start_s=max(one.start_s, first_s), end_s=max(one.end_s, first_s))
        for one in first.characters
    )
    first = replace(first, start_s=first_s, characters=characters)
    return replace(transcript, words=(first, *transcript.words[1:]))


def report_failure(clip: Clip, error: str) -> UtteranceDone:
    """Return the event of an utterance that could not be transcribed, and why."""
    return UtteranceDone(
        utterance_id=clip.utterance.id,
        path=str(clip.utterance.audio.path),
        duration_s=clip.utterance.audio.duration_s or 0.0,
        transcript=None,
        error=error,
        track=chosen_track(clip.utterance.audio),
    )
