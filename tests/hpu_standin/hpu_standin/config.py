"""Knobs (environment variables are read once, attributes may be changed at run time)."""

import os


class Config:
    def __init__(self):
        # gaudi | gaudi2 | gaudi3
        self.device_type = os.environ.get("HPU_STANDIN_DEVICE", "gaudi2")
        self.device_count = int(os.environ.get("HPU_STANDIN_COUNT", "1"))
        # "deferred": a non_blocking device->host copy holds a sentinel until its stream is synchronised or has
        #             been polled; the value that arrives is the one at issue time.
        # "racy":     as deferred, but the source buffer is read only when the stream is synchronised.
        # "immediate": plain synchronous copy.
        self.d2h = os.environ.get("HPU_STANDIN_D2H", "deferred")
        # number of Stream.query()/Event.query() calls that answer False before pending work completes
        self.polls = int(os.environ.get("HPU_STANDIN_POLLS", "1"))
        # raise on mixing cpu and hpu tensors in one call, like the real device does
        self.check_devices = os.environ.get("HPU_STANDIN_CHECK_DEVICES", "1") == "1"
        # hard limits the real stack has
        self.max_streams = int(os.environ.get("HPU_STANDIN_MAX_STREAMS", "0"))  # 0 = no limit
        self.memory_limit = 96 * 1024**3


config = Config()
