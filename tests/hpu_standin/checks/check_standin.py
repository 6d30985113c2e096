import copy
import inspect
import io

import habana_frameworks.torch as ht
import habana_frameworks.torch.core as htcore
import pytest
import torch
from hpu_standin import config, recorder


def test_device_semantics():
    x = torch.ones(2, 3).to("hpu")
    assert x.device == torch.device("hpu", 0) and x.is_hpu and not x.is_cuda
    assert (x + 1).device.type == "hpu" and (x + 1).cpu().device.type == "cpu"
    assert torch.zeros(2, device="hpu").device.type == "hpu"
    assert torch.zeros_like(torch.ones(2), device="hpu").device.type == "hpu"
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.ones(2, 3)
    with pytest.raises(TypeError, match="hpu:0"):
        x.numpy()
    assert x.to("cpu").numpy().sum() == 6


def test_module_moves_and_trains():
    m = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    ref = copy.deepcopy(m)
    m = m.to("hpu")
    assert all(p.device.type == "hpu" and isinstance(p, torch.nn.Parameter) for p in m.parameters())
    opt, opt_r = torch.optim.AdamW(m.parameters(), 1e-2), torch.optim.AdamW(ref.parameters(), 1e-2)
    for s in range(3):
        x = torch.randn(5, 3)
        for mod, o, inp in ((m, opt, x.to("hpu")), (ref, opt_r, x)):
            o.zero_grad()
            mod(inp).pow(2).mean().backward()
            o.step()
    for a, b in zip(m.parameters(), ref.parameters()):
        torch.testing.assert_close(a.detach().cpu(), b.detach())
    buf = io.BytesIO()
    torch.save(m.state_dict(), buf)
    buf.seek(0)
    assert all(t.device.type == "cpu" for t in torch.load(buf, weights_only=True).values())


def test_parameter_identity():
    m = torch.nn.Linear(3, 4)
    before = m.weight
    m.to("hpu")
    on_dev = m.weight
    assert on_dev is not before  # other device type: new object, as on the real device
    m.to("hpu")
    assert m.weight is on_dev  # an optimizer built by now stays valid
    m.to(torch.bfloat16)
    assert (
        m.weight is on_dev
        and m.weight.dtype is torch.bfloat16
        and m.weight.elem.dtype is torch.bfloat16
    )
    m.to("cpu")
    assert type(m.weight) is torch.nn.Parameter and m.weight.device.type == "cpu"


def test_autocast():
    lin = torch.nn.Linear(3, 4).to("hpu")
    with torch.autocast(device_type="hpu", dtype=torch.bfloat16):
        assert torch.hpu.is_autocast_hpu_enabled()
        assert lin(torch.ones(2, 3, device="hpu")).dtype is torch.bfloat16
    assert lin(torch.ones(2, 3, device="hpu")).dtype is torch.float32


def test_graph_signature_and_replay():
    sig = inspect.signature(ht.hpu.wrap_in_hpu_graph)
    assert list(sig.parameters) == [
        "module",
        "asynchronous",
        "disable_tensor_cache",
        "dry_run",
        "max_graphs",
    ]

    m = torch.nn.Linear(3, 3).to("hpu").eval()
    ref = copy.deepcopy(m).to("cpu")
    m = ht.hpu.wrap_in_hpu_graph(m, asynchronous=True, max_graphs=4)
    with torch.no_grad():
        for rows in (1, 2, 4, 1, 2, 4, 1):
            x = torch.randn(rows, 3)
            torch.testing.assert_close(m(x.to("hpu")).cpu(), ref(x))
    assert recorder["graph_capture"] == 3 and recorder["graph_replay"] == 4
    with torch.no_grad():
        m(torch.randn(7, 3).to("hpu"))
        m(torch.randn(8, 3).to("hpu"))  # max_graphs reached: runs without a graph
    assert recorder["graph_capture"] == 4


def test_graph_outputs_are_reused_buffers():
    m = ht.hpu.wrap_in_hpu_graph(torch.nn.Linear(3, 3).to("hpu").eval())
    with torch.no_grad():
        m(torch.zeros(1, 3).to("hpu"))
        a = m(torch.ones(1, 3).to("hpu"))
        kept = a.cpu()
        b = m(torch.full((1, 3), 2.0).to("hpu"))
    assert a is b and not torch.equal(a.cpu(), kept)


def test_data_dependent_branch_is_frozen_and_reported():
    class M(torch.nn.Module):
        def forward(self, x, mask):
            return x * 2 if bool(mask.all()) else x * mask

    m = ht.hpu.wrap_in_hpu_graph(M())
    on, off = torch.ones(1, 3).to("hpu"), torch.zeros(1, 3).to("hpu")
    m(on.clone(), on.clone())
    assert recorder["host_sync_during_capture"] == 1
    assert m(on, off).cpu().tolist() == [
        [2.0, 2.0, 2.0]
    ]  # wrong on purpose: the captured branch is replayed


@pytest.mark.parametrize("mode", ["deferred", "racy"])
def test_async_d2h(mode):
    config.d2h = mode
    src = torch.arange(4.0).to("hpu")
    host = torch.empty(4).pin_memory(device="hpu")
    assert host.is_pinned()
    s = ht.hpu.Stream()
    with ht.hpu.stream(s):
        host.copy_(src, non_blocking=True)
    assert torch.isnan(host).all()
    src.add_(1)  # the producer overwrites its buffer before the copy has run
    polls = 0
    while not s.query():
        polls += 1
    assert polls == config.polls
    assert host.tolist() == ([0, 1, 2, 3] if mode == "deferred" else [1, 2, 3, 4])
    (d2h,) = recorder.of("d2h")
    assert d2h["pinned"] and d2h["non_blocking"] and d2h["stream"] == s.stream_id


