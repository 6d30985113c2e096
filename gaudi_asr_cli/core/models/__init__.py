"""Networks: loading, features, inference and fine-tuning of transformers' models."""
