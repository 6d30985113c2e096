"""`results`: compare runs with published results."""
