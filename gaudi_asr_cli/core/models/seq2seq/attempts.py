"""Attempts of transformers' `generate` at the rows of a batch, each at a temperature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.models.seq2seq.fallback import choose_best, with_stats
from gaudi_asr_cli.core.models.seq2seq.generation import FirstToken, Generation
from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader
from gaudi_asr_cli.core.models.seq2seq.token_times import (
    HeadIndex,
    choose_alignment_heads,
    with_token_times,
)
from gaudi_asr_cli.core.records import Hypothesis

if TYPE_CHECKING:
    import torch


class GeneratingModel(Protocol):
    """The part of a `Seq2SeqModel` that an attempt needs."""

    @property
    def network(self) -> Any: ...

    @property
    def device(self) -> Device: ...

    @property
    def reader(self) -> SequenceReader: ...

    def max_new_tokens(self, generation_config: Generation, /) -> int: ...

    def generate_arguments(self, generation_config: Generation, /) -> dict[str, Any]: ...


class Attempts:
    """Generates rows of a batch, as often as fallback asks for.

    Args:
        model: The model; its network is in evaluation mode.
        inputs: Inputs of the network, on its device.
        generation_config: Resolved options.
    """

    def __init__(
        self,
        model: GeneratingModel,
        inputs: Mapping[str, torch.Tensor],
        generation_config: Generation,
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._config = generation_config
        self._reader = model.reader
        self.first_token = FirstToken(is_async=model.device.is_async)
        self._openings: list[Opening] | None = (
            None
            if self._reader.measures_no_speech(generation_config.fallback)
            else [Opening()] * len(self)
        )
        # What the encoder returned for all rows, each as often as the first attempt samples it.
        self._encoded: Any = None
        self._samples = 1

    def __len__(self) -> int:
        return len(next(iter(self._inputs.values())))

    def __call__(self, rows: Sequence[int], temperature: float) -> list[Hypothesis]:
        """Generate the hypotheses of these rows at a temperature."""
        import torch

        from gaudi_asr_cli.core.models.seq2seq.sampling import SamplingProcessor

        fallback = self._config.fallback
        best_of = fallback.best_of if temperature else 1
        beams = self._config.beams if not temperature else 1
        # A device that compiles per shape gets the batch that it knows.
        padded = len(self) if self._model.device.recompiles_on_new_shapes else len(rows)
        indices = [
            row for row in [*rows, *[rows[0]] * (padded - len(rows))] for _ in range(best_of)
        ]
        inputs = self._inputs
        if indices != list(range(len(self))):
            device = self._model.device.torch_device
            chosen = torch.tensor(indices, device=device)
            inputs = {name: one.index_select(0, chosen) for name, one in inputs.items()}
        sampler = SamplingProcessor(
            len(indices), temperature, self._reader.end_ids, best_of=best_of, seed=fallback.seed
        )
        processors = [self.first_token, sampler] if beams == 1 else [self.first_token]
        arguments = self._model.generate_arguments(replace(self._config, beams=beams))
        network = self._model.network
        settings = arguments["generation_config"]
        with recorded_calls(network) as record, own_settings(network, settings):
            sequences = network.generate(**inputs, **arguments, logits_processor=processors)
        if self._encoded is None:
            self._encoded, self._samples = record.encoded, best_of
        if self._openings is None:
            assert record.logits is not None  # noqa: S101 - the decoder was called
            self._openings = self._read_openings(record.logits)
        hypotheses = self._reader.read(sequences.cpu().tolist(), times=self._config.timestamps).rows
        if beams == 1:
            sums = sampler.sum_logprobs.tolist()
        else:
            sums = score_sequences(
                network, record.encoded, inputs.get("attention_mask"), sequences, self._reader,
                self._decoder_width() if self._model.device.recompiles_on_new_shapes else None,
            )  # fmt: skip
        kept = choose_best(hypotheses, sums, best_of)[: len(rows)]
        return [
            describe_attempt(hypotheses[index], temperature, sums[index], self._openings[row])
            for row, index in zip(rows, kept, strict=True)
        ]

    def time_words(
        self, hypotheses: Sequence[Hypothesis], frames: Sequence[int]
    ) -> list[Hypothesis]:
        """Return the hypotheses of all rows with the times of their words.

        `frames` are the lengths of their audio in the encoder's frames.
        """
        network = self._model.network
        decoder = network.get_decoder()
        heads = decoder.layers[0].encoder_attn.num_heads
        chosen = choose_alignment_heads(network.generation_config, len(decoder.layers), heads)
        width = self._reader.context if self._model.device.recompiles_on_new_shapes else None
        scores = CrossAttentionScores(network, chosen, width, self._reader.pad_id)

        def align(row: int) -> Hypothesis:
            run = partial(scores, _row_of(self._encoded, row * self._samples))
            return with_token_times(hypotheses[row], self._config, self._reader, frames[row], run)

        return [align(row) for row in range(len(hypotheses))]

    def _decoder_width(self) -> int:
        """Return the number of decoder inputs of the longest text."""
        prompt = self._reader.plan_prompt(self._config)
        return len(prompt) + self._model.max_new_tokens(self._config) - 1

    def _read_openings(self, logits: torch.Tensor) -> list[Opening]:
        """Read the logits (R, L, V) of the first decoder call, each row R // B times."""
        prompt = self._reader.plan_prompt(self._config)
        # Where the language is detected, that call has the start token alone.
        place = min(prompt.index(self._reader.prompt[0]), logits.shape[1] - 1)
        rows = logits[:: len(logits) // len(self), place]  # (B, V)
        return read_openings(rows, self._reader, detected=None in prompt)


@contextmanager
def own_settings(network: Any, settings: Any) -> Iterator[None]:
    """Give the network these generation settings as its own while the block runs.

    transformers 4.55 takes the network's own value wherever the one that it is passed is the
    library's default: a network with five beams would ignore a request for one.
    """
    original = network.generation_config
    network.generation_config = settings
    try:
        yield
    finally:
        network.generation_config = original


@dataclass(slots=True)
class CallRecord:
    """What the first calls of a network and its encoder returned, for one `generate`."""

    encoded: Any = None
    logits: torch.Tensor | None = None


@contextmanager
def recorded_calls(network: Any) -> Iterator[CallRecord]:
    """Record the encoder's output and the first logits, which `generate` does not return."""
    record = CallRecord()

    def keep_encoded(_: Any, __: Any, output: Any) -> None:
        # A copy: beam search repeats the rows of the output itself.
        record.encoded = type(output)(**output)

    def keep_logits(_: Any, __: Any, output: Any) -> None:
        if record.logits is None:
            record.logits = output.logits

    hooks = (
        network.get_encoder().register_forward_hook(keep_encoded),
        network.register_forward_hook(keep_logits),
    )
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True, slots=True)
class Opening:
    """The probability of no speech, and of the detected language, after the start token."""

    no_speech: float | None = None
    language_probability: float | None = None


