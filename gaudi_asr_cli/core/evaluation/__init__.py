"""Evaluation: error counts, alignments and confidence intervals."""
