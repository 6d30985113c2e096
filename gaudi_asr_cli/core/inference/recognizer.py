"""One interface for every kind of model: `open_recognizer` decides the architecture once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.events import Observer
from gaudi_asr_cli.core.inference.long_form import InferredLong, ReportSegment
from gaudi_asr_cli.core.inference.options import DEFAULT_OPTIONS, InferenceOptions
from gaudi_asr_cli.core.models.folder import find_model, kind_of
from gaudi_asr_cli.core.models.notes import notes_on
from gaudi_asr_cli.core.records import AudioBatch, Output, Transcript, Utterance
from gaudi_asr_cli.core.registry import Registry

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from gaudi_asr_cli.core.data.buckets import Batching
    from gaudi_asr_cli.core.decoding.base import Decoder
    from gaudi_asr_cli.core.devices.base import Device
    from gaudi_asr_cli.core.devices.graphs import GraphCounts
    from gaudi_asr_cli.core.inference.network_queue import NetworkCall, NetworkQueue
    from gaudi_asr_cli.core.inference.timing import PhaseClock
    from gaudi_asr_cli.core.inference.vad import SpeechDetector

Blocks = Callable[[], Iterator[LoadedAudio]]
"""Opens long audio from its start: its blocks, in order."""

OpenRecognizer = Callable[[str, "Device", InferenceOptions], "Recognizer"]

RECOGNIZERS: Registry[OpenRecognizer] = Registry(
    "kind of model",
    {
        "ctc": "gaudi_asr_cli.core.inference.ctc:open_ctc_recognizer",
        "seq2seq": "gaudi_asr_cli.core.inference.seq2seq:open_seq2seq_recognizer",
    },
)
"""Kind of a model family -> the function that opens its recogniser."""


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A batch and its network inputs, still on the host."""

    batch: AudioBatch
    inputs: dict[str, torch.Tensor]


class PendingOutput(Protocol):
    """An output that the device may still be computing; any thread may wait for it."""

    def wait(self) -> Output: ...


@dataclass(frozen=True, slots=True)
class CompletedOutput:
    """An output that is already complete; see `PendingOutput`."""

    output: Output

    def wait(self) -> Output:
        return self.output


@dataclass(frozen=True, slots=True)
class PipelineArguments:
    """Arguments of transformers' pipeline for the same weights.

    `call` is given with each clip, `long_call` with each clip longer than `max_chunk_s`; `unknown`
    is a token that the pipeline outputs as text.
    """

    pipeline: dict[str, Any]
    call: dict[str, Any]
    long_call: dict[str, Any]
    unknown: str | None = None


