from dataclasses import replace

import pytest
import torch
from helpers.tiny_models import make_batch
from helpers.tiny_seq2seq import save_tiny_whisper

from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.models.cpu import greedy_head
from gaudi_asr_cli.core.models.cpu.greedy_head import GreedyHead, pack_greedy_head
from gaudi_asr_cli.core.models.cpu.int8 import can_quantise, pack_int8, saturates
from gaudi_asr_cli.core.models.cpu.linear import PlainLinear, linear_maker
from gaudi_asr_cli.core.models.cpu.whisper_generation import pack_whisper
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model

pytestmark = pytest.mark.skipif(
    not can_quantise() or saturates(), reason="no int8 here, or none whose sums are exact"
)
END, SIZE = 4000, 64


def make_head(weight: torch.Tensor, end: int = END) -> GreedyHead:
    head = pack_greedy_head(weight, linear_maker(weight.dtype)(weight, None), end)
    assert head is not None
    return head


def test_a_processor_whose_sums_of_bytes_saturate_has_no_head(monkeypatch):
    monkeypatch.setattr(greedy_head, "saturates", lambda: True)
    weight = torch.randn(END + 100, SIZE).bfloat16()

    assert pack_greedy_head(weight, linear_maker(weight.dtype)(weight, None), END) is None


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("sharpness", [0.01, 1.0, 30.0])
def test_the_best_text_token_and_the_mass_are_those_of_the_exact_head(rows, sharpness):
    generator = torch.Generator().manual_seed(rows)
    weight = torch.randn(END + 100, SIZE, generator=generator).bfloat16()
    states = (sharpness * torch.randn(rows, SIZE, generator=generator)).bfloat16()
    suppressed = torch.tensor([int((states.float() @ weight.float().T)[0, :END].argmax()), 7])

    reduced = make_head(weight)(states, suppressed)

    exact = states.float() @ weight.float().T
    exact[:, suppressed] = -torch.inf
    best = exact.gather(1, reduced.best[:, None])[:, 0]
    rounding = 0.005 * states.float().norm(dim=1) * weight.float().norm(dim=1).max()
    assert (exact[:, :END].max(1).values - best <= rounding).all()
    assert ((reduced.logits[:, 0] - best).abs() <= rounding).all()
    assert ((reduced.logits[:, 1:] - exact[:, END:]).abs() <= rounding[:, None]).all()
    assert ((reduced.mass - exact[:, :END].logsumexp(1)).abs() <= 3 * rounding).all()


def test_a_row_does_not_depend_on_the_others_of_its_batch():
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(END + 100, SIZE, generator=generator).bfloat16()
    # More equal tokens than candidates: the last rows leave doubt about which token is best.
    weight[100:150] = weight[100]
    states = 8 * weight[[5, 77, 1234, 100, 149]]
    head, suppressed = make_head(weight), torch.tensor([7])

    together = head(states, suppressed)
    alone = [head(states[row : row + 1], suppressed) for row in range(5)]

    assert together.best[:3].tolist() == [5, 77, 1234]
    for name in ("best", "mass", "logits"):
        rows = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(getattr(together, name), rows, rtol=0, atol=1e-4)


@pytest.mark.parametrize("end", [0, 8])
def test_a_head_without_text_or_special_tokens_is_not_packed(end):
    weight = torch.zeros(8, SIZE).bfloat16()

    assert pack_greedy_head(weight, linear_maker(weight.dtype)(weight, None), end) is None


def test_a_head_in_float32_stays_exact():
    weight = torch.zeros(8, SIZE)

    assert pack_greedy_head(weight, linear_maker(weight.dtype)(weight, None), 4) is None


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("language", ["hindi", None])
def test_a_whisper_generates_the_same_text_with_and_without_it(tmp_path, times, language):
    folder = save_tiny_whisper(tmp_path)
    device = CpuDevice(frozenset(), "a test's CPU")
    # In float32, where rounding makes no two logits equal.
    plain = pack_whisper(open_seq2seq_model(str(folder), device=device, dtype="fp32"))
    weight, end = plain.decoder.embed_tokens, min(plain.reader.end_ids)
    text = pack_int8(weight[:end])
    head = GreedyHead(
        text=text,
        special=PlainLinear(weight[end:], None),
        exact=plain.decoder.head,
        weight=weight,
        end=end,
        norm=float(weight.norm(dim=1).max()),
        scale=float(text.scales.max()),
    )
    packed = replace(plain, decoder=replace(plain.decoder, greedy_head=head))
    batch = make_batch((32_000, 20_003, 9_600, 700), seed=3)
    inputs = packed.frontend.prepare(batch)
    config = Generation(language=language, max_tokens=12, timestamps=times)

    rows = packed.generate_from(inputs, config).rows

    assert plain.decoder.greedy_head is None
    expected = plain.generate_from(inputs, config).rows
    assert [row.tokens for row in rows] == [row.tokens for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert row.stats.avg_logprob == pytest.approx(other.stats.avg_logprob, abs=0.02)
