"""Inference with CTC models: the fastest on their device, with the same results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.decoding import BEAM_DECODER, make_decoder
from gaudi_asr_cli.core.decoding.base import Decoder
from gaudi_asr_cli.core.devices.base import Device, torch_dtype
from gaudi_asr_cli.core.devices.copies import Copier, HostCopier, PendingCopy
from gaudi_asr_cli.core.devices.graphs import GraphCounts
from gaudi_asr_cli.core.errors import MachineError, UsageError
from gaudi_asr_cli.core.inference.ahead import RunAhead
from gaudi_asr_cli.core.inference.chunks import LONGEST_S
from gaudi_asr_cli.core.inference.features import time_features
from gaudi_asr_cli.core.inference.long_form import (
    InferredLong,
    LongFormResult,
    ReportSegment,
    infer_long,
)
from gaudi_asr_cli.core.inference.network_queue import (
    EmissionCall,
    NetworkCall,
    NetworkQueue,
    QueuedEmissions,
    count_rows,
    find_edge,
    join_clips,
    split_emissions,
)
from gaudi_asr_cli.core.inference.options import DEFAULT_OPTIONS, InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import (
    Blocks,
    CompletedOutput,
    PendingOutput,
    PipelineArguments,
    PreparedBatch,
    batch_one,
)
from gaudi_asr_cli.core.inference.results import NOT_FINITE
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.vad import SpeechDecoder, SpeechDetector, open_detector
from gaudi_asr_cli.core.models.cpu.ctc import PackedCtcModel, pack
from gaudi_asr_cli.core.models.cpu.precision import INT8, choose_precision
from gaudi_asr_cli.core.models.ctc.masked_norm import make_padding_invariant
from gaudi_asr_cli.core.models.ctc.model import CtcModel, open_ctc_model
from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.models.threads import is_small
from gaudi_asr_cli.core.records import (
    SAMPLE_RATE_HZ,
    AudioBatch,
    Emissions,
    Transcript,
    Utterance,
    Vocabulary,
)
from gaudi_asr_cli.core.runtime import limit_threads
from gaudi_asr_cli.core.text.vocabulary import suggest_case, write_tokenizer_files

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

BATCH_S = 160.0
"""Default padded audio per batch: about 2 GB of activations for a large model in bf16."""
CHECK_BUCKETS = 2
MAX_GRAPHS = 64


class EmissionModel(Protocol):
    """The part of a `CtcModel`, or of its optimised version, that inference needs."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def device(self) -> Device: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def geometry(self) -> FrameGeometry: ...

    def emissions(self, batch: AudioBatch) -> Emissions: ...


