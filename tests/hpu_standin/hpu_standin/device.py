"""Device "hpu" on top of CPU tensors.

``HpuTensor`` is a wrapper subclass: the data is an ordinary CPU tensor in ``.elem``; python code sees
``device == hpu:0``.  All arithmetic goes through ``__torch_dispatch__``, which is also where graph capture,
"lazy" op accumulation (to count recipe compilations) and asynchronous copies are simulated.
"""

import functools
import threading
import weakref
from importlib import import_module

import torch
from torch.utils._pytree import tree_flatten, tree_map

from .config import config
from .recorder import recorder

INSTALLED = False
HPU0 = torch.device("hpu", 0)
CPU = torch.device("cpu")
_orig = {}


# --------------------------------------------------------------------------------------------- state
class _Memory:
    def __init__(self):
        self.in_use = 0
        self.peak = 0
        self.allocs = 0
        self.frees = 0
        self.lock = threading.Lock()

    def alloc(self, n):
        with self.lock:
            self.in_use += n
            self.allocs += 1
            self.peak = max(self.peak, self.in_use)

    def free(self, n):
        with self.lock:
            self.in_use -= n
            self.frees += 1


memory = _Memory()


class _Lazy:
    """Accumulates a hash of ops since the last mark_step; a new hash means a new recipe is compiled."""

    def __init__(self):
        self.n_ops = 0
        self.key = 0
        self.seen = set()

    def op(self, func, flat):
        self.n_ops += 1
        shapes = tuple((tuple(x.shape), x.dtype) for x in flat if isinstance(x, torch.Tensor))
        self.key = hash((self.key, str(func), shapes))

    def mark_step(self, why):
        if self.n_ops == 0:
            return
        key, n = self.key, self.n_ops
        self.n_ops, self.key = 0, 0
        hit = key in self.seen
        self.seen.add(key)
        recorder.add("launch", why=why, ops=n, cache_hit=hit)
        if not hit:
            recorder.add("compile", why=why, ops=n)
            for cb in compile_callbacks:
                cb(n)


compile_callbacks = []
lazy = _Lazy()
capture = None  # tape.Tape while a graph is being captured


# --------------------------------------------------------------------------------------------- streams
class StreamState:
    def __init__(self, sid):
        self.sid = sid
        self.pending = []
        self.polls_left = 0
        self.lock = threading.Lock()

    def push(self, fn):
        with self.lock:
            self.pending.append(fn)
            self.polls_left = config.polls

    def flush(self):
        with self.lock:
            todo, self.pending = self.pending, []
        for fn in todo:
            fn()

    def query(self):
        with self.lock:
            if self.pending and self.polls_left > 0:
                self.polls_left -= 1
                return False
        self.flush()
        return True


streams = {0: StreamState(0)}
pinned_storages = weakref.WeakValueDictionary()  # address -> the tensor that holds it
_tls = threading.local()


def new_stream():
    sid = max(streams) + 1
    streams[sid] = StreamState(sid)
    recorder.add("stream_create", stream=sid)
    if config.max_streams and sid > config.max_streams:
        raise RuntimeError(f"hpu stand-in: more than {config.max_streams} streams")
    return sid


def current_stream_id():
    return getattr(_tls, "sid", 0)


def set_current_stream(sid):
    _tls.sid = sid


def synchronize():
    lazy.mark_step("synchronize")
    for s in list(streams.values()):
        s.flush()


# --------------------------------------------------------------------------------------------- tensor
def is_hpu_device(d):
    if d is None or isinstance(d, (int, bool)):
        return False
    if isinstance(d, str):
        return d.split(":")[0] == "hpu"
    return isinstance(d, torch.device) and d.type == "hpu"


def is_cpu_device(d):
    return (isinstance(d, str) and d.split(":")[0] == "cpu") or (
        isinstance(d, torch.device) and d.type == "cpu"
    )


_NO_DEVICE_CHECK = {
    "copy_",
    "to",
    "cpu",
    "__setitem__",
    "__getitem__",
    "__get__",
    "__set__",
    "__delete__",
    "set_",
    "data",
    "grad",
    "backward",
    "autograd_grad",
    "type_as",
    "equal",
    "__repr__",
    "register_hook",
    "is_set_to",
    "new_tensor",
    "index_put_",
    "save_for_backward",
    "apply",
    "_make_subclass",
    "__format__",
    "_has_compatible_shallow_copy_type",
}


