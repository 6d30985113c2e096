"""CTC models: opening, fine-tuning, adapters, networks built from scratch."""