@dataclass(frozen=True, slots=True)
class CtcRecognizer:
    """A `Recognizer` of a CTC model that transcribes clips one by one.

    Args:
        model: The network that emits.
        decoder: Turns emissions into text.
        batching: See `BatchedCtcRecognizer`.
        buckets: Number of length buckets, where `batching` leaves their edges open.
        graphs: Counts of captured graphs.
    """

    model: EmissionModel
    decoder: Decoder
    batching: Batching | None = None
    buckets: int = 6
    graphs: GraphCounts | None = None
    vad: SpeechDetector | None = None

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def dtype(self) -> str:
        return self.model.dtype

    @property
    def device(self) -> Device:
        return self.model.device

    @property
    def backend(self) -> str:
        if isinstance(self.model, PackedCtcModel):
            return "packed int8" if self.model.dtype == INT8 else "packed"
        return "transformers"

    @property
    def parallel(self) -> int:
        """Return the number of torch threads: a packed network runs a clip on each."""
        import torch

        return torch.get_num_threads() if isinstance(self.model, PackedCtcModel) else 1

    @property
    def max_chunk_s(self) -> float:
        return LONGEST_S

    @property
    def phonemes_of(self) -> str | None:
        return self.model.vocabulary.phonemes_of

    @property
    def notes(self) -> tuple[str, ...]:
        notes: tuple[str, ...] = getattr(self.decoder, "notes", ())
        return notes

    @property
    def generates(self) -> bool:
        return False

    def suggest_case(self, sample: str) -> str:
        if self.phonemes_of is not None:
            return "keep"
        return suggest_case(self.model.vocabulary, sample)

    def count_samples(self, padded_s: float) -> int:
        return int(np.ceil(padded_s * SAMPLE_RATE_HZ - 1e-6))

    def prepare(self, batch: AudioBatch) -> PreparedBatch:
        """Leave the features to `start`: on a CPU two sets of threads would compete for cores."""
        return PreparedBatch(batch, {})

    def start(self, prepared: PreparedBatch) -> PendingOutput:
        return CompletedOutput(self.emissions(prepared.batch))

    def infer(self, samples: Samples, utterance: Utterance) -> Emissions:
        return self.emissions(batch_one(samples, utterance))

    def emissions(self, batch: AudioBatch) -> Emissions:
        """Compute log-probabilities (B, F, V) of samples (B, T)."""
        return self.model.emissions(batch)

    def decode(self, output: Any, row: int, utterance: Utterance) -> Transcript:
        return self.decoder.decode(output, row, utterance)

    def infer_long(
        self, blocks: Blocks, utterance: Utterance, report: ReportSegment | None = None
    ) -> InferredLong:
        """Infer in overlapping chunks; blocks are read on a thread of their own."""
        decoder, speech = self.decoder, None
        if self.vad is not None:
            speech = self.vad.find_in_blocks(block.samples for block in blocks())
            decoder = SpeechDecoder(decoder, speech, self.model.vocabulary)
        with RunAhead(blocks(), lambda block: len(block.samples), 0, "read-blocks") as ahead:
            inferred = infer_long(
                partial(self._infer_finite, utterance=utterance),
                self.model.geometry,
                ahead,
                decoder,
                utterance,
                report,
            )

        def decode_speech() -> LongFormResult:
            result = inferred.decode()
            return replace(result, speech_s=None if speech is None else speech.seconds)

        return replace(inferred, decode=decode_speech)

    def _infer_finite(self, samples: Samples, utterance: Utterance) -> Emissions:
        emissions = self.infer(samples, utterance)
        if not np.isfinite(emissions.log_probs).all():
            raise RuntimeError(NOT_FINITE)
        return emissions

    def timed(self, clock: PhaseClock) -> CtcRecognizer:
        return replace(self, model=time_features(self.model, clock))

    def in_padded_batches(self) -> BatchedCtcRecognizer | None:
        """Batch in few shapes, even if the device gains nothing from that."""
        if not isinstance(self.model, CtcModel):
            return None
        invariant = make_padding_invariant(replace(self.model))
        if not invariant.padding_invariant:
            return None
        return BatchedCtcRecognizer(
            model=invariant,
            decoder=self.decoder,
            batching=Batching((), BATCH_S, static_shapes=True),
            buckets=CHECK_BUCKETS,
            copier=self.device.copier(),
        )

    def with_options(self, options: InferenceOptions) -> CtcRecognizer:
        reject_generation(self.name, options)
        vad = open_detector(options.vad, by_default=False)
        return replace(self, decoder=choose_decoder(self.model, options), vad=vad)

    def queued(self, queue: NetworkQueue) -> CtcRecognizer:
        return CtcRecognizer(QueuedEmissions(self.model, queue), self.decoder, vad=self.vad)

    def run_calls(self, calls: Sequence[NetworkCall]) -> list[Emissions]:
        return [self.emissions(call.batch) for call in calls if isinstance(call, EmissionCall)]

    def pipeline_arguments(self, scratch: Path) -> PipelineArguments:
        import transformers

        model = self.model
        assert isinstance(model, CtcModel)  # noqa: S101 - as promised by the mode
        settings = model.frontend.settings
        name = str(settings.get("feature_extractor_type", "Wav2Vec2FeatureExtractor"))
        write_tokenizer_files(model.vocabulary, scratch)
        kind = "Wav2Vec2CTCTokenizer" if model.vocabulary.subwords is None else "AutoTokenizer"
        tokenizer = getattr(transformers, kind).from_pretrained(scratch)
        try:
            extractor = getattr(transformers, name).from_dict(dict(settings))
        except ImportError as error:
            reason = " ".join(str(error).split()).partition(".")[0]
            raise MachineError(
                f"transformers' pipeline cannot be the baseline of {model.name}: {reason}.",
                remedy="Install that package, or leave --baseline out.",
            ) from error
        arguments = {
            "model": model.network,
            "tokenizer": tokenizer,
            "feature_extractor": extractor,
        }
        return PipelineArguments(arguments, {}, {}, str(tokenizer.unk_token))


@dataclass(frozen=True, slots=True)
class PendingEmissions:
    """Emissions that the device may still be computing; any thread may wait for them."""

    copy: PendingCopy
    frames: NDArray[np.int64]
    frame_s: float

    def wait(self) -> Emissions:
        log_probs = self.copy.wait()  # (B, F, V)
        return Emissions(log_probs, np.minimum(self.frames, log_probs.shape[1]), self.frame_s)