class HpuTensor(torch.Tensor):
    @staticmethod
    def __new__(cls, elem, requires_grad=False, owns=True):
        assert not isinstance(elem, HpuTensor)
        r = torch.Tensor._make_wrapper_subclass(
            cls,
            elem.size(),
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
            layout=elem.layout,
            device=CPU,
            requires_grad=requires_grad,
        )
        r.elem = elem
        if owns:
            n = elem.numel() * elem.element_size()
            memory.alloc(n)
            weakref.finalize(r, memory.free, n)
        return r

    def __init__(self, *a, **k):
        pass

    # what python code may ask about the device
    device = property(lambda self: HPU0)
    is_hpu = property(lambda self: True)
    is_cpu = property(lambda self: False)
    is_cuda = property(lambda self: False)

    def get_device(self):
        return 0

    def _get_data(self):
        with torch._C.DisableTorchFunctionSubclass():
            return torch.Tensor.data.__get__(self)

    def _set_data(self, other):
        if not isinstance(other, HpuTensor):
            raise RuntimeError(
                "incompatible tensor type: cannot set .data of an hpu tensor to a cpu tensor"
            )
        with torch._C.DisableTorchFunctionSubclass():
            torch.Tensor.data.__set__(self, other)
        self.elem = other.elem

    data = property(_get_data, _set_data)

    def untyped_storage(self):
        return self.elem.untyped_storage()

    def storage(self):
        return self.elem.storage()

    def data_ptr(self):
        return self.elem.data_ptr()

    def is_pinned(self, device=None):
        return False

    def numpy(self, *a, **k):
        raise TypeError(
            "can't convert hpu:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def __array__(self, *a, **k):
        self.numpy()

    def tolist(self):
        recorder.add("host_sync", capturing=capture is not None)
        if capture is not None:
            recorder.add("host_sync_during_capture", op="tolist")
        lazy.mark_step("tolist")
        return self.elem.tolist()

    def __repr__(self, **k):
        return f"HpuTensor({self.elem!r}, device='hpu:0'{', requires_grad=True' if self.requires_grad else ''})"

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        out = HpuTensor(self.elem.detach().clone())
        out.requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            out._is_param = True
        memo[id(self)] = out
        return out

    def __reduce_ex__(self, proto):
        # the bridge moves tensors to the host before they are pickled
        recorder.add("pickle", shape=tuple(self.shape))
        return self.elem.detach().requires_grad_(self.requires_grad).__reduce_ex__(proto)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        if config.check_devices and name not in _NO_DEVICE_CHECK:
            _check_same_device(name, args, kwargs)
        want = None
        if name.endswith("_like") and is_cpu_device(kwargs.get("device")):
            return func(*tree_map(_unwrap, args), **kwargs)  # host allocation, nothing is copied
        if "device" in kwargs and kwargs["device"] is not None:
            d = kwargs["device"]
            if is_hpu_device(d):
                want, kwargs = "hpu", {**kwargs, "device": None}
            elif is_cpu_device(d):
                want, kwargs = "cpu", {**kwargs, "device": None}
        with torch._C.DisableTorchFunctionSubclass():
            out = func(*args, **kwargs)
        if want == "cpu":
            out = tree_map(lambda t: t.cpu() if isinstance(t, HpuTensor) else t, out)
        elif want == "hpu":
            out = tree_map(wrap_plain, out)
        return out

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if torch.is_inference_mode_enabled():
            recorder.add("inference_mode", op=str(func))  # not supported by the real device
        # a wrapper made in inference mode could not be a view of one that was made outside of it
        with torch.inference_mode(mode=False):
            return dispatch(func, args, kwargs or {})


def wrap_plain(t):
    if isinstance(t, torch.Tensor) and not isinstance(t, HpuTensor):
        return to_hpu(t, None, True)
    return t


def _check_same_device(name, args, kwargs):
    flat, _ = tree_flatten((args, kwargs))
    bad = [
        t
        for t in flat
        if isinstance(t, torch.Tensor)
        and not isinstance(t, HpuTensor)
        and t.dim() > 0
        and t.numel()
    ]
    if bad and any(isinstance(t, HpuTensor) for t in flat):
        # a plain tensor that is the result of C++ internals inside backward is tolerated
        if torch._C._current_graph_task_id() != -1:
            return
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, hpu:0 and cpu! ({name})"
        )


