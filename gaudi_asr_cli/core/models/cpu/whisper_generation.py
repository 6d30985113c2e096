"""Whisper decoding on a CPU, batched, with a KV cache: greedy, beams, and sampling for fallback.

Text that is not sampled is that of transformers' `generate`. Models with further rules in their
generation settings are left to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.models.cpu.cross_attention import EncodedWindow
from gaudi_asr_cli.core.models.cpu.linear import FramesPacker
from gaudi_asr_cli.core.models.cpu.precision import open_precision
from gaudi_asr_cli.core.models.cpu.whisper import (
    KVCache,
    WhisperDecoder,
    WhisperEncoder,
    pack_network,
)
from gaudi_asr_cli.core.models.cpu.whisper_beams import BeamSearch, BeamSettings
from gaudi_asr_cli.core.models.cpu.whisper_choice import (
    LogitsProcessor,
    TokenChooser,
    open_chooser,
)
from gaudi_asr_cli.core.models.cpu.whisper_layout import read_whisper_layout
from gaudi_asr_cli.core.models.features import Frontend
from gaudi_asr_cli.core.models.log_mel import LogMel
from gaudi_asr_cli.core.models.seq2seq.attempts import (
    Opening,
    describe_attempt,
    read_openings,
    sum_text_logprobs,
)
from gaudi_asr_cli.core.models.seq2seq.fallback import choose_best, generate_with_fallback
from gaudi_asr_cli.core.models.seq2seq.generation import (
    FirstToken,
    Generation,
    resolve_generation,
)
from gaudi_asr_cli.core.models.seq2seq.model import Seq2SeqModel
from gaudi_asr_cli.core.models.seq2seq.sampling import TokenSampler
from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader
from gaudi_asr_cli.core.models.seq2seq.token_times import choose_alignment_heads, with_token_times
from gaudi_asr_cli.core.models.threads import single_threads, threads
from gaudi_asr_cli.core.records import Generated, Hypothesis

if TYPE_CHECKING:
    from torch import Tensor

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

PLAIN_SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "repetition_penalty": (1.0, None),
    "no_repeat_ngram_size": (0, None),
    "bad_words_ids": (None,),
    "min_length": (0, None),
    "min_new_tokens": (None, 0),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "sequence_bias": (None,),
    "guidance_scale": (None, 1.0),
    "watermarking_config": (None,),
    "encoder_repetition_penalty": (1.0, None),
    "encoder_no_repeat_ngram_size": (0, None),
    "exponential_decay_length_penalty": (None,),
    "remove_invalid_values": (False, None),
    "renormalize_logits": (False, None),
    "no_speech_threshold": (None,),
    "logprob_threshold": (None,),
    "compression_ratio_threshold": (None,),
}
"""Fields of a generation configuration, and the values with which they change no logits."""


NARROW = 512
"""Width up to which a decoder runs on one thread: products of few rows are so short that threads
wait for each other, on a busy machine several times as long as they compute."""


BEAM_ROWS = 128
"""Hypotheses that share a batch of beam search, of one utterance at least: bounds memory."""


@dataclass(frozen=True, slots=True)
class CpuWhisper:
    """A Whisper optimised for the CPU; `model` is its source, `dtype` names its precision."""

    model: Seq2SeqModel
    dtype: str
    encoder: WhisperEncoder
    decoder: WhisperDecoder
    pack_frames: FramesPacker

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def device(self) -> Device:
        return self.model.device

    @property
    def frontend(self) -> Frontend | LogMel:
        return self.model.frontend

    @property
    def settings(self) -> Any:
        return self.model.settings

    @property
    def reader(self) -> SequenceReader:
        return self.model.reader

    @property
    def padding_invariant(self) -> bool:
        return True

    @property
    def is_narrow(self) -> bool:
        """Return whether the decoder is at most `NARROW` wide."""
        return self.decoder.embed_tokens.shape[1] <= NARROW

    def encode_text(self, text: str) -> tuple[int, ...]:
        return self.model.encode_text(text)

    def generate_from(
        self,
        inputs: Mapping[str, Tensor],
        generation_config: Generation,
        frames: Sequence[int] | None = None,
    ) -> Generated:
        """Decode a batch of features. See `Seq2SeqModel.generate_from`."""
        started_s = time.perf_counter()
        encoded = self.encode(inputs["input_features"])
        encoder_s = time.perf_counter() - started_s
        generated = self.generate_encoded(encoded, generation_config, frames)
        first_token_s = generated.first_token_s
        return replace(generated, first_token_s=first_token_s and encoder_s + first_token_s)

    def generate_encoded(
        self,
        encoded: Sequence[EncodedWindow],
        generation_config: Generation,
        frames: Sequence[int] | None = None,
    ) -> Generated:
        """Decode encoded windows. See `generate_from`.

        `first_token_s` of the output is without the encoder.
        """
        resolved = resolve_generation(generation_config, self.settings, self.name)
        with torch.inference_mode():
            groups = group_rows(encoded, torch.get_num_threads())
            alone = len(groups) == 1 and self.is_narrow
            with threads(1 if alone else torch.get_num_threads()):
                generated = map_on_threads(partial(self._generate, resolved), groups)
            hypotheses = [row for rows, _ in generated for row in rows]
            if frames is not None:
                hypotheses = self._time_words(hypotheses, encoded, resolved, frames)
        pairs = zip(hypotheses, encoded, strict=True)
        rows = tuple(replace(row, finite=window.is_finite()) for row, window in pairs)
        first_token_s = min((one for _, one in generated if one is not None), default=None)
        return Generated(rows, first_token_s)

    def _generate(
        self, resolved: Generation, encoded: list[EncodedWindow]
    ) -> tuple[list[Hypothesis], float | None]:
        """Return the hypotheses of encoded rows, and the seconds to the first token."""
        attempts = _Attempts(self, encoded, resolved)
        hypotheses = generate_with_fallback(attempts, len(encoded), resolved.fallback)
        return hypotheses, attempts.first_token.seconds

    def encode(self, windows: Tensor) -> list[EncodedWindow]:
        """Encode each log-mel window of (B, M, 3000).

        A window per thread is fastest: threads that share a window synchronise at every layer. They
        share those that would leave half of them idle.
        """
        rest = len(windows) % torch.get_num_threads()
        shared = rest if rest <= torch.get_num_threads() / 2 else 0
        whole = len(windows) - shared
        with torch.inference_mode():
            encoded = map_on_threads(self._encode_one, windows[:whole])
            return [*encoded, *(self._encode_one(window) for window in windows[whole:])]

    def _encode_one(self, window: Tensor) -> EncodedWindow:
        frames = self.encoder(window)
        return EncodedWindow(frames, *self.pack_frames(frames))

    def _time_words(
        self,
        hypotheses: Sequence[Hypothesis],
        encoded: Sequence[EncodedWindow],
        resolved: Generation,
        frames: Sequence[int],
    ) -> list[Hypothesis]:
        reader, layers = self.reader, self.decoder.layers
        heads = choose_alignment_heads(self.settings, len(layers), layers[0].heads)

        def align(row: int) -> Hypothesis:
            def run(tokens: Sequence[int], text: slice) -> tuple[Tensor, Tensor]:
                return self.decoder.align(torch.tensor([tokens]), encoded[row], heads, text)

            return with_token_times(hypotheses[row], resolved, reader, frames[row], run)

        return map_on_threads(align, range(len(hypotheses)))


class _Attempts:
    """Generates rows of a batch that is encoded, as often as fallback asks for."""

    def __init__(
        self, whisper: CpuWhisper, encoded: list[EncodedWindow], generation_config: Generation
    ) -> None:
        self.encoded = encoded
        self.first_token = FirstToken()
        self._whisper = whisper
        self._decoder = whisper.decoder
        self._reader = whisper.reader
        self._config = generation_config
        self._max_new_tokens = whisper.model.max_new_tokens(generation_config)

    def __call__(self, rows: Sequence[int], temperature: float) -> list[Hypothesis]:
        """Generate the hypotheses of these rows at a temperature."""
        if self._config.beams > 1 and not temperature:
            size = max(1, BEAM_ROWS // self._config.beams)
            batches = [rows[first : first + size] for first in range(0, len(rows), size)]
            return [hypothesis for batch in batches for hypothesis in self._search(batch)]
        fallback = self._config.fallback
        best_of = fallback.best_of if temperature else 1
        encoded = [self.encoded[row] for row in rows for _ in range(best_of)]
        prompt = self._reader.plan_prompt(self._config)
        kv_cache = self._decoder.allocate(encoded, len(prompt) + self._max_new_tokens)
        sampler = TokenSampler(
            len(encoded), temperature, self._reader.end_ids, best_of=best_of, seed=fallback.seed
        )
        tokens, states, openings = self._decode_prompt(kv_cache, prompt, len(encoded))
        choose = open_chooser(
            self._decoder,
            self._whisper.settings,
            sampler,
            prompt_length=tokens.shape[1],
            timestamps=self._config.timestamps,
        )
        sequences = self._decode(kv_cache, tokens, states, choose, sampler)
        hypotheses = self._reader.read(sequences, times=self._config.timestamps).rows
        sums = sampler.sum_logprobs.tolist()
        return [
            describe_attempt(hypotheses[index], temperature, sums[index], openings[index])
            for index in choose_best(hypotheses, sums, best_of)
        ]

    def _search(self, rows: Sequence[int]) -> list[Hypothesis]:
        """Generate the hypotheses of these rows with beam search."""
        encoded, settings = [self.encoded[row] for row in rows], self._whisper.settings
        prompt = self._reader.plan_prompt(self._config)
        kv_cache = self._decoder.allocate(encoded, len(prompt) + self._max_new_tokens)
        tokens, states, openings = self._decode_prompt(kv_cache, prompt, len(encoded))
        prompts: list[list[int]] = tokens.tolist()
        search = BeamSearch(
            self._decoder,
            LogitsProcessor(settings, tokens.shape[1], self._config.timestamps),
            BeamSettings.of(
                settings,
                beams=self._config.beams,
                max_new_tokens=self._max_new_tokens,
                end_ids=frozenset(self._reader.end_ids),
            ),
            self.first_token.record,
        )
        texts = search(kv_cache, tokens, states)
        sequences = [[*before, *text] for before, text in zip(prompts, texts, strict=True)]
        hypotheses = self._reader.read(sequences, times=self._config.timestamps).rows
        sums = map(self._sum_logprobs, encoded, prompts, texts)
        described = zip(hypotheses, sums, openings, strict=True)
        return [describe_attempt(one, 0.0, total, opening) for one, total, opening in described]

    def _sum_logprobs(
        self, window: EncodedWindow, prompt: Sequence[int], text: Sequence[int]
    ) -> float:
        """Return the sum of the log probabilities of a text after its prompt."""
        given = torch.tensor([[*prompt, *text[:-1]]])
        wanted = slice(len(prompt) - 1, given.shape[1])
        logits = self._decoder.compute_text_logits(given, window, wanted)
        return sum_text_logprobs(logits, torch.tensor(text), self._whisper.settings)

    def _decode(
        self,
        kv_cache: KVCache,
        tokens: Tensor,
        states: Tensor,
        choose: TokenChooser,
        sampler: TokenSampler,
    ) -> list[list[int]]:
        """Return the token ids of each row, prompt first, from the prompt (B, P) and its states."""
        finished: dict[int, list[int]] = {}
        # `rows` are the batch rows that `tokens` (R, L) still holds.
        batch_size = len(tokens)
        rows = torch.arange(batch_size)
        for step in range(self._max_new_tokens):
            chosen = choose(states, tokens, rows, first=step == 0)
            tokens = torch.cat([tokens, chosen[:, None]], dim=1)
            self.first_token.record()
            active = ~sampler.finished[rows]
            if step + 1 == self._max_new_tokens or not active.any():
                break
            # Finished rows cost as much as active ones until they are removed.
            if 2 * int(active.sum()) <= len(rows):
                ended, kept = (torch.nonzero(mask)[:, 0] for mask in (~active, active))
                finished |= dict(zip(rows[ended].tolist(), tokens[ended].tolist(), strict=True))
                kv_cache.select_rows(kept.tolist())
                tokens, rows = tokens[kept], rows[kept]
            states = self._decoder.step(tokens[:, -1:], kv_cache)[:, 0]
        finished |= dict(zip(rows.tolist(), tokens.tolist(), strict=True))
        return [finished[row] for row in range(batch_size)]

    def _decode_prompt(
        self, kv_cache: KVCache, prompt: list[int | None], batch_size: int
    ) -> tuple[Tensor, Tensor, list[Opening]]:
        """Return the prompt (B, P), with detected languages if none is given, and states (B, D).

        The openings are read from the logits after the start token, where fallback needs them.
        """
        reader, decoder, detects = self._reader, self._decoder, None in prompt
        reads = reader.measures_no_speech(self._config.fallback)
        start = prompt.index(reader.prompt[0])
        tokens = torch.tensor([prompt[: start + 1] if detects else prompt]).expand(batch_size, -1)
        states = decoder.step(tokens, kv_cache)  # (B, L, D)
        openings = [Opening()] * batch_size
        if not detects and not reads:
            return tokens, states[:, -1], openings
        logits = decoder.compute_logits(states[:, start])
        if reads:
            openings = read_openings(logits, reader, detected=detects)
        if not detects:
            return tokens, states[:, -1], openings
        rest = self._complete(prompt[start + 1 :], logits)
        tokens = torch.cat([tokens, rest], dim=1)
        return tokens, decoder.step(rest, kv_cache)[:, -1], openings

    def _complete(self, rest: list[int | None], logits: Tensor) -> Tensor:
        """Return the prompt (B, P) after the start token, with the languages of its logits."""
        language_ids = torch.tensor(sorted(self._reader.languages))
        detected = language_ids[logits[:, language_ids].argmax(-1)][:, None]  # (B, 1)
        after = torch.tensor([rest[1:]], dtype=torch.long)
        return torch.cat([detected, after.expand(len(logits), -1)], dim=1)


def group_rows(rows: Sequence[_Item], count: int) -> list[list[_Item]]:
    """Split the rows of a batch into one group per thread, or into one if there are few."""
    if len(rows) <= count / 2:
        return [list(rows)]
    size = -(-len(rows) // count)
    return [list(rows[first : first + size]) for first in range(0, len(rows), size)]


def map_on_threads(compute: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Return the results of each item, computed on a thread each, or on all if there are few."""
    count, listed = torch.get_num_threads(), list(items)
    if count == 1 or len(listed) <= count / 2:
        return [compute(one) for one in listed]

    def compute_one(one: _Item) -> _Result:
        # Inference mode is thread-local.
        with torch.inference_mode():
            return compute(one)

    with single_threads(count) as pool:
        return list(pool.map(compute_one, listed))


def pack_whisper(model: Seq2SeqModel, precision: str | None = None) -> CpuWhisper | None:
    """Build the optimised CPU version of a Whisper, or return None if it is not supported.

    Args:
        model: A model on a CPU; not modified.
        precision: See `open_precision`; None is `model.dtype`.

    Raises:
        MachineError: The precision is not supported here.
    """
    layout = read_whisper_layout(model.config)
    if layout is None or model.device.torch_device.type != "cpu":
        return None
    if not isinstance(model.frontend, LogMel) or not _is_plain(model.settings):
        return None
    with torch.inference_mode():
        text_end = min(model.reader.end_ids)
        chosen = open_precision(precision or model.dtype)
        encoder, decoder = pack_network(model.weights, layout, chosen, text_end)
    return CpuWhisper(model, chosen.name, encoder, decoder, chosen.pack_frames)


def _is_plain(settings: Any) -> bool:
    return all(
        getattr(settings, name, values[0]) in values for name, values in PLAIN_SETTINGS.items()
    )
