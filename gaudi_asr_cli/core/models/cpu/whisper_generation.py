"""A Whisper model that writes on a CPU as fast as it can: greedily, many rows at once.

Its text is that of transformers' `generate`; what that one does beyond the plain way (beams, and
whatever else a generation configuration may ask for) is left to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from gaudi_asr_cli.core.devices.base import Device, torch_dtype
from gaudi_asr_cli.core.models.cpu.whisper import (
    CrossAttentionKV,
    KVCache,
    WhisperDecoder,
    WhisperEncoder,
    is_whisper_packable,
    pack_network,
)
from gaudi_asr_cli.core.models.features import Frontend
from gaudi_asr_cli.core.models.log_mel import LogMel
from gaudi_asr_cli.core.models.seq2seq.generation import Generation, settle
from gaudi_asr_cli.core.models.seq2seq.model import Seq2SeqModel
from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader
from gaudi_asr_cli.core.models.threads import threads
from gaudi_asr_cli.core.records import Generated

if TYPE_CHECKING:
    from torch import Tensor

PLAIN: Mapping[str, tuple[Any, ...]] = {
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
"""Settings of a generation configuration, and the values with which greedy writing is plain."""


@dataclass(frozen=True, slots=True)
class CpuWhisper:
    """See `Seq2SeqModel`; `model` is what it was packed from, for what is not written out."""

    model: Seq2SeqModel
    encoder: WhisperEncoder
    decoder: WhisperDecoder

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

    def generate_from(self, inputs: Mapping[str, Tensor], how: Generation) -> Generated:
        """See `Seq2SeqModel.generate_from`."""
        settled = settle(how, self.settings, self.name)
        if not settled.greedy:
            return self.model.generate_from(inputs, how)
        with torch.inference_mode():
            heard = self.hear(inputs["input_features"])
            most = self.model.most_tokens(settled)
            prompts = self.model.reader.plan_prompt(settled)
            page = self.decoder.begin(heard, len(prompts) + most)
            rows = self._write(page, len(heard), settled, most)
        generated = self.reader.read(rows, times=settled.timestamps)
        pairs = zip(generated.rows, heard, strict=True)
        return Generated(tuple(replace(row, finite=are_finite(one)) for row, one in pairs))

    def hear(self, windows: Tensor) -> list[CrossAttentionKV]:
        """What the decoder needs of each of the windows (B, M, 3000).

        Threads that share one window wait for each other at every layer; those that hear one each
        never do.
        """
        count = torch.get_num_threads()
        if count == 1 or len(windows) <= count / 2:
            return [self._encode_one(window) for window in windows]
        # A part of what the pool's threads set (MKL's) holds for all of them.
        with (
            threads(count),
            ThreadPoolExecutor(
                count, "hear", initializer=partial(torch.set_num_threads, 1)
            ) as pool,
        ):
            return list(pool.map(self._encode_one, windows))

    def _encode_one(self, window: Tensor) -> CrossAttentionKV:
        # Inference mode holds for one thread only.
        with torch.inference_mode():
            return self.decoder.hear(self.encoder(window))

    def _write(self, page: KVCache, rows: int, how: Generation, most: int) -> list[list[int]]:
        written, scores = self._prompt(page, rows, how)
        begin = written.shape[1]
        rules = Rules(self.settings, begin, how.timestamps)
        ends = torch.tensor(sorted(self.reader.ends))
        done: dict[int, list[int]] = {}
        alive, going = torch.arange(rows), torch.ones(rows, dtype=torch.bool)
        for step in range(most):
            chosen = rules(written, scores, first=step == 0).argmax(-1)
            written = torch.cat([written, chosen[:, None]], dim=1)
            going = going & ~torch.isin(chosen, ends)
            if step + 1 == most or not going.any():
                break
            # Rows that came to their end cost as much as others until they are taken out.
            if 2 * int(going.sum()) <= len(alive):
                gone, stay = (torch.nonzero(one)[:, 0] for one in (~going, going))
                done |= dict(zip(alive[gone].tolist(), written[gone].tolist(), strict=True))
                page.keep(stay)
                written, alive, going = written[stay], alive[stay], going[stay]
            scores = self.decoder.write(written[:, -1:], page)
        done |= dict(zip(alive.tolist(), written.tolist(), strict=True))
        return [done[row] for row in range(rows)]

    def _prompt(self, page: KVCache, rows: int, how: Generation) -> tuple[Tensor, Tensor]:
        """The prompt (R, P), its languages found out where nobody said, and scores behind it."""
        prompt = self.reader.plan_prompt(how)
        if None not in prompt:
            tokens = torch.tensor([prompt]).expand(rows, -1)
            return tokens, self.decoder.write(tokens, page)
        place = prompt.index(None)
        before = torch.tensor([prompt[:place]]).expand(rows, -1)
        scores = self.decoder.write(before, page)
        known = torch.tensor(sorted(self.reader.languages))
        spoken = known[scores[:, known].argmax(-1)][:, None]
        behind = torch.tensor([prompt[place + 1 :]], dtype=torch.long).expand(rows, -1)
        rest = torch.cat([spoken, behind], dim=1)
        return torch.cat([before, rest], dim=1), self.decoder.write(rest, page)


def are_finite(heard: CrossAttentionKV) -> bool:
    """Whether what was heard are numbers: half precision may not reach so far."""
    return all(bool(torch.isfinite(one).all()) for one in heard)


class Rules:
    """What may be written next: the logits processors that Whisper's `generate` has."""

    def __init__(self, settings: Any, begin: int, times: bool) -> None:
        self._never = _as_tensor(settings.suppress_tokens)
        self._not_first = _as_tensor(settings.begin_suppress_tokens)
        self._times = None
        if times:
            from transformers import WhisperTimeStampLogitsProcessor

            self._times = WhisperTimeStampLogitsProcessor(settings, begin_index=begin)

    def __call__(self, written: Tensor, scores: Tensor, *, first: bool) -> Tensor:
        """Scores (R, V) behind what is written (R, L), -inf where a token may not stand."""
        scores = scores.index_fill_(1, self._never, -torch.inf)
        if first:
            scores = scores.index_fill_(1, self._not_first, -torch.inf)
        return scores if self._times is None else self._times(written, scores)


def _as_tensor(tokens: Sequence[int] | None) -> Tensor:
    return torch.tensor(list(tokens or ()), dtype=torch.long)


def pack_whisper(model: Seq2SeqModel) -> CpuWhisper | None:
    """The model written out for a CPU; None where its layers or its rules are others.

    Args:
        model: On a CPU, as transformers has it; not changed.
    """
    if model.device.torch_device.type != "cpu" or not is_whisper_packable(model.network):
        return None
    if not isinstance(model.frontend, LogMel) or any(_unusual(model.settings)):
        return None
    with torch.inference_mode():
        encoder, decoder = pack_network(model.network, torch_dtype(model.dtype))
    return CpuWhisper(model, encoder, decoder)


def _unusual(settings: Any) -> Iterator[bool]:
    return (getattr(settings, name, values[0]) not in values for name, values in PLAIN.items())