def _unwrap(x):
    if isinstance(x, HpuTensor):
        return x.elem
    if isinstance(x, torch.device) and x.type == "hpu":
        return CPU
    return x


_DYNAMIC = (
    "aten.nonzero",
    "aten.masked_select",
    "aten._unique",
    "aten.unique",
    "aten.index.Tensor_bool",
)


def _schema_mutates(func):
    try:
        return any(
            a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments
        )
    except Exception:
        return False


def _storage(t):
    try:
        return t.untyped_storage().data_ptr()
    except Exception:
        return None


def dispatch(func, args, kwargs):
    name = str(func)
    flat, _ = tree_flatten((args, kwargs))
    if name == "aten.copy_.default":
        out = _copy_(
            args[0], args[1], args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        )
        if isinstance(args[0], HpuTensor):
            lazy.op(func, flat)
            if capture is not None:
                capture.add(func, args, kwargs, args[0], mutates=True)
        return out

    raw = func(*tree_map(_unwrap, args), **tree_map(_unwrap, kwargs))

    if name.startswith("aten._local_scalar_dense"):
        recorder.add("host_sync", capturing=capture is not None)
        if capture is not None:
            recorder.add("host_sync_during_capture", op=name)
        lazy.mark_step("item")
        return raw

    lazy.op(func, flat)
    by_id = {id(t.elem): t for t in flat if isinstance(t, HpuTensor)}
    in_storages = {_storage(t.elem) for t in flat if isinstance(t, HpuTensor)}
    mutates = _schema_mutates(func)

    def rewrap(x):
        if not isinstance(x, torch.Tensor) or isinstance(x, HpuTensor):
            return x
        if id(x) in by_id:
            return by_id[id(x)]
        if mutates and by_id:
            for t in by_id.values():
                if t.elem.data_ptr() == x.data_ptr() and t.elem.shape == x.shape:
                    return t
        return HpuTensor(x, owns=_storage(x) not in in_storages)

    out = tree_map(rewrap, raw)
    if any(name.startswith(p) for p in _DYNAMIC) or (
        name.startswith("aten.index.Tensor")
        and any(
            isinstance(t, torch.Tensor) and t.dtype in (torch.bool, torch.uint8) for t in flat[1:]
        )
    ):
        recorder.add("dynamic_op", op=name, capturing=capture is not None)
    if capture is not None:
        capture.add(func, args, kwargs, out, mutates=mutates)
    return out


# --------------------------------------------------------------------------------------------- copies
def _sentinel_(t):
    if t.is_floating_point() or t.is_complex():
        t.fill_(float("nan"))
    elif t.dtype is torch.bool:
        t.fill_(False)
    else:
        t.fill_(torch.iinfo(t.dtype).min)


def _issue_d2h(dst, src_elem, non_blocking):
    pinned = _is_pinned(dst)
    sid = current_stream_id()
    recorder.add(
        "d2h", stream=sid, non_blocking=bool(non_blocking), pinned=pinned, shape=tuple(dst.shape)
    )
    lazy.mark_step("d2h")
    if non_blocking and config.d2h != "immediate":
        snap = src_elem if config.d2h == "racy" else src_elem.detach().clone()
        with torch.no_grad():
            _sentinel_(dst)

        def complete():
            with torch.no_grad():
                dst.copy_(snap)

        streams[sid].push(complete)
        return
    if non_blocking is False:
        streams[sid].flush()
    with torch.no_grad():
        dst.copy_(src_elem)


def _copy_(dst, src, non_blocking):
    if isinstance(dst, HpuTensor):
        if isinstance(src, torch.Tensor) and not isinstance(src, HpuTensor):
            recorder.add(
                "h2d",
                shape=tuple(src.shape),
                non_blocking=bool(non_blocking),
                pinned=_is_pinned(src),
            )
        torch.ops.aten.copy_.default(dst.elem, _unwrap(src))
        return dst
    _issue_d2h(dst, src.elem, non_blocking)
    return dst


