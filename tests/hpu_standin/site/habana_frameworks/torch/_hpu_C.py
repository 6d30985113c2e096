"""Recorder in place of the native ``_hpu_C`` module (function list: csrc/bindings.cpp, Stream.cpp, Event.cpp)."""

import itertools
import time

import torch
from hpu_standin import config, device as _dev, recorder
from hpu_standin.tape import Tape as HPUGraph  # noqa: F401

_NAMES = {"gaudi": "GAUDI", "gaudi2": "GAUDI2", "gaudi3": "GAUDI3"}
_DEVICE_TYPE = 7  # any constant


def init():
    recorder.add("init")


def cleanup():
    pass


def device_count():
    return config.device_count


def current_device():
    return 0


def synchronize_device():
    recorder.add("synchronize")
    _dev.synchronize()


def get_device_name(idx=0):
    return _NAMES[config.device_type]


def get_device_capability():
    return config.device_type


def get_device_properties(idx=0):
    return f"(sramBaseAddress=0, device={config.device_type})"


# ---- memory
def get_mem_stats(idx=0):
    m = _dev.memory
    return {
        "Limit": config.memory_limit,
        "InUse": m.in_use,
        "MaxInUse": m.peak,
        "NumAllocs": m.allocs,
        "NumFrees": m.frees,
        "ActiveAllocs": m.allocs - m.frees,
        "MaxAllocSize": 0,
        "TotalSystemAllocs": m.allocs,
        "TotalSystemFrees": m.frees,
        "TotalActiveAllocs": m.allocs - m.frees,
    }


def get_memory_summary(idx=0):
    return "\n".join(f"  {k}: {v}" for k, v in get_mem_stats(idx).items())


def get_extended_memory_summary():
    m = _dev.memory
    return {"limit": config.memory_limit, "in_use": m.in_use, "max_in_use": m.peak}


def reset_peak_memory_stats(idx=0):
    _dev.memory.peak = _dev.memory.in_use


def clear_memory_stats(idx=0):
    _dev.memory.allocs = _dev.memory.frees = 0


def get_hlml_shared_object_name(idx=0):
    return ""


# ---- switches
_flags = {
    "deterministic": False,
    "dynamic": False,
    "inference": False,
    "quant": False,
    "recompute": False,
}


def setDeterministic(v):
    _flags["deterministic"] = bool(v)


def getDeterministic():
    return _flags["deterministic"]


def enable_dynamic_shape():
    recorder.add("enable_dynamic_shape")
    _flags["dynamic"] = True


def disable_dynamic_shape():
    recorder.add("disable_dynamic_shape")
    _flags["dynamic"] = False


def get_dynamic_shape_status():
    return _flags["dynamic"]


def enable_inference_mode():
    _flags["inference"] = True


def disable_inference_mode():
    _flags["inference"] = False


def enable_quantization():
    _flags["quant"] = True


def disable_quantization():
    _flags["quant"] = False


def enable_recompute_FSDPA(v):
    _flags["recompute"] = bool(v)


def is_recompute_FSDPA_enabled():
    return _flags["recompute"]


def enable_optim_output_sif():
    pass


def disable_optim_output_sif():
    pass


def enable_matmul3d_2d_reshape():
    pass


def disable_matmul3d_2d_reshape():
    pass


def enable_const_section_serialization(path, clear, compress):
    pass


def set_autocast_hpu_enabled(v):
    torch.set_autocast_enabled("hpu", bool(v))


def is_autocast_hpu_enabled():
    return torch.is_autocast_enabled("hpu")


def set_autocast_hpu_dtype(d):
    torch.set_autocast_dtype("hpu", d)


def get_autocast_hpu_dtype():
    return torch.get_autocast_dtype("hpu")


# ---- graphs
def capture_begin(g, dry_run=False):
    _flags["dynamic"] = False  # the native side switches refinement off and leaves it off
    g.begin(dry_run)


def capture_end(g):
    g.end()


def replay(g, asynchronous=False):
    g.replay(asynchronous)


def replayV2(g, static, inputs, asynchronous=False):
    for s, i in zip(static, inputs):
        s.copy_(i)
    g.replay(asynchronous)


def replayV3(g, inputs, asynchronous=False):
    for s, i in zip(g.user_inputs, inputs):
        if s is not i:
            s.copy_(i)
    g.replay(asynchronous)


def mark_user_inputs(g, tlist):
    g.user_inputs = list(tlist)


def mark_user_outputs(g, tlist):
    g.user_outputs = list(tlist)


def get_user_input_match_indices(g):
    return set(range(len(getattr(g, "user_inputs", []))))


def clear_inputs(g):
    recorder.add("graph_clear_inputs", id=g.id)


def destroy(g):
    g.destroy()


def get_view_hash(t):
    return 0 if t.is_contiguous() else hash((t.stride(), t.storage_offset()))


def record_stream(t, sid, index, dtype):
    recorder.add("record_stream", stream=sid)


# ---- streams and events
class _HpuStreamBase:
    def __new__(
        cls,
        priority=0,
        stream_id=0,
        device_index=0,
        device_type=0,
        stream_ptr=0,
        is_default_stream=False,
    ):
        self = object.__new__(cls)
        if is_default_stream:
            sid = 0
        elif stream_id or device_index:
            sid = stream_id
        elif stream_ptr:
            sid = stream_ptr
        else:
            sid = _dev.new_stream()
        self.stream_id, self.device_index_, self.device_type = sid, 0, _DEVICE_TYPE
        self.priority = priority
        self.hpu_stream = sid
        self.device = 0
        return self

    def __init__(self, *a, **k):
        pass

    def query(self):
        done = _dev.streams[self.stream_id].query()
        recorder.add("stream_query", stream=self.stream_id, done=done)
        return done

    def synchronize(self):
        recorder.add("stream_synchronize", stream=self.stream_id)
        _dev.streams[self.stream_id].flush()

    def __eq__(self, o):
        return getattr(o, "stream_id", None) == self.stream_id

    def __hash__(self):
        return hash(self.stream_id)


class _HpuEventBase:
    _ids = itertools.count(1)

    def __new__(cls, enable_timing=False):
        self = object.__new__(cls)
        self.enable_timing = enable_timing
        self.hpu_event = next(cls._ids)
        self._stream = None
        self._t = None
        return self

    def __init__(self, *a, **k):
        pass

    def record(self, stream):
        self._stream = stream.stream_id
        self._t = time.perf_counter_ns()
        recorder.add("event_record", stream=stream.stream_id)

    def wait(self, stream):
        recorder.add("event_wait", waiter=stream.stream_id, on=self._stream)

    def query(self):
        return True if self._stream is None else _dev.streams[self._stream].query()

    def synchronize(self):
        recorder.add("event_synchronize", stream=self._stream)
        if self._stream is not None:
            _dev.streams[self._stream].flush()

    def elapsed_time(self, end):
        if not (self.enable_timing and end.enable_timing):
            raise RuntimeError("both events must be created with enable_timing=True")
        return end._t - self._t


def _hpu_setStream(stream_id, device_index, device_type):
    recorder.add("set_stream", stream=stream_id)
    _dev.set_current_stream(stream_id)


def _hpu_getCurrentStream(idx=0):
    return (_dev.current_stream_id(), 0, _DEVICE_TYPE)


def _hpu_getCurrentRawStream(idx=0):
    return _dev.current_stream_id()


def _hpu_getDefaultStream(idx=0):
    return (0, 0, _DEVICE_TYPE)


def _hpu_getStreamInfo(stream_id, device_index, device_type):
    return {"stream_id": stream_id}