def test_mark_step_and_recompiles():
    htcore.mark_step()
    recorder.reset()
    for n in (3, 3, 5, 3):
        torch.ones(n).to("hpu").mul_(2)
        htcore.mark_step()
    assert recorder["mark_step"] == 4 and recorder["launch"] == 4 and recorder["compile"] == 2


def test_ctc_kernel_matches_torch():
    from habana_frameworks.torch.hpex.kernels import CTCLoss

    torch.manual_seed(0)
    lp = torch.randn(20, 3, 6)
    t = torch.tensor([[1, 2, 3, -100], [2, 2, -100, -100], [5, 4, 3, 1]])
    il, tl = torch.tensor([20, 15, 18]), torch.tensor([3, 2, 4])
    for red in ("mean", "sum"):
        a = lp.clone().requires_grad_()
        ref = torch.nn.functional.ctc_loss(
            a.log_softmax(-1), t[t >= 0], il, tl, blank=0, reduction=red
        )
        ref.backward()
        b = lp.to("hpu").requires_grad_()
        got = CTCLoss.apply(
            b.log_softmax(-1), t.to("hpu"), il.to("hpu"), tl.to("hpu"), 0, red, False
        )
        got.backward()
        torch.testing.assert_close(got.detach().cpu(), ref.detach())
        torch.testing.assert_close(b.grad.cpu(), a.grad, rtol=1e-4, atol=1e-5)


def test_fused_sdpa_matches_torch():
    from habana_frameworks.torch.hpex.kernels import FusedSDPA

    q, k, v = (torch.randn(2, 2, 5, 4) for _ in range(3))
    mask = torch.zeros(2, 1, 5, 5)
    mask[1, :, :, 3:] = torch.finfo(torch.float32).min
    a = [x.clone().requires_grad_() for x in (q, k, v)]
    ref = torch.nn.functional.scaled_dot_product_attention(*a, attn_mask=mask)
    ref.sum().backward()
    b = [x.to("hpu").requires_grad_() for x in (q, k, v)]
    got = FusedSDPA.apply(*b, mask.to("hpu"), 0.0, False, None, "None", False)
    got.sum().backward()
    torch.testing.assert_close(got.detach().cpu(), ref.detach())
    for x, y in zip(a, b):
        torch.testing.assert_close(y.grad.cpu(), x.grad, rtol=1e-4, atol=1e-5)


def test_fused_adamw_and_clip():
    from habana_frameworks.torch.hpex.normalization import FusedClipNorm
    from habana_frameworks.torch.hpex.optimizers import FusedAdamW

    torch.manual_seed(0)
    m = torch.nn.Linear(3, 2)
    r = copy.deepcopy(m)
    m = m.to("hpu")
    o = FusedAdamW(
        m.parameters(), lr=1e-2, weight_decay=0.1, eps=1e-12
    )  # eps enters differently than in torch
    ro = torch.optim.AdamW(r.parameters(), lr=1e-2, weight_decay=0.1, eps=1e-12)
    clip = FusedClipNorm(m.parameters(), 0.5)
    for _ in range(3):
        x = torch.randn(4, 3)
        for mod, opt, inp in ((m, o, x.to("hpu")), (r, ro, x)):
            opt.zero_grad()
            mod(inp).pow(2).sum().backward()
        n = clip.clip_norm(m.parameters())
        rn = torch.nn.utils.clip_grad_norm_(r.parameters(), 0.5)
        torch.testing.assert_close(n.cpu().reshape(()), rn.reshape(()), rtol=1e-4, atol=1e-4)
        o.step()
        ro.step()
    for a, b in zip(m.parameters(), r.parameters()):
        torch.testing.assert_close(a.detach().cpu(), b.detach(), rtol=1e-4, atol=1e-5)


def test_memory_and_metrics():
    from habana_frameworks.torch.hpu.metrics import metric_global

    torch.hpu.reset_peak_memory_stats()
    base = torch.hpu.memory_allocated()
    x = torch.zeros(1024, device="hpu")
    assert (
        torch.hpu.memory_allocated() - base == 4096
        and torch.hpu.max_memory_allocated() >= base + 4096
    )
    del x
    assert torch.hpu.memory_allocated() == base
    assert dict(metric_global("graph_compilation").stats())["TotalNumber"] >= 0


def test_hf_sees_hpu():
    transformers = pytest.importorskip("transformers")
    from accelerate.utils import is_hpu_available
    from transformers.utils import is_torch_hpu_available

    assert is_hpu_available() and is_torch_hpu_available()


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_ctc_bucket_graphs(family):
    t = pytest.importorskip("transformers")
    C, M = {
        "wav2vec2": (t.Wav2Vec2Config, t.Wav2Vec2ForCTC),
        "hubert": (t.HubertConfig, t.HubertForCTC),
        "wavlm": (t.WavLMConfig, t.WavLMForCTC),
    }[family]
    cfg = C(
        vocab_size=12,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=37,
        conv_dim=(16, 16, 16),
        conv_kernel=(10, 3, 3),
        conv_stride=(5, 2, 2),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    torch.manual_seed(0)
    cpu = M(cfg).eval()
    m = ht.hpu.wrap_in_hpu_graph(copy.deepcopy(cpu), asynchronous=True).to("hpu")
    buckets = [1600, 2400, 3200]
    with torch.no_grad():
        for b in buckets:
            m(torch.zeros(1, b).to("hpu"))
        for b in buckets * 2:
            x = torch.randn(1, b)
            torch.testing.assert_close(
                m(x.to("hpu")).logits.cpu(), cpu(x).logits, rtol=1e-4, atol=1e-4
            )
    assert recorder["graph_capture"] == 3 and recorder["graph_replay"] == 6
    assert recorder["host_sync_during_capture"] == 0
