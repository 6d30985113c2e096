"""Times of a Whisper's tokens from its cross-attention, as openai-whisper defines them.

Some heads of the decoder attend to the audio of the token that they predict (`alignment_heads` of
the generation configuration). Their attention is normalised and smoothed, and dynamic time warping
finds the monotone path from tokens to frames (openai/whisper, `timing.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.sequences import TIME_S, SequenceReader
from gaudi_asr_cli.core.records import Hypothesis, TokenTimes

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

MEDIAN_WIDTH = 7
"""Frames of the median filter."""

HeadIndex = tuple[int, int]
"""Decoder layer and head."""


def choose_alignment_heads(settings: Any, layers: int, heads: int) -> tuple[HeadIndex, ...]:
    """Return the heads that align: those of the generation configuration.

    Where it names none that exist, all heads of the last half of the layers, as in openai-whisper.

    Args:
        settings: The generation configuration.
        layers: Number of decoder layers.
        heads: Heads of each.
    """
    every = [(layer, head) for layer in range(layers) for head in range(heads)]
    named = getattr(settings, "alignment_heads", None)
    listed = [tuple(one) for one in named if isinstance(one, list | tuple)] if named else []
    chosen = tuple(one for one in every if one in listed)
    return chosen or tuple(one for one in every if one[0] >= layers // 2)


AlignTokens = Callable[[Sequence[int], slice], "tuple[torch.Tensor, torch.Tensor]"]
"""Runs the decoder on tokens (L,): scores (A, L, F) of the alignment heads, logits of the slice."""


def with_token_times(
    hypothesis: Hypothesis,
    generation_config: Generation,
    reader: SequenceReader,
    frames: int,
    align: AlignTokens,
) -> Hypothesis:
    """Return the hypothesis with the times of its tokens, and words in its segments.

    Args:
        hypothesis: The text of a clip or a window.
        generation_config: Resolved options.
        reader: Reader of its tokens.
        frames: Length of the audio in the encoder's frames.
        align: Runs the decoder.
    """
    tokens, text = plan_alignment(hypothesis, generation_config, reader)
    if not text:
        return hypothesis
    first = len(tokens) - len(text) - 1
    scores, logits = align(tokens, slice(first, len(tokens) - 1))
    scores = scores[:, first:, : max(1, frames)]
    count = sum(not reader.is_time(token) for token in hypothesis.tokens)
    times = time_tokens(scores, logits, text, count, min(reader.end_ids))
    segments = reader.segments(hypothesis.tokens, times)
    return replace(
        hypothesis,
        token_times=times,
        segments=tuple(replace(one, stats=hypothesis.stats) for one in segments),
    )


def plan_alignment(
    hypothesis: Hypothesis, generation_config: Generation, reader: SequenceReader
) -> tuple[list[int], list[int]]:
    """Return the decoder's input for the text of a hypothesis, prompt first, and its text tokens.

    The prompt has the detected language, no timestamps and no earlier text. Tokens beyond the
    context length are left out.
    """
    text = [token for token in hypothesis.tokens if not reader.is_time(token)]
    language = generation_config.language or hypothesis.language
    planned = replace(generation_config, language=language, timestamps=False, previous=())
    prompt = [token for token in reader.plan_prompt(planned) if token is not None]
    kept = text[: reader.context - len(prompt)]
    return [*prompt, *kept], kept


def time_tokens(
    scores: torch.Tensor, logits: torch.Tensor, text: Sequence[int], count: int, end: int
) -> TokenTimes:
    """Return the times and probabilities of the text tokens of a hypothesis.

    Args:
        scores: Scores (H, L + 1, F) of the alignment heads over the frames of the audio, in the
            rows that predict the L text tokens and the end.
        logits: Logits (L, V) of the rows that predict the text tokens.
        text: The text tokens (L,).
        count: Number of text tokens of the hypothesis, of which there may be more than L.
        end: Id of the end token; larger ids are no text.
    """
    import torch

    chosen = torch.tensor(text)
    logprobs = logits[:, : max(end, int(chosen.max()) + 1)].float().log_softmax(-1)
    probabilities = logprobs.gather(1, chosen[:, None])[:, 0].exp().tolist()
    frames = find_path(-smooth_attention(scores))
    starts_s = (frames * TIME_S).round(2).tolist()
    missing = count - len(text)
    return TokenTimes((*starts_s, *starts_s[-1:] * missing), (*probabilities, *[0.0] * missing))


def smooth_attention(scores: torch.Tensor) -> Matrix:
    """Return the attention (L, F) of scores (H, L, F): normalised, smoothed, mean of the heads."""
    import torch

    attention = scores.float().softmax(dim=-1)
    spread, mean = torch.std_mean(attention, dim=-2, keepdim=True, correction=0)
    # A single token has no spread.
    attention = (attention - mean) / spread.clamp(min=1e-10)
    side = MEDIAN_WIDTH // 2
    if attention.shape[-1] > side:
        padded = torch.nn.functional.pad(attention, (side, side), mode="reflect")
        attention = padded.unfold(-1, MEDIAN_WIDTH, 1).median(dim=-1).values
    smoothed: Matrix = attention.mean(dim=0).double().cpu().numpy()
    return smoothed


def find_path(costs: Matrix) -> NDArray[np.int64]:
    """Return the first frame of each row on the cheapest monotone path through costs (L, F).

    A path goes from the first row and frame to the last, one row, one frame or both at a time.
    """
    rows, frames = costs.shape
    first = np.zeros((rows, frames), dtype=np.int64)
    diagonal = np.zeros((rows, frames), dtype=bool)
    reached = np.cumsum(costs[0])
    for row in range(1, rows):
        # A row is entered at frame k from the row before, at k or (diagonally) at k - 1.
        before = np.concatenate([[np.inf], reached[:-1]])
        through = np.cumsum(costs[row])
        entered = np.minimum(before, reached) - np.concatenate([[0.0], through[:-1]])
        cheapest = np.minimum.accumulate(entered)
        first[row] = np.maximum.accumulate(np.where(entered == cheapest, np.arange(frames), 0))
        diagonal[row] = before < reached
        reached = cheapest + through
    starts, frame = np.zeros(rows, dtype=np.int64), frames - 1
    for row in range(rows - 1, 0, -1):
        starts[row] = first[row, frame]
        frame = starts[row] - diagonal[row, starts[row]]
    return starts
