"""Everything that needs no terminal: returns values, raises AsrError, emits events."""
