"""`finetune-ctc` and `finetune-seq2seq`: train, score and save a model."""
