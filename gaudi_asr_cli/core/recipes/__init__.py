"""Recipes: YAML files that say what a run does."""
