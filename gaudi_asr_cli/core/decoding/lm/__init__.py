"""Back-off n-gram language models: reading, estimating and querying them."""
