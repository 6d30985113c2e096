"""The HTTP server: OpenAI's audio API in front of a `TranscriptionService`."""
