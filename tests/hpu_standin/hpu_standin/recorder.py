"""Event log shared by all pieces of the stand-in."""

import threading
from collections import Counter


class Recorder:
    def __init__(self):
        self._lock = threading.Lock()
        self.reset()

    def reset(self):
        with self._lock:
            self.events = []
            self.counts = Counter()

    def add(self, kind, **info):
        with self._lock:
            self.counts[kind] += 1
            self.events.append((kind, info))

    def drop_from(self, n):
        with self._lock:
            for kind, _ in self.events[n:]:
                self.counts[kind] -= 1
            del self.events[n:]

    def of(self, kind):
        return [info for k, info in self.events if k == kind]

    def __getitem__(self, kind):
        return self.counts[kind]

    def summary(self):
        return dict(sorted(self.counts.items()))


recorder = Recorder()
