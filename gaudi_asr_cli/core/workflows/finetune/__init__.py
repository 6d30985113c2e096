"""`finetune-ctc` and `finetune-seq2seq`."""
