"""Train, evaluate, run and benchmark speech recognition on Intel Gaudi, CUDA and plain CPUs."""

__version__ = "0.1.0"
