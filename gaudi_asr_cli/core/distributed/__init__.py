"""Many processes, one for each card: how they are started, watched and ended."""
