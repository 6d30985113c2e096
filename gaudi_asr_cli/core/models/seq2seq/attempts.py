"""Attempts of transformers' `generate` at the rows of a batch, each at a temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.models.seq2seq.fallback import choose_best, with_stats
from gaudi_asr_cli.core.models.seq2seq.generation import FirstToken, Generation
from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader
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
        self._openings = self._open() if self._reads_openings else [Opening()] * len(self)

    def __len__(self) -> int:
        return len(next(iter(self._inputs.values())))

    @property
    def _reads_openings(self) -> bool:
        return self._config.fallback.no_speech_threshold is not None and (
            self._reader.no_speech_id is not None
        )

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
        sequences = self._model.network.generate(**inputs, **arguments, logits_processor=processors)
        hypotheses = self._reader.read(sequences.cpu().tolist(), times=self._config.timestamps).rows
        if beams == 1:
            sums = sampler.sum_logprobs.tolist()
        else:
            sums = score_sequences(self._model.network, inputs, sequences, self._reader)
        kept = choose_best(hypotheses, sums, best_of)[: len(rows)]
        return [
            describe_attempt(hypotheses[index], temperature, sums[index], self._openings[row])
            for row, index in zip(rows, kept, strict=True)
        ]

    def _open(self) -> list[Opening]:
        """Read what the logits after the start token say."""
        import torch

        prompt = self._reader.plan_prompt(self._config)
        before = prompt[: 1 + prompt.index(self._reader.prompt[0])]
        tokens = torch.tensor([before], device=self._model.device.torch_device)
        logits = self._model.network(
            **self._inputs, decoder_input_ids=tokens.expand(len(self), -1)
        ).logits[:, -1]
        return read_openings(logits, self._reader, detected=None in prompt)


@dataclass(frozen=True, slots=True)
class Opening:
    """The probability of no speech, and of the detected language, after the start token."""

    no_speech: float | None = None
    language_probability: float | None = None


def read_openings(logits: torch.Tensor, reader: SequenceReader, *, detected: bool) -> list[Opening]:
    """Read the logits (B, V) after the start token; with `detected`, those of languages too."""
    logits = logits.float()
    assert reader.no_speech_id is not None  # noqa: S101 - only then they are read
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
    inputs: Mapping[str, torch.Tensor],
    sequences: torch.Tensor,
    reader: SequenceReader,
) -> list[float]:
    """Return the sum of the log probabilities of each text of beam search (B, P + L)."""
    sums = []
    for row, tokens in enumerate(sequences):
        ids = tokens.tolist()
        first = len(ids) - len(reader.strip_prompt(ids))
        end = next((at + 1 for at in range(first, len(ids)) if ids[at] in reader.end_ids), len(ids))
        one = {name: tensor[row : row + 1] for name, tensor in inputs.items()}
        logits = network(**one, decoder_input_ids=tokens[None, : end - 1]).logits[0].float()
        logprobs = logits[first - 1 :].log_softmax(-1)
        sums.append(float(logprobs.gather(1, tokens[first:end, None]).sum()))
    return sums
