"""Stub: optimum.habana.transformers.modeling_utils imports torchvision at import time (glm4v), speech does not use it."""

from . import transforms  # noqa: F401

__version__ = "0.0.0+stub"
