"""Independent re-statement of the HPU graph python API: same names, same argument lists, same observable behaviour
(one graph per distinct input signature; static input buffers filled with copy_; the same output objects every time)."""

import functools
import inspect
import os

import torch
from habana_frameworks.torch import _hpu_C


class HPUGraph:
    def __init__(self):
        self.hpu_graph = _hpu_C.HPUGraph()

    def capture_begin(self, dry_run=False):
        _hpu_C.capture_begin(self.hpu_graph, dry_run)

    def capture_end(self):
        _hpu_C.capture_end(self.hpu_graph)

    def replay(self, asynchronous=False):
        _hpu_C.replay(self.hpu_graph, asynchronous)

    def reset(self):
        _hpu_C.destroy(self.hpu_graph)

    def clear_inputs(self):
        _hpu_C.clear_inputs(self.hpu_graph)


class graph:
    def __init__(self, hpu_graph, stream=None, dry_run=False):
        self.g, self.dry_run = hpu_graph, dry_run

    def __enter__(self):
        torch.hpu.synchronize()
        self.g.capture_begin(self.dry_run)

    def __exit__(self, *a):
        self.g.capture_end()


def input_hash(obj):
    amp = torch.hpu.is_autocast_hpu_enabled()
    if isinstance(obj, dict):
        return input_hash(tuple(obj.items()))
    if isinstance(obj, (list, tuple)) and not isinstance(obj, torch.Size):
        return hash((tuple(input_hash(o) for o in obj), amp))
    if torch.is_tensor(obj):  # note: the dtype is not part of the key
        return hash((obj.shape, _hpu_C.get_view_hash(obj), amp))
    return hash((obj, amp))


def copy_to(dst, src):
    assert type(dst) == type(src)
    if isinstance(dst, dict):
        for k in dst:
            copy_to(dst[k], src[k])
    elif isinstance(dst, (list, tuple)) and not isinstance(dst, torch.Size):
        for d, s in zip(dst, src):
            copy_to(d, s)
    elif torch.is_tensor(dst):
        dst.copy_(src, non_blocking=True)


def _wrap(fwd, asynchronous, dry_run, max_graphs):
    cache = {}

    def forward(*args, **kwargs):
        warmup = kwargs.pop("warmup_mode", False)
        if kwargs.pop("bypass_hpu_graphs", False):
            return fwd(*args, **kwargs)
        kwargs.pop("cache_tensors_list", None)
        inputs = (args, kwargs)
        key = input_hash(inputs)
        if key not in cache:
            if max_graphs is not None and len(cache) == max_graphs:
                return fwd(*args, **kwargs)
            g = HPUGraph()
            g.capture_begin(dry_run)
            try:
                out = fwd(*args, **kwargs)
            finally:
                g.capture_end()
            cache[key] = (g, inputs, out)
            return out
        g, static, out = cache[key]
        if warmup:
            return out
        copy_to(static, inputs)
        g.replay(asynchronous)
        return out

    return forward, cache


def wrap_in_hpu_graph_func(
    func, asynchronous=False, disable_tensor_cache=False, dry_run=False, max_graphs=None
):
    return _wrap(func, asynchronous, dry_run, max_graphs)[0]


def wrap_in_hpu_graph(
    module, asynchronous=False, disable_tensor_cache=False, dry_run=False, max_graphs=None
):
    orig = module.forward
    forward, cache = _wrap(orig, asynchronous, dry_run, max_graphs)
    module.forward = functools.wraps(orig)(forward)
    module.clear_cache = cache.clear
    module.clear_inputs = lambda: [g.clear_inputs() for g, _, _ in cache.values()]
    return module


class ModuleCacher:
    """Training-time wrapper; the stand-in only counts what would be captured (one forward + one backward graph per
    input signature) and runs the module as is."""

    def __init__(self, max_graphs=10):
        self.max_graphs = max_graphs
        self.seen = set()

    def __call__(
        self,
        model,
        use_lfu=False,
        inplace=True,
        allow_unused_input=False,
        asynchronous=False,
        have_grad_accumulation=False,
        log_frequency=100,
        verbose=False,
        disable_tensor_cache=False,
        dry_run=False,
    ):
        from hpu_standin import recorder

        for p in inspect.signature(model.forward).parameters.values():
            assert p.kind not in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL), (
                f"Unsupported argument type : {p.kind}"
            )
        orig = model.orig_forward = model.forward
        lazy = os.environ.get("PT_HPU_LAZY_MODE", "1") == "1"

        def forward(*args, **kwargs):
            if model.training and torch.is_grad_enabled() and lazy:
                key = input_hash((args, kwargs))
                if key not in self.seen and len(self.seen) < self.max_graphs:
                    self.seen.add(key)
                    recorder.add("training_graph")
            return orig(*args, **kwargs)

        model.forward = forward
        model.set_iteration_count = lambda n: None
        model.is_hpugraph_tracing = lambda: False
        return model