@dataclass(frozen=True, slots=True)
class BatchedCtcRecognizer(CtcRecognizer):
    """A padding-invariant `CtcModel` whose batches keep an accelerator busy.

    With static shapes `batching.edges_s` may be empty: they are then chosen from the first
    utterances.

    Args:
        copier: Copies outputs to the host.
        pads_a_frame: Pad each row by one frame more than the longest utterance. A graph is
            captured with a mask that is not all ones, and no replayed mask may be all ones.
    """

    copier: Copier = field(default_factory=HostCopier)
    pads_a_frame: bool = False

    @property
    def backend(self) -> str:
        return "batched"

    @property
    def parallel(self) -> int:
        return 1

    @property
    def _model(self) -> CtcModel:
        assert isinstance(self.model, CtcModel)  # noqa: S101 - no other model is batched
        return self.model

    def count_samples(self, padded_s: float) -> int:
        spare = self.model.geometry.frame_samples if self.pads_a_frame else 0
        return int(np.ceil(padded_s * SAMPLE_RATE_HZ - 1e-6)) + spare

    def prepare(self, batch: AudioBatch) -> PreparedBatch:
        """Normalise each utterance, in pinned memory if the device copies asynchronously."""
        model = self._model
        inputs = model.frontend.prepare(batch)
        if model.device.is_async:
            inputs = {name: model.device.pin(one) for name, one in inputs.items()}
        return PreparedBatch(batch, inputs)

    def start(self, prepared: PreparedBatch) -> PendingEmissions:
        """Launch a batch on the device without waiting for its result."""
        import torch

        model = self._model
        weights = next(model.network.parameters()).dtype
        # bf16 weights need no autocast, which would only cast norms back and forth.
        computing = "fp32" if weights == torch_dtype(model.dtype) else model.dtype
        with model.device.inference_mode(), model.device.autocast(computing):
            placed = {name: self._to_device(one, weights) for name, one in prepared.inputs.items()}
            logits = model.network(**placed).logits  # (B, F, V)
            copy = self.copier.start(torch.log_softmax(logits.float(), dim=-1))
        counted = (model.geometry.count_frames(int(one)) for one in prepared.batch.lengths)
        frames = np.fromiter(counted, np.int64, len(prepared.batch.lengths))
        return PendingEmissions(copy, frames, model.geometry.frame_s)

    def emissions(self, batch: AudioBatch) -> Emissions:
        """Compute log-probabilities (B, F, V), padded to a bucket's edge with static shapes."""
        return self.start(self.prepare(self._pad_to_bucket(batch))).wait()

    def _pad_to_bucket(self, batch: AudioBatch) -> AudioBatch:
        assert self.batching is not None  # noqa: S101 - always given
        if not self.batching.static_shapes:
            return batch
        seconds = batch.samples.shape[1] / SAMPLE_RATE_HZ
        edge_s = next((one for one in self.batching.edges_s if one + 1e-6 >= seconds), seconds)
        missing = self.count_samples(edge_s) - batch.samples.shape[1]
        return replace(batch, samples=np.pad(batch.samples, ((0, 0), (0, missing))))

    def _to_device(self, tensor: torch.Tensor, weights: torch.dtype) -> torch.Tensor:
        moved = tensor.to(self.device.torch_device, non_blocking=True)
        return moved.to(weights) if moved.is_floating_point() else moved

    def timed(self, clock: PhaseClock) -> CtcRecognizer:
        """Return it as it is: features of batches are timed where they are prepared."""
        return self

    def with_options(self, options: InferenceOptions) -> CtcRecognizer:
        """Return it with a copier of its own, for the calling thread."""
        reject_generation(self.name, options)
        decoder = choose_decoder(self.model, options)
        vad = open_detector(options.vad, by_default=False)
        return replace(self, decoder=decoder, copier=self.device.copier(), vad=vad)

    def in_padded_batches(self) -> None:
        return None

    def run_calls(self, calls: Sequence[NetworkCall]) -> list[Emissions]:
        assert self.batching is not None  # noqa: S101 - always given
        clips = [call for call in calls if isinstance(call, EmissionCall)]
        edge_s = find_edge(max(call.audio_s for call in clips), self.batching)
        rows = count_rows(clips, self.batching)
        batch = join_clips(clips, rows, self.count_samples(edge_s))
        return split_emissions(self.start(self.prepare(batch)).wait(), len(clips))


def open_ctc_recognizer(
    name: str, device: Device, options: InferenceOptions = DEFAULT_OPTIONS
) -> CtcRecognizer:
    """Open a CTC model for inference only; see `open_recognizer`."""
    reject_generation(name, options)
    model = open_full_precision(
        name, device=device, dtype=options.network_dtype, language=options.language
    )
    return prepare_inference(model, options)


