"""Options of inference: one record for every command and every kind of model."""

from __future__ import annotations

from dataclasses import dataclass

from gaudi_asr_cli.core.decoding import BEAM_DECODER, DECODERS, DEFAULT_DECODER
from gaudi_asr_cli.core.devices.base import INFERENCE_DTYPES, INT16
from gaudi_asr_cli.core.errors import MachineError, UsageError
from gaudi_asr_cli.core.models.seq2seq.fallback import Fallback
from gaudi_asr_cli.core.models.seq2seq.generation import Generation

VAD_MODES = ("auto", "on", "off")
TIMESTAMPS = ("word", "char", "none")


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """Options of inference; a recogniser rejects those that its kind of model does not have.

    Args:
        kind: The kind of model to accept, a key of `RECOGNIZERS`; None accepts all.
        mode: `usual` is the fastest exact inference; `unbatched` is what batching is checked
            against: one utterance at a time, a CTC model with transformers' own code;
            `transformers` is transformers' own code for every model.
        dtype: `auto` or one of `INFERENCE_DTYPES`.
        language: Language adapter of a CTC model, or spoken language of an encoder-decoder.
        timestamps: One of `TIMESTAMPS`.
        int8: CTC: integer products on a CPU, linears in 8 bits where these are faster than 16.
        decoder: CTC: a key of `DECODERS`; a beam size, a language model or hotwords choose `beam`.
        lm: CTC: language model, an ARPA file or a folder that holds one.
        lm_weight: CTC: weight of the language model; None is the default.
        word_bonus: CTC: added to the score for each word; None is the default.
        hotwords: Words and phrases to prefer; a Whisper gets them before the text of every window.
        hotword_weight: CTC: added to the score for each hotword; None is the default.
        n_best: CTC: number of texts for each utterance.
        graphs: CTC: capture the network's forward as a graph per shape; None does so if the device
            recompiles on new shapes and supports graphs.
        batch_s: Maximum padded audio per batch, in seconds; None is the default of the kind.
        buckets: CTC: number of length buckets with static shapes.
        edges_s: CTC: bucket edges in seconds; chosen from the first utterances if empty.
        task: Encoder-decoder: `transcribe`, or `translate` (into English); None is its default.
        max_tokens: Encoder-decoder: maximum tokens per utterance; None is the model's maximum.
        beams: Beam size; 1 is greedy, 0 the default of the model or decoder; None is 1, and
            with a language model or hotwords the default.
        long: Encoder-decoder: one of `LONG_FORM_ALGORITHMS`.
        batch_size: Encoder-decoder: utterances per batch; None is the default if the model is
            padding-invariant.
        temperatures: Encoder-decoder: temperatures to try in turn; None is openai-whisper's list
            for a Whisper, and 0 for other models.
        compression_ratio_threshold: Encoder-decoder: see `Fallback`, as the next three.
        logprob_threshold: See `Fallback`.
        no_speech_threshold: See `Fallback`.
        best_of: See `Fallback`.
        seed: Encoder-decoder: random seed of the samples.
        initial_prompt: Whisper: text before the audio, which its text continues.
        condition_on_previous_text: Whisper: a window of long audio continues the text before it.
        vad: One of `VAD_MODES`: text only where speech is detected; `auto` is on for a Whisper.
    """

    kind: str | None = None
    mode: str = "usual"
    dtype: str = "auto"
    language: str | None = None
    timestamps: str = "word"
    int8: bool = False
    decoder: str = DEFAULT_DECODER
    lm: str | None = None
    lm_weight: float | None = None
    word_bonus: float | None = None
    hotwords: tuple[str, ...] = ()
    hotword_weight: float | None = None
    n_best: int = 1
    graphs: bool | None = None
    batch_s: float | None = None
    buckets: int = 6
    edges_s: tuple[float, ...] = ()
    task: str | None = None
    max_tokens: int | None = None
    beams: int | None = None
    long: str = "auto"
    batch_size: int | None = None
    temperatures: tuple[float, ...] | None = (0.0,)
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    best_of: int = 5
    seed: int = 42
    initial_prompt: str | None = None
    condition_on_previous_text: bool = False
    vad: str = "off"

    @property
    def network_dtype(self) -> str:
        """Return the dtype to open a model in, `auto` or one of `DTYPES`."""
        return "fp32" if self.dtype == INT16 else self.dtype

    @property
    def generation(self) -> Generation:
        """Return the part of the options that says how text is generated; temperature 0 of None."""
        return Generation(
            language=self.language,
            task=self.task,
            max_tokens=self.max_tokens,
            beams=1 if self.beams is None else self.beams,
            timestamps=self.timestamps == "word",
            fallback=Fallback(
                temperatures=(0.0,) if self.temperatures is None else self.temperatures,
                compression_ratio_threshold=self.compression_ratio_threshold,
                logprob_threshold=self.logprob_threshold,
                no_speech_threshold=self.no_speech_threshold,
                best_of=self.best_of,
                seed=self.seed,
            ),
        )

    @property
    def searches(self) -> bool:
        """Return whether a CTC model is decoded with a beam search."""
        scored = self.lm is not None or self.hotwords or self.n_best > 1
        return bool(self.decoder == BEAM_DECODER or scored or (self.beams or 1) > 1)

    def check(self) -> None:
        """Check what is wrong for any model, before one is opened.

        Raises:
            UsageError: There is no such decoder or kind of timestamps, or a weight without its
                language model or hotwords.
        """
        if self.timestamps not in TIMESTAMPS:
            raise UsageError(
                f"There are no timestamps of kind '{self.timestamps}'.",
                remedy=f"Choose one of {', '.join(TIMESTAMPS)}.",
            )
        if self.vad not in VAD_MODES:
            raise UsageError(
                f"There is no mode '{self.vad}' of voice activity detection.",
                remedy=f"Choose one of {', '.join(VAD_MODES)}.",
            )
        DECODERS.find(self.decoder)
        if self.dtype not in ("auto", *INFERENCE_DTYPES):
            raise UsageError(
                f"There is no dtype '{self.dtype}'.",
                remedy=f"Choose one of auto, {', '.join(INFERENCE_DTYPES)}.",
            )
        self._check_weights()

    def reject_integers(self, name: str) -> None:
        """Reject products of integers, for a model that is not computed by the CPU engine.

        Raises:
            MachineError: They are requested.
        """
        if self.int8 or self.dtype == INT16:
            raise MachineError(
                f"{name} cannot be computed with integers here.",
                remedy="Leave --int8 and --dtype int16 out: on a CPU, models of the wav2vec 2.0 "
                "family have both, and Whisper has int16.",
            )

    def _check_weights(self) -> None:
        for option, weight, needed, given in (
            ("--lm-weight", self.lm_weight, "--lm FILE", self.lm is not None),
            ("--hotword-weight", self.hotword_weight, "--hotwords A,B", bool(self.hotwords)),
        ):
            if weight is not None and not given:
                raise UsageError(
                    f"{option} {weight:g} has nothing to weigh.",
                    remedy=f"Give {needed} with it, or leave it out.",
                )


DEFAULT_OPTIONS = InferenceOptions()
