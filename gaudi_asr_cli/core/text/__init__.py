"""Normalisers and vocabularies: characters only, no network."""
