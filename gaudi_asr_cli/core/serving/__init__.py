"""Transcription of requests of many clients: a queue in front of a recogniser for each device."""
