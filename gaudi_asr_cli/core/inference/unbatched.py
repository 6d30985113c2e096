"""Unbatched transcription: one clip at a time, long ones in pieces, failures isolated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.recognizer import Blocks, Recognizer
from gaudi_asr_cli.core.inference.results import (
    NOT_FINITE,
    TimedResult,
    begin_with_audio,
    chosen_track,
    report_failure,
    report_success,
)
from gaudi_asr_cli.core.inference.timing import PhaseClock, Timing
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Segment, Transcript, Utterance

DecodeClip = Callable[[], TimedResult]
"""Decodes the text of a clip that the network has computed, on any thread."""
ReportUtteranceSegment = Callable[[Utterance, Segment], None]
"""Receives each part of long audio, with its utterance, as soon as its text is known."""


@dataclass(frozen=True, slots=True)
class UnbatchedTranscriber:
    """Transcribes one clip at a time.

    Args:
        recognizer: The model.
        clock: Adds up seconds by phase.
        report_lost: Receives the utterance and the seconds of a long file that were lost.
        open_long: Opens long audio as blocks, in order.
        report_segment: Receives the parts of long audio, with the utterance, as they come.
    """

    recognizer: Recognizer
    clock: PhaseClock
    report_lost: Callable[[Utterance, float], None]
    open_long: Callable[[AudioSpan], Iterator[LoadedAudio]]
    report_segment: ReportUtteranceSegment | None = None

    def transcribe(self, clip: Clip) -> TimedResult:
        """Transcribe a clip of any length; a failure becomes the error of its result."""
        return self.infer(clip)()

    def infer(self, clip: Clip) -> DecodeClip:
        """Run the network on a clip of any length; the text is decoded by the returned function."""
        if clip.error is not None:
            return _completed(report_failure(clip, clip.error))
        try:
            decode = self._infer_any(clip)
        except (AsrError, RuntimeError, MemoryError) as error:
            return _completed(_report_exception(clip, error))
        return partial(_decode_safely, clip, decode)

    def attempt(self, clip: Clip) -> TimedResult:
        """Transcribe a clip that was loaded, of any length; a failure is raised."""
        return self._infer_any(clip)()

    def _infer_any(self, clip: Clip) -> DecodeClip:
        if clip.is_silent:
            return _completed(report_success(clip, self._describe_silence(clip.utterance)))
        if clip.is_long:
            return self._infer_long(clip, partial(self.open_long, clip.utterance.audio))
        if len(clip.samples) > self.recognizer.max_chunk_s * SAMPLE_RATE_HZ:
            return self._infer_long(clip, lambda: iter([LoadedAudio(clip.samples)]))
        return self._infer_whole(clip)

    def _describe_silence(self, utterance: Utterance) -> Transcript:
        return Transcript(utterance.id, "", tokens=0 if self.recognizer.generates else None)

    def _infer_whole(self, clip: Clip) -> DecodeClip:
        with self.clock.time_compute() as compute:
            output = self.recognizer.infer(clip.samples, clip.utterance)
        if not output.is_finite(0):
            return _completed(report_failure(clip, NOT_FINITE))

        def decode() -> TimedResult:
            with self.clock.time("text") as text:
                transcript = self.recognizer.decode(output, 0, clip.utterance)
            timing = Timing(
                decode_audio_s=clip.decode_s,
                features_s=compute.features_s,
                compute_s=compute.seconds,
                text_s=text.seconds,
                padded_s=len(clip.samples) / SAMPLE_RATE_HZ,
                first_token_s=output.first_token_s and compute.features_s + output.first_token_s,
            )
            return TimedResult(report_success(clip, transcript), timing)

        return decode

    def _infer_long(self, clip: Clip, blocks: Blocks) -> DecodeClip:
        utterance, report = clip.utterance, None
        if self.report_segment is not None:
            report = partial(self.report_segment, utterance)
        with self.clock.time_compute() as compute:
            inferred = self.recognizer.infer_long(blocks, utterance, report)
        self.report_lost(utterance, inferred.lost_s)

        def decode() -> TimedResult:
            with self.clock.time("text") as text:
                result = inferred.decode()
            done = UtteranceDone(
                utterance_id=utterance.id,
                path=str(utterance.audio.path),
                duration_s=result.duration_s,
                transcript=begin_with_audio(result.transcript, utterance.audio, result.silent_s),
                speech_s=result.speech_s,
                track=chosen_track(utterance.audio),
            )
            timing = Timing(
                decode_audio_s=clip.decode_s,
                features_s=compute.features_s,
                compute_s=compute.seconds,
                text_s=text.seconds,
                padded_s=result.duration_s,
                first_token_s=result.first_token_s,
            )
            return TimedResult(done, timing)

        return decode


def _completed(done: UtteranceDone) -> DecodeClip:
    return lambda: TimedResult(done)


def _decode_safely(clip: Clip, decode: DecodeClip) -> TimedResult:
    try:
        return decode()
    except (AsrError, RuntimeError, MemoryError) as error:
        return TimedResult(_report_exception(clip, error))


def _report_exception(clip: Clip, error: Exception) -> UtteranceDone:
    if isinstance(error, AsrError):
        return report_failure(clip, error.message)
    # torch raises RuntimeError if memory runs out: this utterance was too long.
    first_line = str(error).partition("\n")[0]
    return report_failure(clip, first_line or type(error).__name__)
