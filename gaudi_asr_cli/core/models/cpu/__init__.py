"""The optimised CPU engine: wav2vec 2.0-like CTC models and Whisper, prepacked and fused."""
