"""The inference engine: read, batch, forward and text, overlapped."""
