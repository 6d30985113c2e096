"""Utterances: where they are, how long they are, what they sound like."""
