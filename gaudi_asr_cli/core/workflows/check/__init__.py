"""`check`: find what is wrong with data before training."""
