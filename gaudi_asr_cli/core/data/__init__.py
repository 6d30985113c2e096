"""Utterances and their audio: sources, durations, batches and audio loading."""
