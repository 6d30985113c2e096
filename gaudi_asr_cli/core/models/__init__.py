"""Networks: transformers behind a few calls."""
