"""Error counts, alignments and intervals: pure arithmetic over text."""
