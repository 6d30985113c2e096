"""HPU graph = a recorded op tape that can really be replayed on the static buffers it was captured with."""

import torch
from torch.utils._pytree import tree_flatten, tree_map

from . import device as dev
from .recorder import recorder


class Tape:
    """Stands where the native ``_hpu_C.HPUGraph`` object is."""

    def __init__(self):
        self.ops = []
        self.captured = False
        self.replays = 0
        self.id = None

    def add(self, func, args, kwargs, out, mutates):
        self.ops.append((func, args, kwargs, out, mutates))

    def begin(self, dry_run=False):
        if dev.capture is not None:
            raise RuntimeError("GRAPH:: graph Capture already in progress")
        dev.lazy.mark_step("capture_begin")
        dev.capture = self

    def end(self):
        if dev.capture is not self:
            return
        dev.capture = None
        dev.lazy.mark_step("capture_end")
        self.captured = True
        self.id = recorder["graph_capture"]
        recorder.add("graph_capture", id=self.id, ops=len(self.ops))

    def replay(self, asynchronous=False):
        if dev.capture is not None:
            raise RuntimeError("GRAPH:: Capture in progress")
        self.replays += 1
        recorder.add("graph_replay", id=self.id, asynchronous=bool(asynchronous))
        with torch.no_grad():
            for func, args, kwargs, out, mutates in self.ops:
                if mutates:
                    func(*tree_map(dev._unwrap, args), **tree_map(dev._unwrap, kwargs))
                    continue
                outs = [t for t in tree_flatten(out)[0] if isinstance(t, dev.HpuTensor)]
                ins = {
                    dev._storage(t.elem)
                    for t in tree_flatten((args, kwargs))[0]
                    if isinstance(t, dev.HpuTensor)
                }
                if outs and all(dev._storage(t.elem) in ins for t in outs):
                    continue  # view: shares memory with its input
                new = func(*tree_map(dev._unwrap, args), **tree_map(dev._unwrap, kwargs))
                new = [t for t in tree_flatten(new)[0] if isinstance(t, torch.Tensor)]
                for t, n in zip(outs, new):
                    if t.elem.shape != n.shape:
                        raise RuntimeError(
                            f"{func}: dynamic shape inside an HPU graph ({t.elem.shape} -> {n.shape})"
                        )
                    if dev._storage(n) != dev._storage(t.elem):
                        t.elem.copy_(n)

    def destroy(self):
        self.ops = []
        if dev.capture is self:
            dev.capture = None
