"""Options of encoder-decoder (seq2seq) inference: checks, prompts, batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.decoding import DEFAULT_DECODER
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.inference.chunks import LONGEST_S
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.prompting import NO_PROMPT, Prompting
from gaudi_asr_cli.core.inference.vad import SpeechDetector
from gaudi_asr_cli.core.models.cpu.whisper_generation import CpuWhisper
from gaudi_asr_cli.core.models.features import Frontend
from gaudi_asr_cli.core.models.log_mel import LogMel
from gaudi_asr_cli.core.models.seq2seq.fallback import DEFAULT_TEMPERATURES
from gaudi_asr_cli.core.models.seq2seq.generation import Generation, predicts_timestamps
from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Generated

if TYPE_CHECKING:
    import torch

LONG_FORM_ALGORITHMS = ("auto", "sequential", "batched")
"""Algorithms for audio longer than a window; `auto` is sequential if the model has timestamps.

Then the windows of parts between pauses share batches; without voice activity detection only
those of `auto` do. With it, all algorithms of a model with timestamps are the same.
"""
BATCH_SIZE = 8
"""Default number of utterances per batch: each generated token reads all weights only once."""
NARROW_BATCH_SIZE = 16
"""Default number of utterances per batch of a narrow Whisper on a CPU, whose threads share them."""


class Seq2SeqGenerator(Protocol):
    """The part of a `Seq2SeqModel` that inference needs."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def device(self) -> Device: ...

    @property
    def frontend(self) -> Frontend | LogMel: ...

    @property
    def settings(self) -> Any: ...

    @property
    def reader(self) -> SequenceReader: ...

    @property
    def padding_invariant(self) -> bool: ...

    def generate_from(
        self,
        inputs: Mapping[str, torch.Tensor],
        generation_config: Generation,
        frames: Sequence[int] | None = None,
        /,
    ) -> Generated: ...

    def encode_text(self, text: str, /) -> tuple[int, ...]: ...


def settle_options(
    options: InferenceOptions, model: Seq2SeqGenerator, vad: SpeechDetector | None
) -> tuple[Generation, Prompting]:
    """Return how a model generates text, with its default temperatures, and its prompts.

    Where speech is detected, timestamps tell whether a text ends before the speech does.

    Raises:
        UsageError: The model takes no earlier text.
    """
    generation_config = options.generation
    if options.temperatures is None and isinstance(model.frontend, LogMel):
        fallback = replace(generation_config.fallback, temperatures=DEFAULT_TEMPERATURES)
        generation_config = replace(generation_config, fallback=fallback)
    if vad is not None and predicts_timestamps(model.settings):
        generation_config = replace(generation_config, timestamps=True)
    texts = (options.initial_prompt, ", ".join(options.hotwords))
    if not any(texts) and not options.condition_on_previous_text:
        return generation_config, NO_PROMPT
    if model.reader.previous_id is None:
        raise UsageError(
            f"{model.name} is not a Whisper: its text continues no prompt.",
            remedy="Leave --initial-prompt, --hotwords and --condition-on-previous-text out.",
        )
    initial, hotwords = (model.encode_text(text) if text else () for text in texts)
    prompting = Prompting(
        initial, hotwords, options.condition_on_previous_text, model.reader.previous_limit
    )
    return replace(generation_config, previous=prompting.join(initial)), prompting


def reject_ctc_options(name: str, options: InferenceOptions) -> None:
    """Reject options that only CTC models have.

    Raises:
        UsageError: One of them is given.
    """
    if options.int8:
        raise UsageError(
            f"{name} is an encoder-decoder; int8 is for CTC models only.",
            remedy="Leave --int8 out; --dtype auto is the fastest here.",
        )
    if options.decoder != DEFAULT_DECODER:
        raise UsageError(
            f"{name} is an encoder-decoder model, and {options.decoder} decodes CTC.",
            remedy="Leave --decoder out, or choose a CTC model.",
        )
    if options.lm is not None or options.hotword_weight is not None or options.n_best > 1:
        raise UsageError(
            f"{name} is an encoder-decoder; language models, weights of hotwords and n-best texts "
            "are for CTC models.",
            remedy="Leave --lm, --hotword-weight and --n-best out, or choose a CTC model.",
        )
    if options.timestamps == "char":
        raise UsageError(
            f"{name} is an encoder-decoder, which has no character times.",
            remedy="Use --timestamps word, or a CTC model.",
        )


def choose_batch_size(model: Seq2SeqGenerator, options: InferenceOptions) -> int | None:
    """Return the utterances per batch that the options ask for; None leaves them open."""
    if options.mode != "usual":
        return 1
    if options.batch_size is not None or options.batch_s is None:
        return options.batch_size
    return max(1, int(options.batch_s / window_of(model)))


def window_of(model: Seq2SeqGenerator) -> float:
    """Return the longest audio that the model takes at once, in seconds."""
    if isinstance(model.frontend, LogMel):
        return model.frontend.window_samples / SAMPLE_RATE_HZ
    return LONGEST_S


def plan_batching(model: Seq2SeqGenerator, batch_size: int | None) -> Batching:
    """Plan batches of `batch_size` (None: the default), or of 1 if padding changes the results."""
    is_narrow = isinstance(model, CpuWhisper) and model.is_narrow
    default = NARROW_BATCH_SIZE if is_narrow else BATCH_SIZE
    utterances = (batch_size or default) if model.padding_invariant else 1
    window_s = window_of(model)
    return Batching(
        edges_s=(window_s,),
        batch_s=window_s * utterances,
        utterances=utterances,
        static_shapes=model.device.recompiles_on_new_shapes,
    )


def check_long(long: str, settings: Any, name: str) -> None:
    """Check that the model supports a long-form algorithm.

    Raises:
        UsageError: It is unknown, or needs timestamps that the model does not generate.
    """
    if long not in LONG_FORM_ALGORITHMS:
        raise UsageError(
            f"There is no long-form algorithm '{long}'.",
            remedy=f"Choose one of {', '.join(LONG_FORM_ALGORITHMS)}.",
        )
    if long == "sequential" and not predicts_timestamps(settings):
        raise UsageError(
            f"{name} generates no timestamps, which sequential long-form transcription needs.",
            remedy="Pass --long batched.",
        )
