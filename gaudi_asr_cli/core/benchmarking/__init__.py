"""Benchmarks: the model under test, workload, repeats, baseline and reported figures."""
