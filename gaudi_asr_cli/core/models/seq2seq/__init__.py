"""Encoder-decoder models: opening, fine-tuning, warm start, labels, generation."""
