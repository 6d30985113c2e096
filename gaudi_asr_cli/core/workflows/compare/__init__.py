"""`compare`: whether one system is worse than another on the same utterances."""
