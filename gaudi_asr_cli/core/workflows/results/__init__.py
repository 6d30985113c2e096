"""`results`."""