def prepare_inference(model: CtcModel, options: InferenceOptions) -> CtcRecognizer:
    """Return the recogniser of a model with fp32 weights: the fastest, or transformers' own."""
    vad = open_detector(options.vad, by_default=False)
    if options.mode == "usual":
        return replace(accelerate(model, options), vad=vad)
    cast_weights(model)
    return CtcRecognizer(model, choose_decoder(model, options), vad=vad)


def reject_generation(name: str, options: InferenceOptions) -> None:
    """Reject options that only encoder-decoders have.

    Raises:
        UsageError: One of them is given.
    """
    default = DEFAULT_OPTIONS
    names = ("task", "max_tokens", "long", "batch_size")
    if any(getattr(options, one) != getattr(default, one) for one in names):
        raise UsageError(
            f"{name} is a CTC model: it has no task, maximum of tokens or long form.",
            remedy="Leave --task, --max-tokens, --long and --batch out, or use an "
            "encoder-decoder, such as openai/whisper-small.",
        )
    prompts = ("initial_prompt", "condition_on_previous_text")
    if any(getattr(options, one) for one in prompts) or any(options.temperatures or ()):
        raise UsageError(
            f"{name} is a CTC model: its text is not sampled, and continues no prompt.",
            remedy="Leave --temperature, --initial-prompt and --condition-on-previous-text out, or "
            "use a Whisper, such as openai/whisper-small.",
        )


def choose_decoder(model: EmissionModel, options: InferenceOptions) -> Decoder:
    """Make the decoder of the options for the vocabulary of a model."""
    characters = options.timestamps == "char"
    if not options.searches:
        return make_decoder(options.decoder, model.vocabulary, characters=characters)
    return make_decoder(
        BEAM_DECODER,
        model.vocabulary,
        characters=characters,
        untimed=options.timestamps == "none",
        beam_size=options.beams or None,
        n_best=options.n_best,
        lm=options.lm,
        lm_weight=options.lm_weight,
        word_bonus=options.word_bonus,
        hotwords=options.hotwords or None,
        hotword_weight=options.hotword_weight,
    )


def open_full_precision(
    name: str, *, device: Device, dtype: str = "auto", language: str | None = None
) -> CtcModel:
    """Open a model that computes in `dtype`, for `accelerate`."""
    model = open_ctc_model(name, device=device, dtype=dtype, language=language)
    if is_small(model):
        limit_threads(1)
    return model


def accelerate(model: CtcModel, options: InferenceOptions = DEFAULT_OPTIONS) -> CtcRecognizer:
    """Return the model batched if the device prefers it, else packed if supported, else as it is.

    The network's weights are cast to `model.dtype` unless it was packed.

    Raises:
        MachineError: Graphs or int8 are requested but not available.
    """
    decoder = choose_decoder(model, options)
    if not model.device.prefers_batching:
        precision = INT8 if options.int8 else choose_precision(options.dtype, model.dtype)
        packed = pack(model, precision)
        if packed is not None:
            return CtcRecognizer(packed, decoder)
    options.reject_integers(model.name)
    cast_weights(model)
    return _make_batched(model, decoder, options) or CtcRecognizer(model, decoder)


def _make_batched(
    model: CtcModel, decoder: Decoder, options: InferenceOptions
) -> BatchedCtcRecognizer | None:
    """Return it in batches, or None if these gain nothing or would change the results."""
    if not model.device.prefers_batching:
        return None
    invariant = make_padding_invariant(model)
    if not invariant.padding_invariant:
        return None
    graphs = _capture(invariant, options.graphs)
    few_shapes = graphs is not None or model.device.recompiles_on_new_shapes
    batch_s = BATCH_S if options.batch_s is None else options.batch_s
    return BatchedCtcRecognizer(
        model=invariant,
        decoder=decoder,
        batching=Batching(tuple(options.edges_s), batch_s, static_shapes=few_shapes),
        buckets=options.buckets,
        graphs=graphs,
        copier=model.device.copier(),
        pads_a_frame=few_shapes,
    )


def _capture(model: CtcModel, requested: bool | None) -> GraphCounts | None:
    if not (model.device.recompiles_on_new_shapes if requested is None else requested):
        return None
    network: Any = model.network
    try:
        return model.device.use_graphs(network, max_graphs=MAX_GRAPHS)
    except MachineError:
        if requested:
            raise
        return None


def cast_weights(model: CtcModel) -> None:
    """Cast the network's weights to the dtype that it computes in, and freeze them."""
    model.network.to(torch_dtype(model.dtype)).eval().requires_grad_(False)
