"""Benchmarks: what is measured, how often, against what, and how it is told."""