class _H2D(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dtype, non_blocking):
        ctx.dtype = x.dtype
        recorder.add(
            "h2d",
            shape=tuple(x.shape),
            non_blocking=bool(non_blocking),
            pinned=_is_pinned(x),
        )
        if capture is not None:
            recorder.add("h2d_during_capture", shape=tuple(x.shape))
        elem = x.detach().to(dtype) if dtype is not None else x.detach().clone()
        if elem.data_ptr() == x.data_ptr():
            elem = elem.clone()
        return HpuTensor(elem)

    @staticmethod
    def backward(ctx, g):
        return to_cpu(g, ctx.dtype, False), None, None


class _D2H(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dtype, non_blocking):
        ctx.dtype = x.dtype
        out = torch.empty(x.shape, dtype=dtype or x.dtype)
        _issue_d2h(out, x.elem, non_blocking)
        return out

    @staticmethod
    def backward(ctx, g):
        return to_hpu(g, ctx.dtype, False), None, None


def to_hpu(x, dtype=None, non_blocking=False):
    if torch.is_inference_mode_enabled():
        with torch.inference_mode(mode=False), torch.no_grad():
            return _H2D.apply(x, dtype, non_blocking)
    return _H2D.apply(x, dtype, non_blocking)


def to_cpu(x, dtype=None, non_blocking=False):
    return _D2H.apply(x, dtype, non_blocking) if isinstance(x, HpuTensor) else x


# --------------------------------------------------------------------------------------------- patches
def _tensor_to(self, *args, **kwargs):
    copy = kwargs.pop("copy", False)
    if args and isinstance(args[0], torch.Tensor):
        other = args[0]
        device, dtype, nb, mf = other.device, other.dtype, kwargs.get("non_blocking", False), None
    else:
        if len(args) >= 4 and isinstance(args[3], bool):
            copy, args = args[3], args[:3]
        other = kwargs.pop("other", None)
        if other is not None:
            device, dtype, nb, mf = (
                other.device,
                other.dtype,
                kwargs.get("non_blocking", False),
                None,
            )
        else:
            a = list(args)
            if (
                a
                and isinstance(a[0], int)
                and not isinstance(a[0], bool)
                and isinstance(self, HpuTensor)
            ):
                a[0] = HPU0
            device, dtype, nb, mf = torch._C._nn._parse_to(*a, **kwargs)
    mine_hpu = isinstance(self, HpuTensor)
    if device is not None and device.type == "hpu" and not mine_hpu:
        return to_hpu(self, dtype, nb)
    if device is not None and device.type == "cpu" and mine_hpu:
        return to_cpu(self, dtype, nb)
    if device is not None and device.type not in ("cpu", "hpu"):
        return _orig["to"](self, device, dtype, nb, copy)
    kw = {"copy": copy, "non_blocking": nb}
    if mf is not None:
        kw["memory_format"] = mf
    if dtype is None:
        return _orig["to"](self, self.dtype, **kw)
    return _orig["to"](self, dtype, **kw)


def _tensor_cpu(self, *a, **k):
    return to_cpu(self) if isinstance(self, HpuTensor) else _orig["cpu"](self, *a, **k)


def _pin_memory(self, device=None):
    if isinstance(self, HpuTensor):
        raise RuntimeError("cannot pin 'hpu' tensor: only dense CPU tensors can be pinned")
    if device is not None and not is_hpu_device(device):
        return _orig["pin_memory"](self, device)
    out = self.detach().clone()
    # By storage, so that a view of pinned memory is pinned too, as on the real device.
    pinned_storages[_storage(out)] = out
    recorder.add("pin_memory", shape=tuple(self.shape), device=str(device))
    return out


def _is_pinned(self, device=None):
    return _storage(self) in pinned_storages