def read_openings(logits: torch.Tensor, reader: SequenceReader, *, detected: bool) -> list[Opening]:
    """Read the logits (B, V) after the start token; with `detected`, those of languages too."""
    logits = logits.float()
    assert reader.no_speech_id is not None  # noqa: S101 - measures_no_speech
    no_speech = logits.softmax(-1)[:, reader.no_speech_id].tolist()
    if not detected:
        return [Opening(one) for one in no_speech]
    languages = logits[:, sorted(reader.languages)].softmax(-1).max(-1).values.tolist()
    return [Opening(*pair) for pair in zip(no_speech, languages, strict=True)]


def describe_attempt(
    hypothesis: Hypothesis, temperature: float, sum_logprob: float, opening: Opening
) -> Hypothesis:
    """Return the hypothesis with its measures."""
    # The end token counts too.
    avg_logprob = sum_logprob / (len(hypothesis.tokens) + 1)
    described = with_stats(hypothesis, temperature, avg_logprob, opening.no_speech)
    return replace(described, language_probability=opening.language_probability)


def score_sequences(
    network: Any,
    encoded: Any,
    mask: torch.Tensor | None,
    sequences: torch.Tensor,
    reader: SequenceReader,
    width: int | None,
) -> list[float]:
    """Return the sum of the log probabilities of each text of beam search.

    Suppressed tokens are left out, as in the search; the rules of timestamps are not applied, so a
    text with timestamps gets a somewhat lower sum than in the search.

    Args:
        network: The network that generated.
        encoded: What its encoder returned for the batch.
        mask: Attention mask (B, T) of the inputs, if they have one.
        sequences: Token ids (B, P + L), prompts first.
        reader: Reader of the sequences.
        width: Number of decoder inputs, on a device that compiles per shape; None: as needed.
    """
    import torch

    sums = []
    # The beam search of optimum-habana returns its texts on the host.
    for row, tokens in enumerate(sequences.to(network.device)):
        ids = tokens.tolist()
        first = len(ids) - len(reader.strip_prompt(ids))
        end = next((at + 1 for at in range(first, len(ids)) if ids[at] in reader.end_ids), len(ids))
        given = tokens[: end - 1]
        if width is not None:
            # The decoder is causal: what follows the text does not change it.
            given = torch.nn.functional.pad(given, (0, width - len(given)), value=reader.pad_id)
        masks = {} if mask is None else {"attention_mask": mask[row : row + 1]}
        logits = network(
            encoder_outputs=_row_of(encoded, row), decoder_input_ids=given[None], **masks
        ).logits[0]  # (P + L - 1, V)
        settings = network.generation_config
        sums.append(sum_text_logprobs(logits[first - 1 : end - 1], tokens[first:end], settings))
    return sums


