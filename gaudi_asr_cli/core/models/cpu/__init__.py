"""A CTC model of the wav2vec 2.0 family written out for a CPU: no padding, fused and prepacked."""
