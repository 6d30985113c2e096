"""A folder of transcripts that is written file by file, and resumed after an interruption."""
