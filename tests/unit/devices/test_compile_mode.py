"""`--hpu-mode compile` on a CPU: a backend that counts graphs stands for `hpu_backend`."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from helpers.slow import slow_after_first
from helpers.tiny_models import make_batch, save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper

from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.devices.hpu import HpuDevice
from gaudi_asr_cli.core.devices.masks import CHECKS, keep_all_masks
from gaudi_asr_cli.core.models.ctc.masked_norm import make_padding_invariant
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model

CASES = (
    ("wav2vec2", 3),
    # More buckets than torch compiles by default.
    ("wav2vec2", 10),
    *(("wav2vec2-layer-norm", 3), ("hubert", 3), ("hubert-layer-norm", 3)),
    *(("wavlm", 3), ("wavlm-layer-norm", 3)),
)
"""Family and buckets."""
UTTERANCES = 200

# Dynamo traces through cached functions of transformers, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")


@dataclass(slots=True)
class GraphLog:
    """Graphs that the backend was given, and the breaks and recompiles that Dynamo counted."""

    nodes: list[int] = field(default_factory=list)

    def compile(self, graph: torch.fx.GraphModule, _: Any) -> Any:
        self.nodes.append(len(graph.graph.nodes))
        return graph.forward

    @property
    def breaks(self) -> dict[str, int]:
        from torch._dynamo.utils import counters

        return dict(counters["graph_break"])


@pytest.fixture
def graph_log(monkeypatch):
    """Register a counting `hpu_backend`, and patch masks as a Gaudi's process does."""
    from importlib import import_module

    from torch._dynamo import reset
    from torch._dynamo.backends import registry
    from torch._dynamo.utils import counters

    for name, function in CHECKS:
        module = import_module(name)
        if hasattr(module, function):
            monkeypatch.setattr(module, function, getattr(module, function))
    keep_all_masks()
    log = GraphLog()
    reset()
    counters.clear()
    registry.register_backend(functools.partial(log.compile), name="hpu_backend")
    yield log
    registry._BACKENDS.pop("hpu_backend")
    registry._COMPILER_FNS.pop("hpu_backend")
    reset()


class CompilingCpu(HpuDevice):
    """A Gaudi in compile mode whose tensors stay on the CPU."""

    @property
    def torch_device(self) -> torch.device:
        return torch.device("cpu")

    def choose_dtype(self, dtype: str = "auto") -> str:
        return "fp32"


def compiling() -> Any:
    return CompilingCpu(mode="compile", description="a counting backend")


@pytest.mark.parametrize(("family", "buckets"), slow_after_first(CASES))
def test_a_ctc_network_is_one_graph_a_bucket_and_never_compiled_again(
    tmp_path, graph_log, family, buckets
):
    folder = save_tiny_model(tmp_path / "model", family)
    model = make_padding_invariant(open_ctc_model(str(folder), device=open_cpu(), dtype="fp32"))
    draw = np.random.default_rng(3)
    edges = [int(edge) for edge in np.linspace(4000, 16000, buckets)]
    batches = []
    for seed in range(UTTERANCES):
        samples = int(draw.integers(3000, edges[-1]))
        width = next(edge for edge in edges if edge >= samples) + model.geometry.frame_samples
        batch = make_batch([samples, samples - 200], seed=seed)
        padded = np.pad(batch.samples, ((0, 0), (0, width - samples)))
        batches.append(model.frontend.prepare(dataclasses.replace(batch, samples=padded)))
    with torch.no_grad():
        expected = [model.network(**batch).logits for batch in batches]

    counts = compiling().use_graphs(model.network, max_graphs=64)
    with torch.no_grad():
        found = [model.network(**batch).logits for batch in batches]

    assert len(graph_log.nodes) == len(edges) == counts.captured
    assert counts.replayed == UTTERANCES - len(edges)
    assert graph_log.breaks == {}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    slow_after_first(
        [
            Generation(language="hi", max_tokens=12),
            Generation(language="hi", max_tokens=12, beams=3),
            Generation(language="hi", max_tokens=12, timestamps=True),
        ]
    ),
    ids=str,
)
def test_whisper_has_a_graph_a_part_and_is_never_compiled_again(tmp_path, graph_log, options):
    folder = save_tiny_whisper(tmp_path / "whisper")
    draw = np.random.default_rng(3)
    batches = [
        make_batch([int(draw.integers(3000, 16000)) for _ in range(4)], seed=seed)
        for seed in range(6)
    ]
    plain = open_seq2seq_model(str(folder), device=open_cpu(), dtype="fp32")
    expected = [plain.generate(batch, options) for batch in batches]

    compiled = open_seq2seq_model(str(folder), device=compiling(), dtype="fp32")
    found = [compiled.generate(batches[0], options)]
    after_warm_up = list(graph_log.nodes)
    found += [compiled.generate(batch, options) for batch in batches[1:]]

    # Encoder, prompt, and a token; the texts of a beam search are measured once they are complete.
    assert len(after_warm_up) == (3 if options.beams == 1 else 4)
    assert graph_log.nodes == after_warm_up
    assert graph_log.breaks == {}
    assert found == expected
