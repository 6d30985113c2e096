"""Text: normalisers, cleaning rules and vocabularies, without network access."""