def sum_text_logprobs(logits: torch.Tensor, text: torch.Tensor, settings: Any) -> float:
    """Return the sum of the log probabilities of a text (T,) from its logits (T, V).

    Suppressed tokens have none, as in the search and for a greedy text.
    """
    import torch

    logits = logits.float().clone()
    logits[:, list(getattr(settings, "suppress_tokens", None) or ())] = -torch.inf
    logits[:1, list(getattr(settings, "begin_suppress_tokens", None) or ())] = -torch.inf
    return float(logits.log_softmax(-1).gather(1, text[:, None]).sum())


@dataclass(frozen=True, slots=True)
class CrossAttentionScores:
    """Scores of cross-attention from its queries and keys: fused attention returns none.

    Args:
        network: A Whisper.
        heads: The heads (A,) whose scores are needed.
        width: Number of decoder inputs, on a device that compiles per shape; None: as needed.
        pad: Id that fills them up.
    """

    network: Any
    heads: Sequence[HeadIndex]
    width: int | None
    pad: int

    def __call__(
        self, encoded: Any, tokens: Sequence[int], text: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (A, L, F) for tokens (L,), and the logits (T, V) of a slice of them.

        `encoded` is what the encoder returned for the audio.
        """
        import torch

        padded = [*tokens, *[self.pad] * ((self.width or 0) - len(tokens))]
        inputs = torch.tensor([padded], device=self.network.device)
        with self._recorded() as seen:
            output = self.network(
                encoder_outputs=encoded, decoder_input_ids=inputs, use_cache=False
            )
        scores = [
            seen[layer, "q_proj"][head] @ seen[layer, "k_proj"][head].T
            for layer, head in self.heads
        ]
        return torch.stack(scores)[:, : len(tokens)].cpu(), output.logits[0, text].cpu()

    @contextmanager
    def _recorded(self) -> Iterator[dict[tuple[int, str], torch.Tensor]]:
        """Record queries and keys (H, L, S) by layer and name, the queries scaled."""
        seen: dict[tuple[int, str], torch.Tensor] = {}

        def keep(layer: int, name: str, _: Any, __: Any, output: torch.Tensor) -> None:
            attention = layers[layer].encoder_attn
            scale = attention.head_dim**-0.5 if name == "q_proj" else 1.0
            split = output[0].float().view(-1, attention.num_heads, attention.head_dim)
            seen[layer, name] = split.transpose(0, 1) * scale

        layers = self.network.get_decoder().layers
        hooks = [
            getattr(layers[layer].encoder_attn, name).register_forward_hook(
                partial(keep, layer, name)
            )
            for layer in {layer for layer, _ in self.heads}
            for name in ("q_proj", "k_proj")
        ]
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()


def _row_of(encoded: Any, row: int) -> Any:
    """Return the encoder's output of one row of the batch."""
    import torch

    parts = {
        name: part[row : row + 1] if isinstance(part, torch.Tensor) else part
        for name, part in encoded.items()
    }
    return type(encoded)(**parts)
