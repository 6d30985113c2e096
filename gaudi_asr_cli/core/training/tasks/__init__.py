"""What training asks of a kind of model, and its answers for CTC and seq2seq."""