def _factory(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        d = kwargs.get("device")
        if args and isinstance(args[0], HpuTensor) and fn is _orig.get("tensor"):
            out = args[0].detach().clone()
            out = out.to(kwargs["dtype"]) if kwargs.get("dtype") else out
            return out if (d is None or is_hpu_device(d)) else out.to(d)
        if d is None or not is_hpu_device(d):
            return fn(*args, **kwargs)
        kwargs = dict(kwargs)
        if isinstance(args[0] if args else None, HpuTensor):
            kwargs["device"] = None
            return wrap_plain(fn(*args, **kwargs))
        kwargs["device"] = "cpu"
        rg = kwargs.pop("requires_grad", False)
        with torch.inference_mode(mode=False):
            out = fn(*args, **kwargs)
            out = HpuTensor(out.detach() if not isinstance(out, HpuTensor) else out.elem)
        lazy.op(fn.__name__, [out])
        if capture is not None:
            if fn.__name__ in ("tensor", "as_tensor", "asarray"):
                recorder.add(
                    "h2d_during_capture", shape=tuple(out.shape)
                )  # host data is frozen into the graph
            else:
                a, k = args, dict(kwargs)
                capture.add(lambda *_, **__: fn(*a, **k), (), {}, out, mutates=False)
        return out.requires_grad_() if rg else out

    wrapper._hpu_standin = True
    return wrapper


_FACTORIES = (
    "empty empty_strided ones arange eye full linspace logspace rand randn randint randperm zeros tensor as_tensor "
    "asarray scalar_tensor tril_indices triu_indices hann_window hamming_window range "
    "zeros_like ones_like empty_like full_like rand_like randn_like randint_like"
).split()


def _patch_autocast():
    from torch.amp import autocast_mode

    cls = autocast_mode.autocast
    enter, exit_ = cls.__enter__, cls.__exit__

    def __enter__(self):
        r = enter(self)
        if self.device == "hpu":
            self._hpu_prev = (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))
            torch.set_autocast_enabled("cpu", self._enabled)
            torch.set_autocast_dtype("cpu", self.fast_dtype)
            recorder.add("autocast", dtype=str(self.fast_dtype), enabled=self._enabled)
        return r

    def __exit__(self, *a):
        if self.device == "hpu":
            torch.set_autocast_enabled("cpu", self._hpu_prev[0])
            torch.set_autocast_dtype("cpu", self._hpu_prev[1])
        return exit_(self, *a)

    cls.__enter__, cls.__exit__ = __enter__, __exit__


def install():
    global INSTALLED
    if INSTALLED:
        return
    INSTALLED = True
    _orig.update(
        to=torch.Tensor.to,
        cpu=torch.Tensor.cpu,
        pin_memory=torch.Tensor.pin_memory,
        tensor=torch.tensor,
    )
    torch.Tensor.to = _tensor_to
    torch.Tensor.cpu = _tensor_cpu
    torch.Tensor.pin_memory = _pin_memory
    torch.Tensor.is_pinned = _is_pinned
    torch.Tensor.is_hpu = property(lambda self: False)
    HpuTensor.is_hpu = property(lambda self: True)
    # `with torch.device("meta")` recognises factories by identity, in a list made at its first use:
    # it must hold the originals, which the wrappers call, or models would be built on the host.
    import_module("torch.utils._device")._device_constructors()
    for n in _FACTORIES:
        if hasattr(torch, n):
            setattr(torch, n, _factory(getattr(torch, n)))
    # parameters are replaced when a module moves to a device of another type and kept (``.data`` is set) otherwise
    apply = torch.nn.Module._apply

    def _apply(self, fn, recurse=True):
        own = [p for p in self._parameters.values() if p is not None]
        flip = False
        if own:
            probe = torch.zeros(1)
            probe = HpuTensor(probe) if isinstance(own[0], HpuTensor) else probe
            n = len(recorder.events)
            flip = isinstance(fn(probe), HpuTensor) != isinstance(probe, HpuTensor)
            recorder.drop_from(n)
        old = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(flip or old)
        try:
            if recurse:
                for m in self.children():
                    m._apply(fn)
            return apply(self, fn, False)
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(old)

    torch.nn.Module._apply = _apply
    _patch_autocast()
    gen = torch.Generator

    class _Gen(gen):
        def __new__(cls, device="cpu"):
            return gen.__new__(gen, "cpu" if is_hpu_device(device) else device)

    torch.Generator = _Gen
    from . import ops  # noqa: F401  (registers torch.ops.hpu.*)
