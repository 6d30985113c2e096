"""Training: transformers' Trainer, with batches that our plan decides."""