class Recognizer(Protocol):
    """A model that turns audio into transcripts, whatever its architecture.

    One thread may `prepare` batches while another, the one that opened the recogniser, `start`s
    them and a third waits for the outputs and decodes them.
    """

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str:
        """Dtype that the network computes in."""

    @property
    def device(self) -> Device: ...

    @property
    def backend(self) -> str:
        """Engine: `transformers` (unbatched or not), `batched`, `packed` or `packed int8`."""

    @property
    def batching(self) -> Batching | None:
        """Plan of batches; None where clips are transcribed one by one."""

    @property
    def buckets(self) -> int:
        """Number of length buckets, where `batching` leaves their edges open."""

    @property
    def parallel(self) -> int:
        """Number of clips that may be transcribed at once on threads, without batches."""

    @property
    def max_chunk_s(self) -> float:
        """Length of the longest audio that `infer` and batches take, in seconds."""

    @property
    def graphs(self) -> GraphCounts | None:
        """Counts of captured graphs, if graphs are used."""

    @property
    def vad(self) -> SpeechDetector | None:
        """Detector of speech, without which there is no text; None: it is not detected."""

    @property
    def decoder(self) -> Decoder | None:
        """Decoder of emissions to text; None: the model generates text."""

    @property
    def phonemes_of(self) -> str | None:
        """Language whose phonemes are recognised; None: the text is written in letters."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on what of the options does not fit the model."""

    @property
    def generates(self) -> bool:
        """Whether text is generated token by token, so that it may be truncated or repetitive."""

    def suggest_case(self, sample: str) -> str:
        """Return the case of the model's text, `lower` or `upper`; `keep` if the sample's is it."""

    def count_samples(self, padded_s: float) -> int:
        """Return the number of samples in a row of a batch padded to `padded_s` seconds."""

    def prepare(self, batch: AudioBatch) -> PreparedBatch:
        """Extract the features of a batch; callable from any thread."""

    def start(self, prepared: PreparedBatch) -> PendingOutput:
        """Run the network on a batch, without waiting for an asynchronous device."""

    def infer(self, samples: NDArray[np.float32], utterance: Utterance) -> Output:
        """Run the network on samples (T,) up to `max_chunk_s`; the output has one row."""

    def decode(self, output: Output, row: int, utterance: Utterance) -> Transcript:
        """Turn a row of an output into text."""

    def infer_long(
        self, blocks: Blocks, utterance: Utterance, report: ReportSegment | None = None
    ) -> InferredLong:
        """Infer audio of any length, read block by block; `report` gets each part at once.

        The network need not wait for the text to be decoded.
        """

    def timed(self, clock: PhaseClock) -> Recognizer:
        """Return the recogniser with its feature extraction timed as the phase `features`."""

    def in_padded_batches(self) -> Recognizer | None:
        """Return it with padded batches of few shapes; None if it is batched or never can be."""

    def with_options(self, options: InferenceOptions) -> Recognizer:
        """Return the same weights with other decoding options, for use by the calling thread.

        Raises:
            UsageError: The model does not support them.
        """

    def queued(self, queue: NetworkQueue) -> Recognizer:
        """Return it with the calls of its network handed to a queue, for use by one thread."""

    def run_calls(self, calls: Sequence[NetworkCall]) -> Sequence[Output]:
        """Run the network on calls that fit a batch, and return the output of each.

        They are those of recognisers that `queued` has returned, of one key; see `count_rows`.
        """

    def pipeline_arguments(self, scratch: Path) -> PipelineArguments:
        """Return arguments of transformers' pipeline; files it needs are written to `scratch`.

        Only with the mode `transformers`.
        """


def open_recognizer(
    name: str, device: Device, options: InferenceOptions = DEFAULT_OPTIONS
) -> Recognizer:
    """Open a model for inference only, in the fastest exact way on its device.

    Args:
        name: A model folder, a run folder, `demo`, or a hub id.
        device: Device to compute on.
        options: Dtype, language, batching, decoding and generation.

    Raises:
        UsageError: The model does not support one of the options.
        DataError: It is not a speech recogniser, or not one of `options.kind`.
        MachineError: The device does not support the dtype, graphs or int8.
        UnreachableError: The hub id is neither cached nor reachable.
    """
    options.check()
    folder = find_model(name, kind=options.kind)
    return RECOGNIZERS.find(kind_of(folder.read_config()))(name, device, options)


def report_notes(
    name: str, observe: Observer, *, options: InferenceOptions = DEFAULT_OPTIONS
) -> None:
    """Report what a model's folder lacks, or holds and inference does not use.

    Raises:
        DataError: It is not a speech recogniser.
        UnreachableError: The hub id is neither cached nor reachable.
    """
    for note in notes_on(find_model(name, kind=None), uses_lm=options.lm is not None):
        observe(note)


def has_languages(name: str) -> bool:
    """Return whether a model has languages to choose from: adapters, or tokens of a prompt."""
    config = find_model(name, kind=None).read_config()
    return config.get("adapter_attn_dim") is not None or config.get("model_type") == "whisper"


def batch_one(samples: NDArray[np.float32], utterance: Utterance) -> AudioBatch:
    """Return a batch of one clip (T,), without padding."""
    return AudioBatch((utterance,), samples[None, :], np.array([len(samples)], dtype=np.int64))
