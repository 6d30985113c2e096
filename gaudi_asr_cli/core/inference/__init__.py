"""Inference: audio is read, batched, run through the network and decoded, all overlapped."""
