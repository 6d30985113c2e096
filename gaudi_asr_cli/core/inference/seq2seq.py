"""Inference with encoder-decoder (seq2seq) models: batches, and long-form algorithms."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.decoding.hypotheses import HypothesisDecoder
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.inference.ahead import RunAhead
from gaudi_asr_cli.core.inference.long_form import (
    WHOLE_AUDIO,
    BlockCounter,
    InferredLong,
    LongFormResult,
    ReportSegment,
)
from gaudi_asr_cli.core.inference.network_queue import (
    GenerationCall,
    NetworkCall,
    NetworkQueue,
    QueuedGenerator,
    count_rows,
    join_windows_of,
    split_rows,
)
from gaudi_asr_cli.core.inference.options import DEFAULT_OPTIONS, InferenceOptions
from gaudi_asr_cli.core.inference.overlapping import (
    cut_overlapping,
    generate_overlapping,
)
from gaudi_asr_cli.core.inference.prompting import NO_PROMPT, Prompting
from gaudi_asr_cli.core.inference.recognizer import (
    Blocks,
    CompletedOutput,
    PipelineArguments,
    PreparedBatch,
    batch_one,
)
from gaudi_asr_cli.core.inference.results import NOT_FINITE
from gaudi_asr_cli.core.inference.seq2seq_options import (
    Seq2SeqGenerator,
    check_long,
    choose_batch_size,
    plan_batching,
    reject_ctc_options,
    settle_options,
    window_of,
)
from gaudi_asr_cli.core.inference.sequential import (
    MEL_FRAME_S,
    NO_SPEECH,
    MelStream,
    MelWindow,
    WindowBatches,
    find_lost_speech,
    generate_sequentially,
    measure_spectra,
)
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.vad import (
    LEVEL_DETECTOR,
    SPEECH_MARGIN_S,
    SPEECH_PAUSE_S,
    SpeechDetector,
    SpeechFinder,
    cut_at_pauses,
    cut_parts,
    open_detector,
    pack_spans,
)
from gaudi_asr_cli.core.models.cpu.precision import choose_precision
from gaudi_asr_cli.core.models.cpu.whisper_generation import CpuWhisper, pack_whisper
from gaudi_asr_cli.core.models.features import Frontend
from gaudi_asr_cli.core.models.log_mel import LogMel
from gaudi_asr_cli.core.models.seq2seq.generation import (
    Generation,
    predicts_timestamps,
    resolve_generation,
)
from gaudi_asr_cli.core.models.seq2seq.model import (
    Seq2SeqModel,
    open_seq2seq_model,
    open_tokenizer,
)
from gaudi_asr_cli.core.models.seq2seq.sequences import TIME_S
from gaudi_asr_cli.core.models.threads import is_small
from gaudi_asr_cli.core.records import (
    SAMPLE_RATE_HZ,
    AudioBatch,
    AudioSpan,
    Generated,
    Hypothesis,
    Speech,
    Transcript,
    Utterance,
)
from gaudi_asr_cli.core.runtime import limit_threads

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

PART_S = 120.0
"""Seconds of the parts of long audio whose windows share batches. Shorter ones cost words
(docs/log.md): a pause does not always end a sentence."""
PART_PAUSE_S = 1.0
"""Seconds of pauses between parts of audio that is transcribed whole. The rest of a part that is
not transcribed, `TAIL_FRAMES`, is no longer than half of it."""
WINDOW_UTTERANCE = Utterance("window", AudioSpan(Path()))


@dataclass(frozen=True, slots=True)
class Seq2SeqRecognizer:
    """A `Recognizer` of a seq2seq model, in batches.

    Args:
        model: The model that generates.
        generation_config: Language, task, maximum length and beams.
        batching: From `plan_batching`.
        long: One of `LONG_FORM_ALGORITHMS`.
        buckets: Number of length buckets.
        clock: Times feature extraction as the phase `features`.
        prompting: The text before that of each window of long audio.
        vad: Detects speech; long audio is cut at its pauses.
        word_times: Whether times of words are needed.
    """

    model: Seq2SeqGenerator
    generation_config: Generation
    batching: Batching
    long: str = "auto"
    buckets: int = 6
    clock: PhaseClock | None = None
    prompting: Prompting = NO_PROMPT
    vad: SpeechDetector | None = None
    word_times: bool = False

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def decoder(self) -> None:
        """Return None: the model generates text."""

    @property
    def dtype(self) -> str:
        return self.model.dtype

    @property
    def device(self) -> Device:
        return self.model.device

    @property
    def backend(self) -> str:
        return "packed" if isinstance(self.model, CpuWhisper) else "transformers"

    @property
    def parallel(self) -> int:
        return 1

    @property
    def graphs(self) -> None:
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @property
    def phonemes_of(self) -> None:
        return None

    @property
    def generates(self) -> bool:
        return True

    @property
    def max_chunk_s(self) -> float:
        """Return the length of a window; longer audio is transcribed long-form."""
        return window_of(self.model)

    def suggest_case(self, sample: str) -> str:
        """Return `keep`: a tokenizer has tokens of either case."""
        return "keep"

    def count_samples(self, padded_s: float) -> int:
        """Return the number of samples in a row padded to `padded_s` seconds."""
        return int(np.ceil(padded_s * SAMPLE_RATE_HZ - 1e-6))

    def prepare(self, batch: AudioBatch) -> PreparedBatch:
        """Extract features on the calling thread; for a CPU leave them to `start`.

        Torch would otherwise start a second set of threads, and the two would compete for cores.
        """
        is_async = self.model.device.is_async
        return PreparedBatch(batch, self.frontend.prepare(batch) if is_async else {})

    def start(self, prepared: PreparedBatch) -> CompletedOutput:
        """Generate a batch; a decoder waits for each of its tokens, so the output is complete."""
        inputs = prepared.inputs or self.extract_features(prepared.batch)
        return CompletedOutput(self._generate_clips(prepared.batch, inputs))

    def infer(self, samples: Samples, utterance: Utterance) -> Generated:
        batch = batch_one(samples, utterance)
        return self._generate_clips(batch, self.extract_features(batch))

    def _generate_clips(self, batch: AudioBatch, inputs: Mapping[str, torch.Tensor]) -> Generated:
        """Generate the texts of clips; segments are left out where no times are needed."""
        frames = self.count_frames(batch.lengths)
        generated = self.model.generate_from(inputs, self.generation_config, frames)
        if not self.generation_config.timestamps:
            return generated
        clips = (row[:length] for row, length in zip(batch.samples, batch.lengths, strict=True))
        rows = tuple(map(self._complete, generated.rows, clips))
        if not self.word_times:
            rows = tuple(replace(row, segments=()) for row in rows)
        return replace(generated, rows=rows)

    def _complete(self, hypothesis: Hypothesis, samples: Samples) -> Hypothesis:
        """Return the hypothesis of a clip (T,), as of long audio if speech follows the text."""
        tokens, reader = hypothesis.tokens, self.model.reader
        whole = Speech(((0.0, len(samples) / SAMPLE_RATE_HZ),))
        if self.vad is None or not find_lost_speech(tokens, reader, whole).spans:
            return hypothesis
        if not find_lost_speech(tokens, reader, self.vad.find(samples)).spans:
            return hypothesis
        finder = SpeechFinder(self.vad)
        return self._generate_long(lambda: iter([samples]), _Windows(self), finder, None)

    def count_frames(self, lengths: Iterable[int]) -> list[int] | None:
        """Return the encoder's frames of clips of these samples, where times of words are needed.

        Only a Whisper, which has timestamps, has them.
        """
        if not self.word_times or not predicts_timestamps(self.model.settings):
            return None
        return [int(one) // round(TIME_S * SAMPLE_RATE_HZ) for one in lengths]

    def extract_features(self, batch: AudioBatch) -> dict[str, torch.Tensor]:
        """Return the inputs of the network for a batch."""
        with nullcontext() if self.clock is None else self.clock.time("features"):
            return self.frontend.prepare(batch)

    @property
    def frontend(self) -> Frontend | LogMel:
        """Return the feature extraction: with fallback as in openai-whisper, else transformers.

        They differ in what follows the audio in a window of a Whisper. One that was trained here
        receives what it was trained on.
        """
        own = self.model.frontend
        falls_back = len(self.generation_config.fallback.temperatures) > 1
        if not falls_back or not isinstance(own, LogMel) or own.expects_silence:
            return own
        return replace(own, fills_with_zeros=True)

    def decode(self, output: Any, row: int, utterance: Utterance) -> Transcript:
        return HypothesisDecoder().decode(output, row, utterance)

    def infer_long(
        self, blocks: Blocks, utterance: Utterance, report: ReportSegment | None = None
    ) -> InferredLong:
        """Generate the text of audio that is read block by block while the network runs."""
        counter = BlockCounter()

        def opened() -> Iterator[Samples]:
            counter.reset()
            with RunAhead(blocks(), lambda block: len(block.samples), 0, "read-blocks") as ahead:
                yield from counter.count(ahead)

        windows = _Windows(self)
        finder = None if self.vad is None else SpeechFinder(self.vad)
        hypothesis = self._generate_long(opened, windows, finder, report)
        speech_s = None if finder is None else finder.speech.seconds
        transcript = HypothesisDecoder().assemble([hypothesis], utterance)
        result = LongFormResult(
            transcript,
            counter.duration_s,
            counter.lost_s,
            windows.first_token_s,
            speech_s,
            counter.silent_s,
        )
        return InferredLong(counter.lost_s, lambda: result)

    def _generate_long(
        self,
        blocks: Callable[[], Iterator[Samples]],
        windows: _Windows,
        finder: SpeechFinder | None,
        report: ReportSegment | None,
    ) -> Hypothesis:
        frontend = self.model.frontend
        advances = self._is_sequential or (
            finder is not None and predicts_timestamps(self.model.settings)
        )
        if isinstance(frontend, LogMel) and advances:
            pauses = SpeechFinder(LEVEL_DETECTOR) if finder is None else finder
            loudest, kept = measure_spectra(frontend, pauses.watch(blocks()))
            spectra = frontend.stream(blocks()) if kept is None else iter(kept)
            parts = self._cut_parts(pauses.speech, is_whole=finder is None)
            speech = NO_SPEECH if finder is None else finder.speech
            return generate_sequentially(
                MelStream(frontend, spectra, loudest, parts, speech),
                windows.generate_mel,
                self.model.reader,
                self.prompting,
                report,
                self._window_batches,
            )
        windowed: Iterable[tuple[float, float]] = WHOLE_AUDIO
        if finder is not None:
            deque(finder.watch(blocks()), maxlen=0)
            windowed = pack_spans(finder.speech, self.max_chunk_s, SPEECH_MARGIN_S)
        return generate_overlapping(
            cut_overlapping(blocks(), self.max_chunk_s, windowed),
            windows.generate_batch,
            self.batching.utterances or 1,
            self.max_chunk_s,
            report,
        )

    def _cut_parts(self, speech: Speech, *, is_whole: bool) -> tuple[tuple[float, float], ...]:
        """Return the parts that are transcribed side by side: of the whole audio, or its speech."""
        # Text that is conditioned on that before it cannot be generated side by side.
        part_s = inf if self.prompting.conditions else PART_S
        if not is_whole:
            parts = cut_parts(speech, part_s, pause_s=SPEECH_PAUSE_S, margin_s=SPEECH_MARGIN_S)
            return tuple(parts)
        part_s = inf if self.long == "sequential" else part_s
        return tuple(cut_at_pauses(speech, part_s, pause_s=PART_PAUSE_S))

    @property
    def _window_batches(self) -> WindowBatches:
        resolved = resolve_generation(self.generation_config, self.model.settings, self.name)
        return WindowBatches(
            self.batching.utterances or 1,
            self.batching.static_shapes,
            resolved.task is not None and resolved.language is None,
            self._threads,
        )

    @property
    def _threads(self) -> int:
        """Return the threads that may generate a batch each."""
        import torch

        return torch.get_num_threads() if isinstance(self.model, CpuWhisper) else 1

    @property
    def _is_sequential(self) -> bool:
        return self.long == "sequential" or (
            self.long == "auto" and predicts_timestamps(self.model.settings)
        )

    def timed(self, clock: PhaseClock) -> Seq2SeqRecognizer:
        return replace(self, clock=clock)

    def in_padded_batches(self) -> None:
        """Return None: it is batched already."""

    def with_options(self, options: InferenceOptions) -> Seq2SeqRecognizer:
        reject_ctc_options(self.name, options)
        settings = self.model.settings
        resolve_generation(options.generation, settings, self.name)
        check_long(options.long, settings, self.name)
        vad = open_detector(options.vad, by_default=isinstance(self.model.frontend, LogMel))
        generation_config, prompting = settle_options(options, self.model, vad)
        return replace(
            self,
            generation_config=generation_config,
            long=options.long,
            prompting=prompting,
            vad=vad,
            word_times=options.timestamps == "word",
        )

    def queued(self, queue: NetworkQueue) -> Seq2SeqRecognizer:
        return replace(self, model=QueuedGenerator(self.model, queue, self.max_chunk_s))

    def run_calls(self, calls: Sequence[NetworkCall]) -> list[Generated]:
        windows = [call for call in calls if isinstance(call, GenerationCall)]
        inputs, frames = join_windows_of(windows, count_rows(windows, self.batching))
        config = windows[0].generation_config
        if not isinstance(self.model, CpuWhisper):
            return split_rows(self.model.generate_from(inputs, config, frames), windows)
        encoded = [one for call in windows for one in call.encoded]
        encoded = encoded or self.model.encode(inputs["input_features"])
        output = self.model.generate_encoded(encoded, config, frames)
        return split_rows(replace(output, encoded=tuple(encoded)), windows)

    def pipeline_arguments(self, scratch: Path) -> PipelineArguments:
        model = self.model
        assert isinstance(model, Seq2SeqModel)  # noqa: S101 - as promised by the mode
        return seq2seq_pipeline(model, self.generation_config)


class _Windows:
    """Generates the windows of long audio; `first_token_s` is the time to the first token."""

    def __init__(self, recognizer: Seq2SeqRecognizer) -> None:
        self._recognizer = recognizer
        self._started_s = time.perf_counter()
        self.first_token_s: float | None = None

    def generate_mel(
        self, windows: Sequence[MelWindow], language: str | None, previous: tuple[int, ...]
    ) -> tuple[Hypothesis, ...]:
        """Generate windows of features. See `GenerateMelWindows`."""
        import torch

        generation_config = self._recognizer.generation_config
        language = generation_config.language or language
        generation_config = replace(generation_config, language=language, previous=previous)
        samples_per_frame = round(MEL_FRAME_S * SAMPLE_RATE_HZ)
        counts = self._recognizer.count_frames(one.frames * samples_per_frame for one in windows)
        inputs = {"input_features": torch.stack([one.features for one in windows])}
        return self._generate(inputs, generation_config, counts)

    def generate_batch(self, windows: list[Samples]) -> tuple[Hypothesis, ...]:
        """Generate windows (T,) with timestamps, in one batch."""
        lengths = np.array([len(one) for one in windows], dtype=np.int64)
        samples = np.zeros((len(windows), int(lengths.max())), dtype=np.float32)  # (B, T)
        for row, window in enumerate(windows):
            samples[row, : len(window)] = window
        batch = AudioBatch((WINDOW_UTTERANCE,) * len(windows), samples, lengths)
        inputs = self._recognizer.extract_features(batch)
        frames = self._recognizer.count_frames(lengths)
        return self._generate(inputs, self._recognizer.generation_config, frames)

    def _generate(
        self,
        inputs: Mapping[str, torch.Tensor],
        generation_config: Generation,
        frames: Sequence[int] | None,
    ) -> tuple[Hypothesis, ...]:
        recognizer = self._recognizer
        generation_config = replace(generation_config, timestamps=True)
        before_s = time.perf_counter() - self._started_s
        generated = recognizer.model.generate_from(inputs, generation_config, frames)
        if self.first_token_s is None and generated.first_token_s is not None:
            self.first_token_s = before_s + generated.first_token_s
        if not all(one.finite for one in generated.rows):
            raise RuntimeError(NOT_FINITE)
        return generated.rows


def open_seq2seq_recognizer(
    name: str, device: Device, options: InferenceOptions = DEFAULT_OPTIONS
) -> Seq2SeqRecognizer:
    """Open a seq2seq model for inference only; see `open_recognizer`."""
    reject_ctc_options(name, options)
    model = open_seq2seq_model(name, device=device, dtype=options.network_dtype)
    resolve_generation(options.generation, model.settings, model.name)
    check_long(options.long, model.settings, model.name)
    if is_small(model):
        limit_threads(1)
    precision = choose_precision(options.dtype, model.dtype)
    packed = None if options.mode == "transformers" else pack_whisper(model, precision)
    if packed is None:
        options.reject_integers(name)
    generator = packed or model.loaded()
    vad = open_detector(options.vad, by_default=isinstance(generator.frontend, LogMel))
    generation_config, prompting = settle_options(options, generator, vad)
    return Seq2SeqRecognizer(
        generator,
        generation_config,
        plan_batching(generator, choose_batch_size(generator, options)),
        options.long,
        prompting=prompting,
        vad=vad,
        word_times=options.timestamps == "word",
    )


def seq2seq_pipeline(model: Seq2SeqModel, generation_config: Generation) -> PipelineArguments:
    """Return the arguments of transformers' pipeline for the weights and options of a model."""
    resolved = resolve_generation(generation_config, model.settings, model.name)
    generation: dict[str, Any] = {"max_new_tokens": model.max_new_tokens(resolved)}
    generation["num_beams"] = resolved.beams
    if resolved.task is not None:
        generation.update(task=resolved.task, language=resolved.language)
    return PipelineArguments(
        pipeline={
            "model": model.network,
            # Inference may do with a part of it.
            "tokenizer": open_tokenizer(model.folder),
            "feature_extractor": _feature_extractor(model.frontend),
        },
        call={"generate_kwargs": generation},
        long_call={"return_timestamps": True} if predicts_timestamps(model.settings) else {},
    )


def _feature_extractor(frontend: Frontend | LogMel) -> Any:
    import transformers

    settings = dict(frontend.settings)
    if isinstance(frontend, LogMel):
        return transformers.WhisperFeatureExtractor.from_dict(settings)
    return frontend.extractor or transformers.Wav2Vec2FeatureExtractor.from_dict(settings)
