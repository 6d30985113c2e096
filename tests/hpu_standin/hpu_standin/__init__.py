"""CPU stand-in for an Intel Gaudi (HPU) machine, for tests only.

Use it by putting two directories on ``PYTHONPATH``::

    PYTHONPATH=<here>:<here>/site  python my_test.py

``import habana_frameworks.torch`` then behaves as on a Gaudi host: device "hpu" exists, ``torch.hpu`` is
registered, and every interesting call is written to :data:`hpu_standin.recorder`.
"""

from .recorder import Recorder, recorder  # noqa: F401
from .config import config  # noqa: F401


def install():
    from . import device

    device.install()


def is_installed() -> bool:
    from . import device

    return device.INSTALLED
