"""Where the Python half of ``habana_frameworks`` comes from: this package's own files in ``_fallback``."""

import os
import sys
import types

FALLBACK = os.path.join(os.path.dirname(__file__), "_fallback")


def extend(path, sub):
    """Append the directory the rest of sub-package ``sub`` lives in to its __path__."""
    path.append(os.path.join(FALLBACK, *sub.split(".")))


def run_init(namespace, sub):
    """Execute the ``__init__.py`` of sub-package ``sub`` inside ours."""
    f = os.path.join(FALLBACK, *sub.split("."), "__init__.py")
    with open(f) as fh:
        exec(compile(fh.read(), f, "exec"), namespace)


def shim_streambase():
    """The HPU stack mixes its stream/event classes with torch's; keep them plain python classes here."""
    m = types.ModuleType("torch._streambase")
    m._StreamBase = type("_StreamBase", (), {})
    m._EventBase = type("_EventBase", (), {})
    old = sys.modules.get("torch._streambase")
    sys.modules["torch._streambase"] = m
    return old


def unshim_streambase(old):
    if old is not None:
        sys.modules["torch._streambase"] = old
    else:
        sys.modules.pop("torch._streambase", None)
