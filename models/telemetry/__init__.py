"""Metrics and logging of every process. Knows nothing of who counts."""
